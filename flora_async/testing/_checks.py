"""Validation of the local FLORA's own settings."""

import math
import re
from typing import Any, Final

import attrs

from flora_async._clock import check_clock

_MAX_PORT: Final = 65535
_API_KEY: Final = re.compile("[!-~]+")


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


def check_settings(*, api_key: object, port: object, clock: object, run_seconds: object) -> None:
    """Check settings of a local FLORA that would fail later, and under another name.

    Raises:
        TypeError: One has the wrong type.
        ValueError: One is out of range, or no session could send the key.
    """
    if not isinstance(api_key, str):
        raise TypeError(f"api_key must be text, not {api_key!r:.60}")
    if not _API_KEY.fullmatch(api_key):
        raise ValueError(f"api_key must be printable ASCII without spaces, not {api_key!r:.60}")
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"port must be a whole number, 0 for any free port, not {port!r:.60}")
    if not 0 <= port <= _MAX_PORT:
        raise ValueError(f"port must be from 0 (any free port) to {_MAX_PORT}, not {port}")
    check_clock(clock)
    if math.isinf(non_negative_seconds("run_seconds", run_seconds)):
        raise ValueError("run_seconds must be finite: for a run that does not end, add a technique with outcomes")


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
