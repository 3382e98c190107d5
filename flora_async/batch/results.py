"""The result of each row of a batch, and the summary of the batch."""

import math
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import asdict, define, field, frozen

from flora_async._repr import ShortRepr
from flora_async._text import encodable, printable
from flora_async.batch.budget import Budget
from flora_async.batch.rows import Request
from flora_async.errors import RunFailedError, SkippedError, SubmissionUnknownError
from flora_async.models import Run, RunOutput

_MAX_LATEST: Final = 8
_BUCKET_RATIO: Final = 1.02
_MIN_DURATION: Final = 0.001  # seconds


@frozen(kw_only=True)
class BatchResult(ShortRepr):
    """How one row ended.

    Attributes:
        index: The row's position in the source, from 0.
        key: The row's key.
        request: The row, as a request; None when the row could not be read as one.
        run: The run as last seen; None when no run was started, or when that is not known.
        error: Why there is no completed run, or why its outputs were not saved; None on success.
        attempts: How many runs were started for the row, including earlier processes.
        resumed: Whether the run was started by an earlier process and found in the journal.
        files: With `save_to`, the paths of its outputs, in their order; in a store they are `UPath` objects, which
            have the same methods.
    """

    index: int
    key: str
    request: Request | None = None
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
        """The outputs of the run; empty if no run is known."""
        return self.run.outputs if self.run else ()

    @property
    def skipped(self) -> bool:
        """Whether the row was not started because the batch was stopped or its budget was used up."""
        return isinstance(self.error, SkippedError)

    @property
    def status(self) -> str:
        """How the row stands, in one word.

        The status of its run where there is one, such as `completed` or `failed`. Otherwise `skipped`; `in_doubt` when
        a run may have been started; or `not_started`.
        """
        if self.run is not None:
            return str(self.run.status)
        if self.skipped:
            return "skipped"
        return "in_doubt" if isinstance(self.error, SubmissionUnknownError) else "not_started"

    def _repr_html_(self) -> str:
        from flora_async.batch.display import result_html  # noqa: PLC0415 - for notebooks alone

        return result_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Turn the result into a flat record of plain data, which `json.dumps` and data frames accept.

        Every record has the same names, in the same order; what is not known is None.

        Returns:
            `index`, `key`, `ok`, `status`, `run_id`; `cost`, what FLORA charged for the run in USD; `seconds`, the
            duration of the run; `output_urls`, `output_texts` and `files`, lists of text; `error_type` and `error`, the
            class and the message of the error; `error_code`, FLORA's code for it, and `hint`, FLORA's advice after a
            failed run; `request_id` and `idempotency_key` of the error; `attempts`, `resumed` and `adopted`.

        Example:
            >>> record = BatchResult(index=0, key="de-DE", run=Run(run_id="run_1", status="completed")).to_dict()
            >>> record["key"], record["status"], record["cost"], record["output_urls"]
            ('de-DE', 'completed', None, [])
        """
        run, error = self.run, self.error
        failure = run.failure if run else None
        record = {
            "index": self.index,
            "key": self.key,
            "ok": self.ok,
            "status": self.status,
            "run_id": run.run_id if run else None,
            # Until a run has ended, its cost is a quote.
            "cost": run.charged_cost if run and run.is_terminal else None,
            "seconds": run.duration if run else None,
            "output_urls": [encodable(output.url) for output in self.outputs if output.text is None],
            "output_texts": [encodable(output.text) for output in self.outputs if output.text is not None],
            "files": [encodable(str(path)) for path in self.files],
            "error_type": type(error).__name__ if error else None,
            "error": _message_of(error) if error else None,
            "error_code": failure.code if failure else _text_of(error, "code"),
            "hint": str(failure.hint) if failure and failure.hint else None,
            "request_id": _text_of(error, "request_id"),
            "idempotency_key": _text_of(error, "idempotency_key"),
            "attempts": self.attempts,
            "resumed": self.resumed,
            "adopted": run.adopted if run else False,
        }
        return {name: encodable(value) if isinstance(value, str) else value for name, value in record.items()}


def _message_of(error: Exception) -> str:
    """The message of any exception, also of one whose own method fails."""
    try:
        return printable(str(error))
    except Exception:  # noqa: BLE001 - one row's failure is that row's
        return "(its message cannot be read)"


def _text_of(error: Exception | None, name: str) -> str | None:
    """An attribute that some errors have; an error of another library may mean something else by it."""
    value = getattr(error, name, None)
    return value if isinstance(value, str) else None


@frozen(kw_only=True)
class BatchSummary(ShortRepr):
    """A batch in numbers, so far or at its end.

    Attributes:
        total: Rows that the source has, if it has a length; else None.
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
    total: int | None = None

    @property
    def ended(self) -> int:
        """Rows that have their result: completed, failed and skipped ones."""
        return self.completed + self.failed + self.skipped

    def to_dict(self) -> dict[str, Any]:
        """Turn the summary into plain data that `json.dumps` accepts.

        Returns:
            Every attribute under its name, `ended` included.
        """
        return {**asdict(self), "ended": self.ended, "in_flight": list(self.in_flight)}

    def __str__(self) -> str:
        """One line for people and logs."""
        times = (
            ""
            if self.run_time_p50 is None
            else f", runs took {self.run_time_p50:.1f} s (p95 {self.run_time_p95:.1f} s)"
        )
        sent = ", ".join(f"{count} {kind}" for kind, count in sorted(self.requests.items()))
        return (
            f"{self.completed} completed, {self.failed} failed, {self.skipped} skipped"
            f" of {self.planned if self.total is None else self.total} rows"
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

    total: int | None = None
    planned: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    resumed: int = 0
    rate_limited: int = 0
    in_flight: dict[str, None] = field(factory=dict)
    requests: Counter[str] = field(factory=Counter)
    latest_media: deque[tuple[str, RunOutput]] = field(factory=lambda: deque(maxlen=_MAX_LATEST))
    _durations: Durations = field(factory=Durations)

    def count(self, result: BatchResult) -> None:
        """Count the result of a row."""
        self.resumed += result.resumed
        self.latest_media += [(result.key, output) for output in result.outputs[:1] if output.text is None]
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
            total=self.total,
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
