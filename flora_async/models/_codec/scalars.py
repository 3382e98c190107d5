"""Single values as JSON has them, checked: what has the wrong type is refused, and nothing is made to fit."""

import math
from datetime import UTC, datetime
from typing import Any, Final

# FLORA does not write the unit of its times: below this a number can only be seconds, above it only milliseconds.
_FIRST_MILLISECONDS: Final = 1e11
_LONGEST_QUOTE: Final = 40


def as_it_is(value: Any, _: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Anything at all: free-form maps keep what they hold."""
    return value


def text(value: Any, _: Any) -> str:  # noqa: ANN401 - any JSON value
    """Text."""
    if type(value) is not str:
        raise expected("text", value)
    return value


def truth(value: Any, _: Any) -> bool:  # noqa: ANN401 - any JSON value
    """True or false."""
    if type(value) is not bool:
        raise expected("true or false", value)
    return value


def integer(value: Any, _: Any) -> int:  # noqa: ANN401 - any JSON value
    """A whole number."""
    if type(value) is not int:
        raise expected("a whole number", value)
    return value


def number(value: Any, _: Any) -> float:  # noqa: ANN401 - any JSON value
    """A finite number, as a float."""
    if type(value) is not float and type(value) is not int:
        raise expected("a number", value)
    try:
        finite = float(value)
    except OverflowError:
        finite = math.inf
    if not math.isfinite(finite):
        raise expected("a finite number", value)
    return finite


def moment(value: Any, _: Any) -> datetime:  # noqa: ANN401 - any JSON value
    """A time, aware and in UTC."""
    try:
        if type(value) is str:
            read = datetime.fromisoformat(value)
            return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
        seconds = number(value, float)
        return datetime.fromtimestamp(seconds if abs(seconds) < _FIRST_MILLISECONDS else seconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise expected("a time (Unix seconds, milliseconds or ISO 8601)", value) from None


def expected(what: str, value: object) -> ValueError:
    """The error for a value of the wrong type."""
    return ValueError(f"{what} was expected, not {quote(value)}")


def quote(value: object) -> str:
    """What was there instead, short; containers are named only, as they can be deeper than `repr` can go."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    shown = repr(value[:_LONGEST_QUOTE]) if isinstance(value, str | bytes) else repr(value)
    return shown if len(shown) <= _LONGEST_QUOTE else shown[:_LONGEST_QUOTE] + "…"
