"""What callers give, checked before anything is sent, and made ready for a JSON body."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from attrs import AttrsInstance

from flora_async._codec import to_body

CheckedT = TypeVar("CheckedT")

_MOST_ITEMS: Final = 100


def words(name: str, value: object) -> str:
    """Text that says something.

    Raises:
        TypeError: It is no text.
        ValueError: It is blank.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, not {value!r:.60}")
    if not value.strip():
        raise ValueError(f"{name} must not be blank: leave it out, or say what it is")
    return value


def optional(check: Callable[[str, object], CheckedT], name: str, value: object) -> CheckedT | None:
    """What `check` makes of a value; None stays None, and is not sent."""
    return None if value is None else check(name, value)


def one_of(name: str, value: object, choices: Sequence[str]) -> str:
    """One of FLORA's own words.

    Raises:
        ValueError: It is none of them.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r:.60}")
    return str(value)


def page_size(limit: object) -> int | None:
    """How many items a page is to have; None = as FLORA likes.

    Raises:
        ValueError: It is no whole number from 1 to 100.
    """
    if limit is not None and (type(limit) is not int or not 1 <= limit <= _MOST_ITEMS):
        raise ValueError(f"limit must be a whole number from 1 to {_MOST_ITEMS}, not {limit!r}")
    return limit


def free_form(name: str, value: object) -> dict[str, Any]:
    """A map whose keys and values are the caller's: it is sent as it is.

    Raises:
        TypeError: It is no mapping, or a key is no text.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping, not {value!r:.60}")
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"{name} must have text for keys, not {key!r:.60}")
    return dict(value)


def part(name: str, value: object, kind: type[AttrsInstance]) -> dict[str, Any]:
    """One structured part of a body: a model, or a mapping with FLORA's own names.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(value, kind):
        return to_body(value)
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be of type {kind.__name__} or a mapping, not {value!r:.60}")
    return free_form(name, value)


def items(name: str, value: object) -> Sequence[Any]:
    """A sequence of anything but characters.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise TypeError(f"{name} must be a sequence, not {value!r:.60}")
    return value


def parts(name: str, value: object, kind: type[AttrsInstance]) -> list[dict[str, Any]]:
    """Several structured parts, each as `part` takes it.

    Raises:
        TypeError: It is no sequence of them.
    """
    return [part(f"{name}[{number}]", item, kind) for number, item in enumerate(items(name, value))]
