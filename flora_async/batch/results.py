"""The result of each row of a batch, and the summary of the batch."""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from flora_async.batch.budget import Budget
from flora_async.batch.rows import RunRequest
from flora_async.errors import RunFailedError, SkippedError
from flora_async.models import Run, RunOutput

_BUCKET_RATIO: Final = 1.02
_MIN_DURATION: Final = 0.001  # seconds


@frozen(kw_only=True)
class BatchResult:
    """How one row ended.

    Attributes:
        index: The row's position in the source, from 0.
        key: The row's key.
        request: The row, as a `RunRequest`; None when the row could not be read as one.
        run: The run as last seen; None when no run was started, or when that is not known.
        error: Why there is no completed run, or why its outputs were not saved; None on success.
        attempts: How many runs were started for the row, including earlier processes.
        resumed: Whether the run was started by an earlier process and found in the journal.
        files: With `save_to`, the paths of its outputs, in their order.
    """

    index: int
    key: str
    request: RunRequest | None = None
    run: Run | None = None
    error: Exception | None = None
    attempts: int = 0
    resumed: bool = False
    files: tuple[Path, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the run has completed and, with `save_to`, its outputs were saved."""
        return self.error is None

    @property
    def outputs(self) -> tuple[RunOutput, ...]:
        """The outputs of the run; empty when there is no run."""
        return self.run.outputs if self.run else ()

    @property
    def skipped(self) -> bool:
        """Whether the row was not started because the batch was stopped or its budget was used up."""
        return isinstance(self.error, SkippedError)


@frozen(kw_only=True)
class BatchSummary:
    """A batch in numbers, so far or at its end.

    Attributes:
        planned: Rows taken from the source.
        started: Runs started by this process, each attempt counted.
        completed: Rows whose run has completed.
        failed: Rows that have ended with an error.
        skipped: Rows not started because the batch was stopped or its budget was used up.
        resumed: Rows whose run an earlier process had started.
        in_flight: Ids of runs that were started and not seen to end; after leaving early, they continue on FLORA.
        cost: The cost of all runs in USD, including earlier processes with this journal. A run whose cost is not known
            counts at its price.
        cost_is_final: Whether FLORA has named the cost of every run. At the end of a batch it is False when a run is in
            flight or in doubt, or has ended without a known cost: FLORA names it up to a minute later, and none for a
            failed run that it refunds.
        wall_time: Seconds since the batch was entered.
        run_time_p50: Median duration of the runs in seconds, within 2 %; None before the first has ended.
        run_time_p95: The duration in seconds that 95 % of the runs did not exceed, within 2 %.
        requests: How many requests were sent, by kind: start, poll, history, technique.
        rate_limited: How many requests were answered with 429.
    """

    planned: int
    started: int
    completed: int
    failed: int
    skipped: int
    resumed: int
    in_flight: tuple[str, ...]
    cost: float
    cost_is_final: bool
    wall_time: float
    run_time_p50: float | None
    run_time_p95: float | None
    requests: Mapping[str, int]
    rate_limited: int

    def __str__(self) -> str:
        """One line for people and logs."""
        times = (
            ""
            if self.run_time_p50 is None
            else f", runs took {self.run_time_p50:.1f} s (p95 {self.run_time_p95:.1f} s)"
        )
        sent = ", ".join(f"{count} {kind}" for kind, count in sorted(self.requests.items()))
        return (
            f"{self.completed} completed, {self.failed} failed, {self.skipped} skipped of {self.planned} rows"
            f" ({self.resumed} resumed, {len(self.in_flight)} in flight)"
            f" for {self.cost:.4g} USD{'' if self.cost_is_final else ' (not final)'}"
            f" in {self.wall_time:.1f} s{times}; requests: {sent or 'none'}; {self.rate_limited} rate limited"
        )


class Durations:
    """A histogram of durations in buckets 2 % wide.

    Its memory does not grow with the number of runs, as that of a list for `statistics.quantiles` would.
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Add the duration of one run."""
        self._counts[math.ceil(math.log(max(seconds, _MIN_DURATION), _BUCKET_RATIO))] += 1

    def quantile(self, share: float) -> float | None:
        """The seconds that `share` of the runs did not exceed; None without any run."""
        remaining = math.ceil(share * self._counts.total())
        for bound in sorted(self._counts):
            remaining -= self._counts[bound]
            if remaining <= 0:
                return _BUCKET_RATIO**bound
        return None


@define
class Tally:
    """The numbers of a batch while it runs."""

    planned: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    resumed: int = 0
    rate_limited: int = 0
    in_flight: dict[str, None] = field(factory=dict)
    requests: Counter[str] = field(factory=Counter)
    _durations: Durations = field(factory=Durations)

    def count(self, result: BatchResult) -> None:
        """Count the result of a row."""
        self.resumed += result.resumed
        if result.ok:
            self.completed += 1
        elif result.skipped:
            self.skipped += 1
        else:
            self.failed += 1
        ended = result.error is None or isinstance(result.error, RunFailedError)
        if ended and result.run is not None and result.run.duration is not None:
            self._durations.add(result.run.duration)

    def summary(self, budget: Budget, wall_time: float) -> BatchSummary:
        """The numbers now."""
        return BatchSummary(
            planned=self.planned,
            started=self.started,
            completed=self.completed,
            failed=self.failed,
            skipped=self.skipped,
            resumed=self.resumed,
            in_flight=tuple(self.in_flight),
            cost=budget.spent,
            cost_is_final=budget.is_settled and not self.in_flight,
            wall_time=wall_time,
            run_time_p50=self._durations.quantile(0.5),
            run_time_p95=self._durations.quantile(0.95),
            requests=dict(self.requests),
            rate_limited=self.rate_limited,
        )
