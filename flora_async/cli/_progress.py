"""Show how runs are getting on: live in a terminal with rich, and one line for each change elsewhere."""

import os
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from flora_async._text import printable
from flora_async.cli._output import note

if TYPE_CHECKING:
    from rich.progress import TaskID

    from flora_async.batch import BatchSummary
    from flora_async.models import Run


class LineProgress:
    """One line on stderr for each change of a run, and nothing more."""

    is_live = False

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show_run(self, run: "Run") -> None:
        """Show a run that has changed."""
        elapsed = time.monotonic() - self._began
        note(f"{elapsed:.1f} s {printable(str(run.status), 40)} {run.progress:.0f} % {printable(run.run_id, 80)}")

    def show_time_left(self, age: float, left: float) -> None:
        """Show how long the run still takes, in seconds; a line cannot count down."""

    def show_batch(self, summary: "BatchSummary", total: int | None) -> None:
        """Show a batch whose summary has changed; each result has its own line already."""


class LiveProgress(LineProgress):
    """A bar on the terminal, redrawn in place."""

    is_live = True

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console  # noqa: PLC0415 - an extra
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        self._progress: Progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[details]}", markup=False),
            console=Console(stderr=True, soft_wrap=True),  # lines of results are not broken between words
            redirect_stdout=sys.stdout.isatty(),
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("starting", start=False, total=None, details="")
        self._run: Run | None = None
        self._share = 0.0
        self._left = ""

    def __enter__(self) -> Self:
        self._progress.start_task(self._task)
        with suppress(OSError):  # the terminal has gone, which must not cost what is paid for
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # as above
            self._progress.stop()

    def show_run(self, run: "Run") -> None:
        """Show a run that has changed."""
        self._run = run
        self._show()

    def show_time_left(self, age: float, left: float) -> None:
        """Show how long the run still takes; the bar follows the time while FLORA does not tell its progress."""
        self._share = 100 * age / (age + left) if left else 99.0
        self._left = f"about {_duration(left)} left" if left >= 1 else ""
        self._show()

    def _show(self) -> None:
        run = self._run
        status, run_id, share = ("started", "", 0.0) if run is None else (str(run.status), run.run_id, run.progress)
        share = share if share > 0 else self._share
        details = ", ".join(filter(None, (printable(run_id, 80), self._left)))
        self._update(printable(status, 40), share, 100.0 if share > 0 else None, details)

    def show_batch(self, summary: "BatchSummary", total: int | None) -> None:
        """Show a batch whose summary has changed."""
        self._update(f"{summary.ended}/{total or '?'} rows", summary.ended, total, _batch_details(summary, total))

    def _update(self, description: str, completed: float, total: float | None, details: str) -> None:
        self._progress.update(self._task, description=description, completed=completed, total=total, details=details)


def progress() -> LineProgress:
    """Return what suits stderr: a live bar in a terminal if rich is installed, or else lines."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return LineProgress()
    try:
        return LiveProgress()
    except ImportError:
        return LineProgress()


def _batch_details(summary: "BatchSummary", total: int | None) -> str:
    parts = [f"{len(summary.in_flight)} running", f"{summary.failed} failed", f"{summary.cost:.2f} USD"]
    ended_here = summary.ended - summary.resumed  # those of earlier processes say nothing about the pace
    if ended_here > 0 and summary.wall_time > 0:
        rate = ended_here / summary.wall_time
        parts.append(f"{60 * rate:.1f}/min")
        if total is not None and total > summary.ended:
            parts.append(f"about {_duration((total - summary.ended) / rate)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
