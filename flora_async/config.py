"""The policies, for retrying requests and for polling runs, and the limits on what is read.

Each is frozen, and checked when it is built, so that a mistake fails where it is written. All times are in seconds.
"""

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, Final, Literal

from attrs import Attribute, field, frozen

from flora_async._checks import check_flag, check_number, one_of
from flora_async._repr import ShortRepr

__all__ = ["PollPolicy", "ResponseLimits", "RetryPolicy"]

Schedule = Literal["learned", "backoff"] | Callable[[float, int], float]
"""When a run is polled; a function takes the age of the run in seconds and the number of polls so far."""

MAX_FILE_SIZE: Final = 2 * 1024**3
"""The most bytes that a download fetches, unless a call says otherwise: 2 GiB."""

_MIN_RESPONSE: Final = 64 * 1024  # a smaller limit would refuse ordinary answers, and those to paid starts among them


def _number(
    *, minimum: float = 0.0, maximum: float | None = None, exclusive: bool = False, unlimited: bool = False
) -> Callable[[Any, "Attribute[Any]", Any], None]:
    def check(instance: object, attribute: "Attribute[Any]", value: Any) -> None:  # noqa: ANN401 - anything may be given
        if value is None and unlimited:
            return
        name = f"{type(instance).__name__}.{attribute.name}"
        check_number(name, value, minimum=minimum, exclusive=exclusive)
        if maximum is not None and value is not None and value > maximum:
            raise ValueError(f"{name} must be at most {maximum:g}, not {value!r:.60}")

    return check


def _attempts(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    name = f"{type(instance).__name__}.{attribute.name}"
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"{name} must be a whole number or None for no limit, not {value!r:.60}")
    if value is not None and value < 1:
        raise ValueError(f"{name} must be at least 1 (1 = never retry), not {value!r:.60}")


def _size(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    name = f"{type(instance).__name__}.{attribute.name}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number of bytes, not {value!r:.60}")
    if value < _MIN_RESPONSE:
        raise ValueError(
            f"{name} must be at least {_MIN_RESPONSE:,} bytes, as ordinary answers need, not {value!r:.60}"
        )


@frozen(kw_only=True)
class ResponseLimits(ShortRepr):
    """How much of an answer is read, in bytes after decompression. A larger one raises `DecodeError`.

    The number of values in an answer, and how deep they are nested, are limited as well, whatever its size; so a higher
    limit leaves room for longer texts.

    Args:
        run: For the answer to a start or to a poll of one run. Default 1 MiB.
        page: For a page of a list, and any other answer. Default 8 MiB.

    Raises:
        ValueError: A limit is below 64 KiB.
        TypeError: A limit is not a whole number.

    Example:
        >>> ResponseLimits(run=4 * 1024**2).run  # for runs whose outputs are long texts
        4194304
    """

    run: int = field(default=1024**2, validator=_size)
    page: int = field(default=8 * 1024**2, validator=_size)


def _schedule(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    name = f"{type(instance).__name__}.{attribute.name}"
    if isinstance(value, str) and value not in {"learned", "backoff"}:
        raise ValueError(f"{name} must be 'learned', 'backoff' or a function, not {value!r:.60}")
    if not isinstance(value, str) and (not callable(value) or iscoroutinefunction(value)):
        raise TypeError(f"{name} must be 'learned', 'backoff' or a plain function of two numbers, not {value!r:.60}")


def _learn(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    one_of(f"{type(instance).__name__}.{attribute.name}", value, ("auto", "history", "off"))


def _flag(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    check_flag(f"{type(instance).__name__}.{attribute.name}", value)


@frozen(kw_only=True)
class RetryPolicy(ShortRepr):
    """How a request is retried after a failure that may be temporary.

    The wait after the first attempt is random, up to `initial` seconds; after the second up to twice that, and so on up
    to `maximum` ("full jitter"). What FLORA asks for in `Retry-After` takes precedence.

    Args:
        attempts: The maximum number of attempts, including the first; None = no limit. Default 4.
        initial: The longest wait after the first attempt, in seconds. Default 0.5.
        maximum: The longest wait after any attempt, in seconds; None = no limit. Default 30.
        settle: Seconds to wait after a paid start was cut off before its key is sent again; None = never send it again.
            A broken connection, or a proxy that answers for FLORA, does not mean that FLORA has stopped working on the
            start, and two at once under one key may both be carried out. Default 30.
        resolve: Find out what became of a paid start whose answer was lost: send it again under its key, and if FLORA
            says that it was carried out, find its run in the history. False = raise `SubmissionUnknownError` once
            `attempts` are used up. Default True.
        outage: Seconds for which starts are held back while FLORA cannot be reached, rather than fail one after
            another; None = no limit, 0 = not at all. After several failed connections in a row, or nothing but
            timeouts and answers of 502, 503 and 504, small requests check whether FLORA is back. It has no effect with
            `attempts=1`. Default 120.
        rate_limit_pause: Seconds for which a session pauses after a 429 without a `Retry-After`. Default 5, as in
            FLORA's own sample code.

    Raises:
        ValueError: A value is negative, NaN or infinite, or `attempts` is less than 1.
        TypeError: A value is not a number (a bool is not one).

    Example:
        >>> RetryPolicy(attempts=1).attempts  # never retry
        1
    """

    attempts: int | None = field(default=4, validator=_attempts)
    initial: float = field(default=0.5, validator=_number())
    maximum: float | None = field(default=30.0, validator=_number(unlimited=True))
    settle: float | None = field(default=30.0, validator=_number(unlimited=True))
    outage: float | None = field(default=120.0, validator=_number(unlimited=True))
    resolve: bool = field(default=True, validator=_flag)
    rate_limit_pause: float = field(default=5.0, validator=_number())


@frozen(kw_only=True)
class PollPolicy(ShortRepr):
    """How often a run is polled, and how long a wait lasts.

    A session learns how long the runs of each technique, model and action take. Once it knows five of them, it polls
    where runs are likely to end, at pauses of 0.25 to 30 s: a run that usually takes 25 s is polled about three times
    rather than ten, and its end is heard of sooner. Until then it backs off: the first poll comes after `initial`
    seconds, and each later pause is `multiplier` times the one before, at most `maximum`. FLORA advises polling every 2
    to 5 seconds. A session that has more polls to make than its connections can carry polls each run less often.

    Args:
        initial: Seconds until the first poll. Default 0.5.
        multiplier: Factor from one pause to the next, at least 1. Default 1.5.
        maximum: The longest pause, in seconds; None = no limit. Default 5. Learned pauses can be longer, but are placed
            so that the end of a run is heard of no later, on average, than with these three.
        jitter: Fraction by which a pause varies, 0 to 1; of a learned pause, it is the fraction of the distance between
            polls at that time. Default 0.1, so ±10 %.
        timeout: Seconds until a wait ends with `WaitTimeoutError`; None = no limit. Default 1800.
        outage: Seconds during which every poll fails before a wait gives up; None = no limit. Default 120. Time that
            FLORA asks for with `Retry-After`, or that is spent waiting for a connection of the session, does not count.
        schedule: `learned`; `backoff`, which never uses what was learned; or a function of the age of the run in
            seconds and the number of polls so far, which returns the seconds until the next poll. Of these, at least
            0.1 s are waited; anything but a finite number of at least 0, and whatever the function raises, ends the
            wait with an error. Default `learned`.
        learn: When to read the latest 100 runs from the history, once for each technique or model, to learn from:
            `history` at the first wait, `auto` at the third, `off` never. Default `auto`. Only `learned` schedules read
            it; every history that is read for another reason is learned from as well.

    Raises:
        ValueError: A value is negative, NaN or infinite, `multiplier` is less than 1 or `jitter` more than 1, or
            `schedule` or `learn` is an unknown word.
        TypeError: A value is not a number (a bool is not one), or `schedule` is not a function.

    Example:
        >>> PollPolicy(outage=3600).outage  # wait through an hour without FLORA
        3600
        >>> PollPolicy(schedule=lambda age, polls: 1.0 if age < 60 else 10.0).schedule(90, 60)
        10.0
    """

    initial: float = field(default=0.5, validator=_number())
    multiplier: float = field(default=1.5, validator=_number(minimum=1.0))
    maximum: float | None = field(default=5.0, validator=_number(exclusive=True, unlimited=True))
    jitter: float = field(default=0.1, validator=_number(maximum=1.0))
    timeout: float | None = field(default=1800.0, validator=_number(unlimited=True))
    outage: float | None = field(default=120.0, validator=_number(unlimited=True))
    schedule: Schedule = field(default="learned", validator=_schedule)
    learn: Literal["auto", "history", "off"] = field(default="auto", validator=_learn)
