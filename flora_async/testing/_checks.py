"""What the settings of the local FLORA may be, checked where they are written."""

import math
from typing import Any

import attrs


def checked_seconds(name: str, value: object) -> float:
    """The value, if it is 0 or more.

    Raises:
        TypeError: It is no number.
        ValueError: It is negative or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not value >= 0:
        raise ValueError(f"{name} must be 0 seconds or more, not {value}")
    return value


def seconds_or_never(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    """Accept 0 and more, `math.inf` included."""
    checked_seconds(attribute.name, value)


def finite_seconds(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    """Accept 0 and more, but not for ever."""
    if math.isinf(checked_seconds(attribute.name, value)):
        raise ValueError(f"{attribute.name} must end some day")


def status_from(lowest: int) -> Any:  # noqa: ANN401  attrs names no type for a validator of int
    """Accept the HTTP statuses from `lowest` to 599."""
    return attrs.validators.and_(attrs.validators.instance_of(int), attrs.validators.in_(range(lowest, 600)))
