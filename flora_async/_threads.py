"""Run blocking work in threads, and never leave it running unwatched."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

ResultT = TypeVar("ResultT")
ParamsT = ParamSpec("ParamsT")


def begin(work: Callable[ParamsT, ResultT], *args: ParamsT.args, **kwargs: ParamsT.kwargs) -> "asyncio.Future[ResultT]":
    """Begin work in a thread; `finish` must follow."""
    # Not `asyncio.to_thread`, which skips the work, cleaning up included, if it is cancelled before a thread is free.
    return asyncio.get_running_loop().run_in_executor(None, partial(work, *args, **kwargs))


async def finish(work: "asyncio.Future[ResultT]") -> ResultT:
    """Wait for the work of a thread to its end, even when cancelled; the cancellation is passed on then."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait((work,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        work.exception()  # retrieved, so that asyncio does not report it as lost
        raise cancelled
    return work.result()


async def in_thread(work: Callable[ParamsT, ResultT], *args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ResultT:
    """Do work in a thread and wait for its end."""
    return await finish(begin(work, *args, **kwargs))
