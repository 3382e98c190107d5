"""Limit how many runs are under way at once (AIMD, as in RFC 5681), and space their starts."""

import asyncio
from collections import deque
from typing import Final

from attrs import define, field

from flora_async._cache import RecentItems
from flora_async._clock import Clock, sleep_or
from flora_async.batch.results import Tally
from flora_async.errors import FloraError, SkippedError

# The limit grows by a sixteenth of the ceiling after each quiet second, so it recovers in 16 s at any ceiling.
_QUIET: Final = 1.0
_STEPS: Final = 16
# How many starts of a model tell how fast it was started when it first failed under load.
_STARTS: Final = 16
_MAX_MODELS: Final = 256
# Seconds between starts of a model: doubled by a failure under load, 3 % less after each run that does not fail so.
_SLOWER: Final = 2.0
_FASTER: Final = 0.97
_MAX_INTERVAL: Final = 60.0
# A model that is started twice as fast as when it failed is no longer slowed down.
_RECOVERED: Final = 0.5


class Limiter:
    """A limit that an overload halves, and that grows by a sixteenth of its ceiling with each quiet second.

    Args:
        ceiling: The most runs at once.
        clock: Time.
    """

    __slots__ = ("_ceiling", "_clock", "_grown_at", "_limit", "_step")

    def __init__(self, ceiling: int, clock: Clock) -> None:
        self._ceiling = ceiling
        self._clock = clock
        self._limit = ceiling
        self._step = max(ceiling // _STEPS, 1)
        self._grown_at = clock.monotonic()

    @property
    def limit(self) -> int:
        """The current limit."""
        quiet = int((self._clock.monotonic() - self._grown_at) / _QUIET)
        if quiet > 0:
            self._limit = min(self._limit + quiet * self._step, self._ceiling)
            self._grown_at += quiet * _QUIET
        return self._limit

    def cut(self, pause: float) -> None:
        """Halve the limit after an overload; further ones within `pause` seconds change nothing."""
        now = self._clock.monotonic()
        if now >= self._grown_at:
            self._limit = max(self.limit // 2, 1)
            self._grown_at = now + pause

    def grows_in(self) -> float | None:
        """Seconds until the limit grows; None at the ceiling."""
        if self.limit == self._ceiling:
            return None
        return self._grown_at + _QUIET - self._clock.monotonic()


class TrafficCounter:
    """Counts the requests of a batch, and starts fewer at once when FLORA is overloaded.

    Args:
        tally: Counts the requests.
        limiter: Limits the runs.
    """

    def __init__(self, tally: Tally, limiter: Limiter) -> None:
        self._tally = tally
        self._limiter = limiter

    def on_request(self, label: str) -> None:
        """Count a request."""
        self._tally.requests[label] += 1

    def on_recall(self, label: str) -> None:
        """Take back the count of a request that was not sent after all."""
        self._tally.requests[label] -= 1

    def on_rate_limit(self) -> None:
        """Count a 429; the session paces its requests itself."""
        self._tally.rate_limited += 1

    def on_overload(self) -> None:
        """Slow down, as a request timed out or was answered 502, 503 or 504."""
        self._limiter.cut(_QUIET)


@define(eq=False)
class _Model:
    """What the runs of one model have shown of the pace that it can take."""

    starts: deque[float] = field(factory=lambda: deque(maxlen=_STARTS))
    lock: asyncio.Lock = field(factory=asyncio.Lock)
    interval: float = 0.0  # seconds between starts; 0 = as they come
    full_speed: float = 0.0  # the interval at which it is no longer slowed down
    cuts: int = 0


class StartPace:
    """Spaces the starts of a batch: all of them by a fixed interval, those of a model by what it has shown it can take.

    Starts get their turns in the order in which they ask; one that is cancelled leaves no gap.

    Args:
        interval: Seconds between any two starts.
        clock: Time and sleep.
    """

    def __init__(self, interval: float, clock: Clock) -> None:
        self._interval = interval
        self._clock = clock
        self._lock = asyncio.Lock()
        self._next_at = clock.monotonic()
        self._models: RecentItems[str, _Model] = RecentItems(_MAX_MODELS)
        self._stopped = asyncio.Event()
        self._stopped_by: FloraError | None = None

    def stop(self, cause: FloraError | None) -> None:
        """Give no more turns: the batch starts nothing more, because of an error or because it was told to."""
        self._stopped_by = cause
        self._stopped.set()

    async def turn(self, model: str, *, may_skip: bool) -> int:
        """Wait until a run of a model may be started, and return a number for `ended`.

        Args:
            model: The model, technique or action.
            may_skip: Whether a stopped batch does without the start.

        Raises:
            SkippedError: The batch was stopped.
        """
        known = self._models.get(model)
        if known is None:
            known = self._models[model] = _Model()
        if known.interval:
            async with known.lock:
                await self._until(known.starts[-1] + known.interval, may_skip=may_skip)
                known.starts.append(self._clock.monotonic())
        if self._interval:
            async with self._lock:
                await self._until(self._next_at, may_skip=may_skip)
                self._next_at = self._clock.monotonic() + self._interval
        if not known.interval:
            known.starts.append(self._clock.monotonic())
        return known.cuts

    async def _until(self, moment: float, *, may_skip: bool) -> None:
        if not may_skip:
            await self._clock.sleep(max(moment - self._clock.monotonic(), 0.0))
            return
        if not self._stopped.is_set() and moment > (now := self._clock.monotonic()):
            await sleep_or(self._clock, moment - now, self._stopped)
        if self._stopped.is_set():
            raise SkippedError from self._stopped_by

    def ended(self, model: str, turn: int, *, under_load: bool) -> None:
        """Learn from how a run ended.

        Args:
            model: As for `turn`.
            turn: What `turn` returned. Runs that were started before the model was last slowed down tell nothing new.
            under_load: Whether it failed, or could not be started, because there was too much to do.
        """
        known = self._models.get(model)
        if known is None or turn != known.cuts:
            return
        if not under_load:
            known.interval *= _FASTER
            if known.interval <= known.full_speed:
                known.interval = 0.0
            return
        known.cuts += 1
        if not known.interval:
            known.interval = (self._clock.monotonic() - known.starts[0]) / len(known.starts)
            known.full_speed = known.interval * _RECOVERED
        known.interval = min(known.interval * _SLOWER, _MAX_INTERVAL)
