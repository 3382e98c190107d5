"""Run blocking work in daemon threads, so that work which hangs, as on a network mount, never keeps a process alive."""

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, ParamSpec, TypeVar

ResultT = TypeVar("ResultT")
ParamsT = ParamSpec("ParamsT")

# How long a cancellation, or cleaning up, waits for work in a thread before it leaves it behind; in seconds.
_PATIENCE: Final = 2.0


class DaemonThreads(Executor):
    """A limited number of daemon threads, started when they are needed.

    Unlike those of `ThreadPoolExecutor`, which asyncio uses by default, they are not waited for when the process ends.

    Args:
        max_threads: How many there are at most; further work waits for one of them.
        name: The name of the threads.
    """

    def __init__(self, max_threads: int, name: str) -> None:
        self._max_threads = max_threads
        self._name = name
        self.forget_threads()
        _all.add(self)

    def forget_threads(self) -> None:
        """Begin without threads, as in a forked process, which has none of those that its parent had started."""
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def submit(
        self, fn: Callable[ParamsT, ResultT], /, *args: ParamsT.args, **kwargs: ParamsT.kwargs
    ) -> Future[ResultT]:
        """Do work as soon as a thread is free."""
        future: Future[ResultT] = Future()
        with self._lock:
            self._queue.put(partial(_perform, future, partial(fn, *args, **kwargs)))
            if not self._idle.acquire(blocking=False) and len(self._threads) < self._max_threads:
                thread = threading.Thread(target=_work, args=(self._queue, self._idle), name=self._name, daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - Executor's signature
        """End the threads once all work is done."""
        with self._lock:
            threads, self._threads = self._threads, []
            for _ in threads:
                self._queue.put(None)
        for thread in threads if wait else ():
            thread.join()


def _work(queue: "SimpleQueue[Callable[[], None] | None]", idle: threading.Semaphore) -> None:
    while True:
        try:
            perform = queue.get_nowait()
        except Empty:
            idle.release()
            perform = queue.get()
        if perform is None:
            return
        perform()
        del perform  # which refers to the result


def _perform(future: "Future[Any]", work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - handed on by the future
        future.set_exception(error)
    else:
        future.set_result(result)


def _forget_threads() -> None:
    for threads in _all:
        threads.forget_threads()


_all: Final["weakref.WeakSet[DaemonThreads]"] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)

# Work of one kind that hangs must not keep the others waiting.
FILES: Final = DaemonThreads(min(32, (os.cpu_count() or 1) + 4), "flora-files")
NAMES: Final = DaemonThreads(16, "flora-names")
_COMPUTATION: Final = DaemonThreads(4, "flora-computation")


def begin(work: Callable[ParamsT, ResultT], *args: ParamsT.args, **kwargs: ParamsT.kwargs) -> "asyncio.Future[ResultT]":
    """Begin work with files in a thread; `finish` must follow."""
    # Shielded, as cancelling would skip the work, cleaning up included, if no thread is free yet.
    return asyncio.get_running_loop().run_in_executor(FILES, partial(work, *args, **kwargs))


async def finish(work: "asyncio.Future[ResultT]", *, patience: float | None = None) -> ResultT:
    """Wait for the work of a thread; a cancellation is passed on once the work has ended, or does not end in time.

    Args:
        work: What to wait for.
        patience: Seconds to wait at most; None = until the end, unless this is cancelled.

    Raises:
        TimeoutError: The patience has come to its end, but the work has not.
    """
    loop = asyncio.get_running_loop()
    ends = None if patience is None else loop.time() + patience
    cancelled: asyncio.CancelledError | None = None
    while not work.done() and (ends is None or loop.time() < ends):
        try:
            await asyncio.wait((work,), timeout=None if ends is None else ends - loop.time())
        except asyncio.CancelledError as error:
            cancelled = error
            ends = loop.time() + _PATIENCE if ends is None else ends
    if cancelled is not None or not work.done():
        work.add_done_callback(_retrieve)
        raise TimeoutError if cancelled is None else cancelled
    return work.result()


def _retrieve(work: "asyncio.Future[Any]") -> None:
    if not work.cancelled():
        work.exception()  # so that asyncio does not report it as lost


async def in_thread(work: Callable[ParamsT, ResultT], *args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ResultT:
    """Do work with files in a thread and wait for its end."""
    return await finish(begin(work, *args, **kwargs))


async def clean_up(work: Callable[ParamsT, None], *args: ParamsT.args, **kwargs: ParamsT.kwargs) -> None:
    """Clean up in a thread. If that takes long, the thread does it alone."""
    try:
        await finish(begin(work, *args, **kwargs), patience=_PATIENCE)
    except TimeoutError:
        return


async def off_loop(work: Callable[ParamsT, ResultT], *args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ResultT:
    """Do work with files that changes nothing in a thread. A cancellation does not wait for it."""
    return await asyncio.get_running_loop().run_in_executor(FILES, partial(work, *args, **kwargs))


async def computed(work: Callable[ParamsT, ResultT], *args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ResultT:
    """Compute something in a thread, so that the event loop is not blocked, and wait for its end."""
    return await finish(asyncio.get_running_loop().run_in_executor(_COMPUTATION, partial(work, *args, **kwargs)))
