"""Read single values: one of the wrong type is refused, never converted."""

import math
from datetime import UTC, datetime
from typing import Any, Final

# FLORA does not document the unit of its times: below this a number can only be seconds, above it only milliseconds.
_FIRST_MILLISECONDS: Final = 1e11
MAX_COST: Final = 1e6


def unchanged(value: Any, _: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Accept anything: a free-form value."""
    return value


def text(value: Any, _: Any) -> str:  # noqa: ANN401 - any JSON value
    """Read text."""
    if type(value) is not str:
        raise expected("text", value)
    return value


def truth(value: Any, _: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Read true or false."""
    if type(value) is not bool:
        raise expected("true or false", value)
    return value


def integer(value: Any, _: Any) -> int:  # noqa: ANN401 - any JSON value
    """Read a whole number."""
    if type(value) is float and value.is_integer():  # JSON does not distinguish 2.0 from 2
        return int(value)
    if type(value) is not int:
        raise expected("a whole number", value)
    return value


def number(value: Any, _: Any) -> float:  # noqa: ANN401 - any JSON value
    """Read a finite number as a float."""
    if type(value) is not float and type(value) is not int:
        raise expected("a number", value)
    try:
        finite = float(value)
    except OverflowError:
        finite = math.inf
    if not math.isfinite(finite):
        raise ValueError("the number is too large")
    return finite


def cost(value: Any, _: Any) -> float:  # noqa: ANN401 - any JSON value
    """Read an amount in USD: neither negative nor more than any run costs."""
    amount = number(value, float)
    if not 0 <= amount <= MAX_COST:
        raise ValueError("the amount cannot be a cost")
    return amount


def moment(value: Any, _: Any) -> datetime:  # noqa: ANN401 - any JSON value
    """Read a time, aware and in UTC."""
    try:
        if type(value) is int or type(value) is float:
            return datetime.fromtimestamp(value if abs(value) < _FIRST_MILLISECONDS else value / 1000, UTC)
        if type(value) is str:
            read = datetime.fromisoformat(value)
            return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise expected("a time (Unix seconds, milliseconds or ISO 8601)", value)


def expected(what: str, value: object) -> ValueError:
    """Build the error for a value of the wrong type. It names the type alone: the value can be long, or a secret."""
    return ValueError(f"{what} was expected, not {describe(value)}")


def describe(value: object) -> str:
    """Name the JSON type of a value."""
    return _TYPES.get(type(value), type(value).__name__)


_TYPES: Final[dict[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}
