"""Pace the requests of a session after a 429, at a rate that adapts.

FLORA does not publish its limit, and other processes share it. So each 429 sets the rate a little below what FLORA has
just accepted, and the rate then follows a cubic curve, as in TCP CUBIC (RFC 9438): it returns to the ceiling, stays
near it, and then probes beyond. The longer the pauses that FLORA asks for, the rarer the probes, as each may cost one.
"""

import asyncio
import heapq
import math
from collections import OrderedDict, deque
from itertools import count
from typing import Final

from flora_async._clock import Clock, sleep_or
from flora_async.errors import RateLimitError

# A 429 sets the rate to this share of what was accepted in the last second, or longer where a second says too little.
_CUT: Final = 0.9
_WINDOW: Final = 1.0
_MIN_SLOTS: Final = 5
# The rate is never cut by more than this at once: nothing is accepted right after a pause, which says little.
_MAX_CUT: Final = 0.5
# Where less than this was accepted in the last second, that was what was asked for and not the limit.
_MIN_MEASURED: Final = 5
# The rate falls no lower than to one request for each pause that FLORA asks for: within these bounds, as FLORA's own
# sample waits 5 s after a 429. 429s that come whatever the rate would otherwise bring it down to nothing.
_MIN_RATE: Final = 0.2
_MAX_MIN_RATE: Final = 5.0
# The rate is back at the ceiling after so many pauses, and so many requests, so that probes cost little of either.
_PAUSES: Final = 8.0
_REQUESTS: Final = 100.0
_MIN_RETURN: Final = 0.1
_MAX_RETURN: Final = 600.0
_MAX_RETURN_BY_REQUESTS: Final = 60.0
# After so many times that long without a 429, the rate is forgotten.
_FORGOTTEN: Final = 10.0
# Answers to starts arrive much later than they were accepted, so that a longer burst cannot be measured.
_MAX_BURST_SECONDS: Final = 0.15
# Seconds of slots that may be made up for where the event loop was late.
_SLACK: Final = 0.02
_MAX_RECORDED: Final = 1024
# Of the first second's starts, so many may be unanswered before the others wait a little for what comes of them: five
# hundred at once would all be refused before the first 429 arrives. An answer to a start can take half a minute.
_OPENING: Final = 1.0
_BURST: Final = 20
_BURST_TIME: Final = 0.25


class _Waiter:
    """A request that waits for its slot."""

    __slots__ = ("deadline", "granted", "woken")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.granted: bool | None = None  # False = its deadline came first
        self.woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self, *, granted: bool) -> None:
        self.granted = granted
        self.wake()

    def wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


class RateLimitGate:
    """Holds requests back after a 429: all of them for as long as FLORA asks, and then in slots at an adaptive rate.

    Each kind of request has a queue of its own, and the queues take turns: polls do not starve starts, nor the reverse.
    One of the waiting requests sleeps until the next slot, on behalf of all.

    Args:
        clock: Time and sleep.

    Attributes:
        is_active: Whether requests have to `wait`.
        is_opening: Whether starts have to, as the session has just made its first ones.
        accepted: When the last requests were accepted, in seconds of the monotonic clock; the client appends to it.
        reason: The last 429.
    """

    __slots__ = (
        "_ceiling",
        "_ceiling_before",
        "_clock",
        "_cut_at",
        "_deadlines",
        "_freed",
        "_grows_from",
        "_leader",
        "_left",
        "_measured",
        "_next_at",
        "_numbers",
        "_opened_at",
        "_opens_at",
        "_pause",
        "_queue_times",
        "_queues",
        "_rate_before",
        "_return",
        "_wakes_at",
        "_window",
        "accepted",
        "is_active",
        "is_opening",
        "reason",
    )

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.is_active = False
        self.is_opening = True
        self._opened_at: float | None = None
        self._left = _BURST
        self._freed: asyncio.Event | None = None
        self.accepted: deque[float] = deque(maxlen=_MAX_RECORDED)
        self.reason: RateLimitError | None = None
        self._ceiling = math.inf  # requests a second at which the last 429 came
        self._return = 0.0  # seconds until the rate is back at the ceiling
        # Of the last 429 that cut the rate: the rate and ceiling before, what was accepted, and the pause it asked for.
        self._rate_before = self._ceiling_before = math.inf
        self._measured = self._pause = 0.0
        self._window = _WINDOW
        self._cut_at = self._opens_at = self._grows_from = self._next_at = -math.inf
        self._queues: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._queue_times: dict[str, float] = {}
        self._deadlines: list[tuple[float, int, _Waiter]] = []
        self._numbers = count()
        self._leader: _Waiter | None = None
        self._wakes_at = math.inf

    @property
    def rate(self) -> float:
        """The requests a second that may be sent as of now; infinite while nothing is held back."""
        return self._rate(self._clock.monotonic()) if self.is_active else math.inf

    def queue_time(self, kind: str) -> float:
        """How long the last request of a kind waited for its slot, in seconds."""
        return self._queue_times.get(kind, 0.0) if self.is_active else 0.0

    def delay(self, kind: str) -> float:
        """About how many seconds a further request of a kind would have to wait."""
        if not self.is_active:
            return 0.0
        now = self._clock.monotonic()
        ahead = len(self._queues.get(kind, ())) * max(len(self._queues), 1)
        return max(self._opens_at, self._next_at, now) - now + ahead / self._rate(now)

    def close(self, seconds: float, reason: RateLimitError, sent_at: float) -> bool:
        """Pause for `seconds` and slow down, after a 429 to a request that was sent at `sent_at`.

        Returns:
            Whether this 429 is the first since the rate was last cut; the others of a burst only lengthen the pause.
        """
        now = self._clock.monotonic()
        if self.reason is None or now + seconds > self._opens_at:
            self._opens_at, self.reason = now + seconds, reason
        is_new = not self.is_active or sent_at > self._cut_at
        if is_new:
            self._rate_before = self._rate(now) if self.is_active else math.inf
            self._ceiling_before = self._ceiling if self.is_active else math.inf
            self._window = max(_WINDOW, _MIN_SLOTS / self._rate_before)
            self._measured = sum(now - moment < self._window for moment in self.accepted) / self._window
            self._cut_at, self._pause, self._next_at = now, seconds, now
            self.is_active, self.is_opening = True, False
            self._estimate()
        self._next_at = self._grows_from = max(self._next_at, self._opens_at)
        return is_new

    def learn(self, sent_at: float) -> None:
        """Learn from a request that was accepted, sent at `sent_at`: just before the last 429, or in the opening."""
        if not self.is_active:
            if self._next_at <= self._clock.monotonic():
                self._left = min(self._left + 1, _BURST)
            else:
                self._left, self._next_at = 1, -math.inf
                if self._freed is not None:
                    self._freed.set()
        elif self._cut_at - self._window < sent_at <= self._cut_at:
            self._measured += 1 / self._window
            self._estimate()
            self._grows_from = max(self._grows_from, self._next_at)

    def _estimate(self) -> None:
        """Set the ceiling, and how soon the rate returns to it, by what is known of the last 429."""
        measured, before = self._measured, self._rate_before
        if before < math.inf:
            lowest = min(before, self._ceiling_before) * _MAX_CUT
            slowest = min(max(1.0 / max(self._pause, _MIN_RETURN), _MIN_RATE), _MAX_MIN_RATE) / _CUT
            self._ceiling = max(min(max(measured, lowest), before), slowest)
        else:
            self._ceiling = max(measured / (1.0 + self._burst_seconds()), _MIN_MEASURED)
            if measured < _MIN_MEASURED:
                self._return = min(max(self._pause, _MIN_RETURN), _MAX_RETURN)
                return
        by_requests = min(_REQUESTS / self._ceiling, _MAX_RETURN_BY_REQUESTS)
        self._return = min(max(_PAUSES * self._pause, by_requests), _MAX_RETURN)
        held = int(self._ceiling * _CUT)
        if 0 < held <= measured:
            # A window that is full stays so for a while, even where FLORA asks for no pause.
            self._next_at = max(self._next_at, self.accepted[-held] + _WINDOW)

    def _burst_seconds(self) -> float:
        """How long the first requests of a session were accepted: meanwhile, a full token bucket was refilled."""
        accepted = self.accepted
        if not accepted or accepted[0] <= self._cut_at - _WINDOW:
            return 0.0
        return min(accepted[-1] - accepted[0], _MAX_BURST_SECONDS)

    def _rate(self, now: float) -> float:
        """The requests a second as of now."""
        since = (max(now, self._grows_from) - self._grows_from) / self._return - 1.0
        return self._ceiling * (1.0 + (1.0 - _CUT) * since**3)

    async def wait(self, kind: str, deadline: float = math.inf) -> bool:
        """Return True once a request of a kind may be sent, or False if `deadline` (monotonic seconds) comes first."""
        now = self._clock.monotonic()
        leader = self._leader
        if leader is not None and leader.woken.get_loop() is not asyncio.get_running_loop():
            leader = self._leader = None  # its loop has ended, and with it all that waited
            self._queues.clear()
            self._deadlines.clear()
        if leader is None and now >= self._next_at:
            self._queue_times[kind] = 0.0
            self._take_slot(now)
            return True
        slot_at = self._next_at if leader is None else self._wakes_at
        if deadline <= slot_at:
            await self._clock.sleep(max(deadline - now, 0.0))
            return False
        granted = await self._queue(kind, _Waiter(deadline))
        self._queue_times[kind] = self._clock.monotonic() - now
        return granted or not self.is_active

    def _take_slot(self, now: float) -> None:
        """Let a request through, and set when the next one may be."""
        if self.is_opening:
            if self._opened_at is None:
                self._opened_at = now
            if now >= self._opened_at + _OPENING:
                self.is_opening = False
                return
            self._left -= 1
            if self._left == 0:
                self._left, self._next_at = _BURST, now + _BURST_TIME
        elif now - self._grows_from > _FORGOTTEN * self._return:
            self.is_active = False
        else:
            self._next_at = max(self._next_at, now - _SLACK) + 1.0 / self._rate(now)

    async def _queue(self, kind: str, waiter: _Waiter) -> bool:
        self._queues.setdefault(kind, deque()).append(waiter)
        if waiter.deadline < math.inf:
            heapq.heappush(self._deadlines, (waiter.deadline, next(self._numbers), waiter))
        try:
            if self._leader is None:
                self._leader = waiter
            else:
                await waiter.woken
            while waiter.granted is None:
                await self._sleep_for_all()
        except BaseException:
            if waiter.granted:
                self._next_at -= 1.0 / self._rate(self._clock.monotonic())  # the slot is for another request
            waiter.granted = False
            raise
        finally:
            if self._leader is waiter:
                self._leader = None
                self._appoint_leader()
        return waiter.granted

    async def _sleep_for_all(self) -> None:
        """Sleep until the next slot or deadline, and let through what it is time for."""
        while self._deadlines and self._deadlines[0][2].granted is not None:
            heapq.heappop(self._deadlines)
        self._wakes_at = min(self._next_at, self._deadlines[0][0] if self._deadlines else math.inf)
        seconds = max(self._wakes_at - self._clock.monotonic(), 0.0)
        if self.is_opening:
            self._freed = asyncio.Event()
            await sleep_or(self._clock, seconds, self._freed)
            self._freed = None
        else:
            await self._clock.sleep(seconds)
        now = self._clock.monotonic()
        while now >= self._next_at and (waiter := self._pop()) is not None:
            self._take_slot(now)
            waiter.end(granted=True)
        while self._deadlines and self._deadlines[0][0] <= now:
            waiter = heapq.heappop(self._deadlines)[2]
            if waiter.granted is None:
                waiter.end(granted=False)

    def _pop(self) -> _Waiter | None:
        """Remove and return the next request that is still waiting, from the queue whose turn it is."""
        while self._queues:
            kind, queue = self._queues.popitem(last=False)
            while queue and queue[0].granted is not None:
                queue.popleft()
            if queue:
                self._queues[kind] = queue
                return queue.popleft()
        return None

    def _appoint_leader(self) -> None:
        """Let another waiting request sleep for all."""
        for queue in self._queues.values():
            for waiter in queue:
                if waiter.granted is None:
                    self._leader = waiter
                    waiter.wake()
                    return
