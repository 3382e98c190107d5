"""What every operation of the local FLORA needs: the clock, the origins, and the type of a handler."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import attrs

from flora_async._clock import Clock
from flora_async.testing._wire.requests import RecordedRequest

Handler: TypeAlias = Callable[[RecordedRequest], dict[str, Any]]
"""Carries an operation out; returns the payload in snake_case or raises `RefusedError`."""

Handlers: TypeAlias = Mapping[str, Handler]

CLOCK_INTERVAL: Final = 0.005
"""Seconds of real time after which a clock is read again; sleeping on a clock that is not real would advance it."""


class SkewedClock:
    """A clock whose Unix time differs from that of another clock by a constant number of seconds."""

    def __init__(self, clock: Clock, skew: float) -> None:
        if not math.isfinite(skew):
            raise ValueError(f"clock_skew must be a finite number of seconds, not {skew}")
        self._skew = skew
        self._time = clock.time
        self.monotonic = clock.monotonic
        self.random = clock.random
        self.sleep = clock.sleep

    def time(self) -> float:
        """Return the Unix time in seconds."""
        return self._time() + self._skew


@attrs.define
class Environment:
    """The clock and the addresses of the local FLORA.

    Attributes:
        clock: The server's clock.
        poll_urls: Whether answers contain a `poll_url`.
        history_lag: Seconds until a new run appears in the histories.
        callback_addresses: Local URLs, by the prefix of the callback URLs that they replace.
        cost_lag: Seconds from the end of a run until answers contain its cost.
        api_origin: The origin of the API, empty until the server has started.
        storage_origin: The origin of media and uploads, likewise.
    """

    clock: Clock
    poll_urls: bool
    history_lag: float = 0.0
    cost_lag: float = 0.0
    callback_addresses: dict[str, str] = attrs.field(factory=dict)
    api_origin: str = ""
    storage_origin: str = ""

    def canvas_url(self, project_id: str) -> str:
        """Return the URL at which people open a canvas."""
        return f"{self.api_origin}/projects/{project_id}"


def milliseconds(seconds: float) -> int:
    """Convert Unix seconds to FLORA's milliseconds."""
    return round(seconds * 1000)
