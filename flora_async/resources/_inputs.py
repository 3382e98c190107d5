"""From what people write to drafts of the inputs that FLORA takes, looked at before anything is sent."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from flora_async._files import Content, FileSource, is_file_source, read_content
from flora_async._urls import check_https, is_video_url
from flora_async.models import RunInput

InputValue = str | FileSource
"""A text, the https URL of a medium, or a file: a path, bytes, or a file open for reading bytes."""

Inputs = Mapping[str, InputValue] | Sequence[RunInput]
"""Values by input id, or a sequence of `RunInput` that says each type."""

_REMEDY: Final = "pass a mapping {input_id: value} or a sequence of RunInput"


@frozen
class Draft:
    """An input whose type or URL may still have to be found out.

    Attributes:
        id: The input's id in the technique.
        type: What the caller says it is; None = not said.
        value: The text or URL, or a file that has to be uploaded first.
    """

    id: str
    type: str | None
    value: str | Content

    @property
    def likely_type(self) -> str:
        """Its type as far as it can be told without the technique."""
        if self.type is not None:
            return self.type
        return _type_of(self.value) if isinstance(self.value, str) else self.value.input_type


async def draft_inputs(inputs: object) -> tuple[Draft, ...]:
    """Take inputs as people write them, and look at the files among them.

    Raises:
        TypeError: `inputs` is no mapping or sequence of `RunInput`, or a value is neither text nor file.
        ValueError: There are none, an id is blank or given twice, or a file cannot be uploaded.
        OSError: A file cannot be read.
    """
    given: tuple[tuple[str, str | None, object], ...]
    if isinstance(inputs, Mapping):
        given = tuple((name, None, value) for name, value in inputs.items())
    elif isinstance(inputs, Sequence) and all(isinstance(item, RunInput) for item in inputs) and inputs != "":
        given = tuple((item.id, item.type, item.value) for item in inputs)
    else:
        raise TypeError(f"inputs must not be {inputs!r:.60}: {_REMEDY}")
    if not given:
        raise ValueError(f"inputs must not be empty: {_REMEDY}")
    met: set[str] = set()
    for name, kind, value in given:
        for part, text in (("id", name), ("type", "text" if kind is None else kind)):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"inputs: the {part} of an input must be text and not blank, not {text!r:.60}")
        if not isinstance(value, str) and not is_file_source(value):
            raise TypeError(
                f"inputs[{name!r}] must be text, the https URL of a medium, or a file (a path, bytes, or open for "
                f"reading bytes), not {value!r:.60}"
            )
        if name in met:
            raise ValueError(f"inputs: {name!r} is given twice; FLORA takes one value for each input")
        met.add(name)
    return tuple([Draft(name, kind, await _looked_at(name, value)) for name, kind, value in given])


async def _looked_at(name: str, value: object) -> str | Content:
    if isinstance(value, str):
        return value
    try:
        return await asyncio.to_thread(read_content, value)
    except (OSError, ValueError, TypeError) as error:
        error.add_note(f"raised by the file that was given for inputs[{name!r}]; nothing was sent")
        raise


def _type_of(value: str) -> str:
    """Until the technique's schema is read, the value alone tells its type."""
    try:
        check_https("value", value)
    except ValueError:
        return "text"
    return "videoUrl" if is_video_url(value) else "imageUrl"
