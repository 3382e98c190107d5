"""An event loop on which time passes only while there is nothing to do, for tests of what takes minutes."""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class _Selector(selectors.DefaultSelector):
    """Skips the wait for the next timer, unless a thread is still at work."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 5_000.0
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None or self.threads:
            return super().select(None)
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time stands still while sockets and threads have something to do, and else jumps to the next timer.

    Unlike on a `VirtualClock`, concurrent sleeps end in order, and time limits of asyncio and aiohttp are virtual, too.
    A request over loopback takes no time.
    """

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def run_in_executor(self, executor: Any, func: Callable[..., ResultT], *args: Any) -> asyncio.Future[ResultT]:  # type: ignore[override]  # without the types of the arguments
        future: asyncio.Future[ResultT] = super().run_in_executor(executor, func, *args)
        self._virtual.threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, _: object) -> None:
        self._virtual.threads -= 1


class LoopClock:
    """The time of the running loop, as a clock for FLORA and its clients."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def time(self) -> float:
        return 1_780_000_000 + self.monotonic()

    def random(self) -> float:
        return self._random.random()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run_virtually(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a coroutine to its end on a `VirtualLoop`."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
