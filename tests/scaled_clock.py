"""A clock for tests of what takes minutes, with FLORA and its clients on the same fast time."""

import asyncio
import random
import time


class ScaledClock:
    """A clock that runs `factor` times as fast as the machine's.

    Unlike on a `VirtualClock`, concurrent sleeps end in order, and a request takes time.
    """

    __slots__ = ("_began", "factor")

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self._began = time.monotonic()

    def monotonic(self) -> float:
        return 5_000 + self._elapsed

    def time(self) -> float:
        return 1_780_000_000 + self._elapsed

    def random(self) -> float:
        return random.random()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.factor)

    @property
    def _elapsed(self) -> float:
        return (time.monotonic() - self._began) * self.factor
