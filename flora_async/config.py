"""The two policies: how a request is tried again, and how a run is watched.

Both are frozen and checked when built, so that a mistake fails where it is written. All times are in seconds.
"""

from collections.abc import Callable
from typing import Any, Final

from attrs import Attribute, field, frozen

from flora_async._checks import check_number

__all__ = ["PollPolicy", "RetryPolicy"]

MAX_FILE_SIZE: Final = 2 * 1024**3
"""The most bytes that a download fetches, unless a call says otherwise: 2 GiB."""


def _number(
    *, least: float = 0.0, most: float | None = None, exclusive: bool = False, unlimited: bool = False
) -> Callable[[Any, "Attribute[Any]", Any], None]:
    def check(instance: object, attribute: "Attribute[Any]", value: Any) -> None:  # noqa: ANN401 - anything may be given
        if value is None and unlimited:
            return
        name = f"{type(instance).__name__}.{attribute.name}"
        check_number(name, value, least=least, exclusive=exclusive)
        if most is not None and value is not None and value > most:
            raise ValueError(f"{name} must be at most {most:g}, not {value!r}")

    return check


def _attempts(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    name = f"{type(instance).__name__}.{attribute.name}"
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"{name} must be a whole number or None for no limit, not {value!r}")
    if value is not None and value < 1:
        raise ValueError(f"{name} must be at least 1 (1 = never try again), not {value!r}")


@frozen(kw_only=True)
class RetryPolicy:
    """How one request is tried again after a fault that may pass.

    Between attempts a random time is waited, up to `initial` seconds after the first attempt, up to twice that
    after the second, and so on up to `maximum` ("full jitter"). What FLORA says in `Retry-After` comes first.

    Args:
        attempts: How often a request is sent at the most, the first time included; None = no limit. Default 4.
        initial: The longest wait after the first attempt, in seconds. Default 0.5.
        maximum: The longest wait after any attempt, in seconds; None = no limit. Default 30.
        settle: How long a paid start that was cut off is left alone before its key is sent again, in seconds; None = it
            is not sent again. A connection that breaks, or a proxy that answers in FLORA's place, does not tell that
            FLORA has stopped working on the start, and two at once under one key may both be carried out. Default 30.
        rate_limit_pause: How long all requests of a session pause after a 429 that names no time, in seconds.
            Default 5, as in FLORA's own sample code.

    Raises:
        ValueError: A value is negative, NaN, infinite, or `attempts` is below 1.
        TypeError: A value is no number (bool counts as none).

    Example:
        >>> RetryPolicy(attempts=1).attempts  # never try again
        1
    """

    attempts: int | None = field(default=4, validator=_attempts)
    initial: float = field(default=0.5, validator=_number())
    maximum: float | None = field(default=30.0, validator=_number(unlimited=True))
    settle: float | None = field(default=30.0, validator=_number(unlimited=True))
    rate_limit_pause: float = field(default=5.0, validator=_number())


@frozen(kw_only=True)
class PollPolicy:
    """How a run is watched until it ends.

    The first look comes after `initial` seconds; every later pause is `multiplier` times the one before, at most
    `maximum`, each shortened or lengthened at random by up to `jitter`. FLORA advises a look every 2 to 5 seconds.

    Args:
        initial: Seconds until the first look. Default 0.5.
        multiplier: Factor from one pause to the next, at least 1. Default 1.5.
        maximum: The longest pause, in seconds; None = no limit. Default 5.
        jitter: Fraction by which a pause varies, 0 to 1. Default 0.1, so ±10 %.
        timeout: Seconds after which a wait ends with `WaitTimeoutError`; None = no limit. Default 1800.
        outage: Seconds of nothing but failed looks after which a wait gives up; None = no limit. Default 120. Pauses
            that FLORA asked for with `Retry-After` do not count.

    Raises:
        ValueError: A value is negative, NaN or infinite, `multiplier` is below 1 or `jitter` above 1.
        TypeError: A value is no number (bool counts as none).

    Example:
        >>> PollPolicy(outage=3600).outage  # sit out an hour without FLORA
        3600
    """

    initial: float = field(default=0.5, validator=_number())
    multiplier: float = field(default=1.5, validator=_number(least=1.0))
    maximum: float | None = field(default=5.0, validator=_number(exclusive=True, unlimited=True))
    jitter: float = field(default=0.1, validator=_number(most=1.0))
    timeout: float | None = field(default=1800.0, validator=_number(unlimited=True))
    outage: float | None = field(default=120.0, validator=_number(unlimited=True))
