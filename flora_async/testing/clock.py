"""A clock whose sleeps take no time."""

import asyncio
import math
import random


class VirtualClock:
    """A `Clock` on which an hour of waiting passes in one turn of the event loop.

    `sleep` lets the other tasks run once and then moves the time forward by itself. Sleeps of several tasks
    are not put in order: each one moves the time to its own end, if it is not later already.

    Args:
        start: Unix time in seconds at which `time()` begins.
        seed: Seed of the numbers that `random()` draws.
        constant: What `random()` always gives instead, in `[0, 1)`; `None` to draw.

    Attributes:
        sleeps: The seconds asked of each `sleep`, in order.

    Raises:
        ValueError: `start` is not a finite number, or `constant` is not in `[0, 1)`.

    Example:
        >>> import asyncio
        >>> from flora_async.testing import VirtualClock
        >>> clock = VirtualClock()
        >>> asyncio.run(clock.sleep(3600))
        >>> clock.time()
        1780003600.0
        >>> clock.sleeps
        [3600]
    """

    __slots__ = ("_constant", "_elapsed", "_random", "_start", "sleeps")

    # Far from both 0 and Unix time, so that a mix-up of the two clocks shows.
    _BOOT = 5_000.0

    def __init__(self, *, start: float = 1_780_000_000.0, seed: int = 0, constant: float | None = None) -> None:
        if not math.isfinite(start):
            raise ValueError(f"start must be a finite Unix time in seconds, not {start}")
        if constant is not None and not 0 <= constant < 1:
            raise ValueError(f"constant must be in [0, 1), not {constant}")
        self.sleeps: list[float] = []
        self._start = start
        self._elapsed = 0.0
        self._constant = constant
        self._random = random.Random(seed)  # noqa: S311  jitter, which has to be repeatable, not secret

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return self._BOOT + self._elapsed

    def time(self) -> float:
        """Unix time in seconds."""
        return self._start + self._elapsed

    def random(self) -> float:
        """The constant, or the next number of the seeded sequence, in `[0, 1)`."""
        return self._random.random() if self._constant is None else self._constant

    async def sleep(self, seconds: float) -> None:
        """Let other tasks run once, then be `seconds` later; zero and negative ones only let others run.

        Raises:
            ValueError: `seconds` is NaN or infinite: such a sleep has no end to move to.
        """
        if not math.isfinite(seconds):
            raise ValueError(f"cannot sleep {seconds} seconds")
        self.sleeps.append(seconds)
        end = self._elapsed + seconds
        await asyncio.sleep(0)
        self._elapsed = max(self._elapsed, end)

    def advance(self, seconds: float) -> None:
        """Move the time forward by hand.

        Raises:
            ValueError: `seconds` is negative, NaN or infinite.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"time only goes forward, by a finite number of seconds, not by {seconds}")
        self._elapsed += seconds
