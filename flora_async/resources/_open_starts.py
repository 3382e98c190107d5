"""Track the starts of a session: which are under way or in doubt, and which runs they have made."""

import asyncio
import hashlib
import math
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, NamedTuple

from attrs import define, field

from flora_async._clock import Clock, sleep_or
from flora_async._http.deadline import current_deadline
from flora_async._http.submission import KEY_LIFETIME, Submission

# Clocks differ, and FLORA's `Date` has whole seconds: a run within this time of an attempt may be of that attempt.
SLACK: Final = 2.0
# How many runs of settled starts are remembered, for as long as a key may be adopted; more while a start that began
# before them is under way or in doubt, as its run has to be told from theirs.
_MAX_REMEMBERED: Final = 500
_MAX_RIVALS: Final = 20_000


@define(eq=False)
class OpenStart:
    """A start whose outcome is not known yet.

    Attributes:
        history: The list that its run would show up in, such as `techniques.runs.list`; None = no list.
        target: The technique or model that is started.
        submission: What is known of it.
        began: When it was opened, in Unix seconds.
        settled: Set once nothing more is sent for it.
    """

    history: str | None
    target: str | None
    submission: Submission
    began: float
    settled: asyncio.Event = field(factory=asyncio.Event)

    @property
    def since(self) -> float:
        """The earliest time at which its run can have been created, in Unix seconds."""
        since = self.submission.since
        if since is None:
            return self.began
        return since if math.isfinite(since) else -math.inf

    @property
    def digest(self) -> bytes:
        """What it asks for, target and key, in a few bytes."""
        asked = repr((self.history, self.target, self.submission.idempotency_key))
        return hashlib.blake2b(asked.encode(errors="surrogatepass"), digest_size=16).digest()

    def may_share_a_run_with(self, other: "OpenStart") -> bool:
        """Whether a run found for this start may be the other's."""
        if not self._is_alike(other) or self._has_key_of(other):
            return False
        since, until = self._span()
        others_since, others_until = other._span()  # noqa: SLF001 - of this class
        return since <= others_until and others_since <= until

    def is_asked_again_by(self, other: "OpenStart") -> bool:
        """Whether the other is the same start: both have the same run."""
        return self._is_alike(other) and self._has_key_of(other)

    def _is_alike(self, other: "OpenStart") -> bool:
        return self.history == other.history and not _are_distinct(self.target, other.target)

    def _has_key_of(self, other: "OpenStart") -> bool:
        return self.submission.idempotency_key == other.submission.idempotency_key

    def _span(self) -> tuple[float, float]:
        submission = self.submission
        since = submission.since
        if since is None or not math.isfinite(since):
            return -math.inf, math.inf
        until = submission.until if self.settled.is_set() else None
        return since - SLACK, math.inf if until is None else until + SLACK


def _are_distinct(target: str | None, other: str | None) -> bool:
    """Whether two names are certainly of different techniques or models; a slug and an id may be of the same one."""
    if target is None or other is None or target == other:
        return False
    return target.startswith("tech_") is other.startswith("tech_")


class _Settled(NamedTuple):
    """What is kept of a start that has its run: when it got it, in Unix seconds, and a digest of what was asked."""

    time: float
    digest: bytes


class OpenStarts:
    """The starts of a session that are under way or in doubt, and the runs of those that are settled.

    Args:
        clock: Measures the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: set[OpenStart] = set()
        self._runs: OrderedDict[str, _Settled] = OrderedDict()
        self._forgotten_until = -math.inf

    @contextmanager
    def opened(self, start: OpenStart) -> Generator[OpenStart, None, None]:
        """Keep a start among those under way; when it ends in doubt, it stays as long as its key may be known."""
        # A repeated start replaces its earlier record, which would otherwise count as a rival.
        self._open = {o for o in self._open if not (o.settled.is_set() and o.is_asked_again_by(start))}
        self._open.add(start)
        try:
            yield start
        finally:
            start.settled.set()
            if not start.submission.in_doubt:
                self._open.discard(start)

    def account_for(self, start: OpenStart, *run_ids: str) -> None:
        """Record the run of a start, or its several runs, which therefore do not belong to any other start."""
        start.submission.in_doubt = False
        self._open.discard(start)
        now = self._clock.time()
        settled = _Settled(now, start.digest)
        for run_id in run_ids:
            self._runs[run_id] = settled
            self._runs.move_to_end(run_id)
        self._forget(now)

    def knows(self, run_id: str) -> bool:
        """Whether a run belongs to a settled start of this session."""
        return run_id in self._runs

    def run_of(self, start: OpenStart) -> str | None:
        """The run that this session has got for the same target under the same key, if any."""
        asked = start.digest
        return next((run_id for run_id, settled in self._runs.items() if settled.digest == asked), None)

    def has_forgotten_rivals(self, start: OpenStart) -> bool:
        """Whether runs of this session that are not remembered any more may be as old as this start."""
        return start.since - SLACK <= self._forgotten_until

    def rivals(self, start: OpenStart) -> list[OpenStart]:
        """Other starts whose run may be the one that is found for this start."""
        return [other for other in self._open if other is not start and start.may_share_a_run_with(other)]

    async def wait_for_rivals(self, start: OpenStart) -> None:
        """Wait until nothing more is sent for any rival: it has its run, was refused, or is in doubt as well."""
        while under_way := [other for other in self.rivals(start) if not other.settled.is_set()]:
            left = current_deadline() - self._clock.monotonic()
            if left <= 0:
                return
            if math.isinf(left):
                await under_way[0].settled.wait()
            else:
                await sleep_or(self._clock, left, under_way[0].settled)

    def _forget(self, now: float) -> None:
        """Forget runs and doubts that are too old to matter, and runs that no start can be confused with."""
        for start in [o for o in self._open if o.settled.is_set() and not _matters(o, now)]:
            self._open.discard(start)
        needed_since = min((o.since for o in self._open), default=now) - SLACK
        while self._runs:
            oldest, count = next(iter(self._runs.values())).time, len(self._runs)
            is_old = oldest < now - KEY_LIFETIME
            if count <= _MAX_RIVALS and not (oldest < needed_since and (count > _MAX_REMEMBERED or is_old)):
                return
            self._runs.popitem(last=False)
            if not is_old:
                self._forgotten_until = max(self._forgotten_until, oldest)


def _matters(start: OpenStart, now: float) -> bool:
    since = start.submission.since
    return since is None or not now - since > KEY_LIFETIME
