"""Validation of the local FLORA's own settings."""

import math
from typing import Any

import attrs


def non_negative_seconds(name: str, value: object) -> float:
    """Return the value if it is a number of 0 or more; `math.inf` is allowed.

    Raises:
        TypeError: The value is not a number.
        ValueError: The value is negative or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not value >= 0:
        raise ValueError(f"{name} must be 0 seconds or more, not {value}")
    return value


def validate_seconds(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    """Accept 0 and more, `math.inf` included."""
    non_negative_seconds(attribute.name, value)


def validate_finite_seconds(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    """Accept 0 and more, but not `math.inf`."""
    if math.isinf(non_negative_seconds(attribute.name, value)):
        raise ValueError(f"{attribute.name} must be a finite number of seconds")


def http_status(lowest: int) -> Any:  # noqa: ANN401 - attrs does not export the type of a validator
    """Accept the HTTP statuses from `lowest` to 599."""
    return attrs.validators.and_(attrs.validators.instance_of(int), attrs.validators.in_(range(lowest, 600)))
