"""From what people write to the inputs that FLORA takes, checked before anything is sent."""

from collections.abc import Mapping, Sequence
from typing import Final

from flora_async._urls import check_https, is_video_url
from flora_async.models import RunInput

Inputs = Mapping[str, str] | Sequence[RunInput]
"""Values by input id, or a sequence of `RunInput` that says each type."""

_REMEDY: Final = "pass a mapping {input_id: value} or a sequence of RunInput"


def run_inputs(inputs: object) -> tuple[RunInput, ...]:
    """Give each value of a mapping its type; take a sequence of `RunInput` as it is.

    Raises:
        TypeError: `inputs` is neither, or a value is no text.
        ValueError: There are none, an id is blank, or an id is given twice.
    """
    if isinstance(inputs, Mapping):
        taken = tuple(_typed(name, value) for name, value in inputs.items())
    elif isinstance(inputs, Sequence) and all(isinstance(item, RunInput) for item in inputs) and inputs != "":
        taken = tuple(inputs)
    else:
        raise TypeError(f"inputs must not be {inputs!r:.60}: {_REMEDY}")
    if not taken:
        raise ValueError(f"inputs must not be empty: {_REMEDY}")
    met: set[str] = set()
    for item in taken:
        for part, value in (("id", item.id), ("type", item.type)):
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"inputs: the {part} of an input must be text and not blank, not {value!r:.60}")
        if not isinstance(item.value, str):
            raise TypeError(f"inputs[{item.id!r}] must be text or the https URL of a medium, not {item.value!r:.60}")
        if item.id in met:
            raise ValueError(f"inputs: {item.id!r} is given twice; FLORA takes one value for each input")
        met.add(item.id)
    return taken


def _typed(name: str, value: str) -> RunInput:
    """Until the technique's schema is read, the value alone tells its type."""
    return RunInput(name, _type_of(value), value)


def _type_of(value: object) -> str:
    try:
        check_https("value", value)
    except (TypeError, ValueError):
        return "text"
    return "videoUrl" if is_video_url(str(value)) else "imageUrl"
