"""Show how long a run is still expected to take, going by earlier runs of its kind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from flora_async.cli._progress import LineProgress
from flora_async.errors import FloraError
from flora_async.models import Run, RunTicket
from flora_async.polling import Distribution
from flora_async.polling._poller import Poller
from flora_async.polling._progress import subject_of
from flora_async.session import FloraSession

_REFRESH: Final = 0.5


@asynccontextmanager
async def showing_time_left(
    flora: FloraSession, shown: LineProgress, latest: Callable[[], Run | RunTicket | None]
) -> AsyncIterator[None]:
    """Keep showing the time left inside the `async with`, where progress is shown live.

    Args:
        flora: The session, which learns from the history of what is run.
        shown: Shows the time.
        latest: Returns the run as last seen; None = not seen yet.
    """
    if not shown.is_live:
        yield
        return
    task = asyncio.create_task(_keep_showing(flora._poller, shown, latest))  # noqa: SLF001 - run times are not public
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))  # what went wrong with showing it is logged by the loop, and affects nothing


async def _keep_showing(poller: Poller, shown: LineProgress, latest: Callable[[], Run | RunTicket | None]) -> None:
    began, subject = poller.clock.monotonic(), None
    while True:
        run = latest()
        if run is not None:
            if subject is None:
                subject = subject_of(poller.run_times, run)
                if subject is not None and poller.read_history is not None:
                    with suppress(FloraError):  # without a history, there is nothing to go by
                        await poller.read_history(subject)
            known = None if subject is None else poller.run_times.known(subject)
            age = poller.clock.monotonic() - began
            if isinstance(run, Run) and run.created_at is not None:
                age = max(poller.client.flora_time - run.created_at.timestamp(), 0.0)
            if known is not None:
                shown.show_time_left(age, seconds_left(known, age))
        await asyncio.sleep(_REFRESH)


def seconds_left(known: Distribution, age: float) -> float:
    """The seconds after which half of the runs of this age have ended."""
    ended = known.cdf(age)
    middle = (1.0 + ended) / 2
    return max(known.quantile(middle) - age, 0.0) if middle < 1.0 else 0.0
