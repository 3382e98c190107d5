"""A clock whose sleeps take no time."""

import asyncio
import math
import random


class VirtualClock:
    """A `Clock` on which an hour of waiting passes in one iteration of the event loop.

    `sleep` lets the other tasks run once and then advances the time by itself. Concurrent sleeps are not ordered: each
    of them advances the time to its own end unless the time is already later.

    Args:
        start: The initial Unix time in seconds.
        seed: The seed of `random()`.
        constant: A number in `[0, 1)` that `random()` always returns; `None` for a random sequence.

    Attributes:
        sleeps: The seconds passed to every `sleep`, in order.

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

    # Far from both 0 and Unix time, so that confusing the two clocks is noticed.
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
        self._random = random.Random(seed)  # noqa: S311 - jitter must be repeatable, not secret

    def __repr__(self) -> str:
        return f"<VirtualClock after {getattr(self, '_elapsed', 0.0):g} s>"

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes backwards."""
        return self._BOOT + self._elapsed

    def time(self) -> float:
        """Return the Unix time in seconds."""
        return self._start + self._elapsed

    def random(self) -> float:
        """Return the constant or the next number of the seeded sequence, in `[0, 1)`."""
        return self._random.random() if self._constant is None else self._constant

    async def sleep(self, seconds: float) -> None:
        """Let other tasks run once, then advance by `seconds`; zero and negative ones only let other tasks run.

        Raises:
            ValueError: `seconds` is NaN or infinite.
        """
        if not math.isfinite(seconds):
            raise ValueError(f"cannot sleep {seconds} seconds: a VirtualClock needs a finite number")
        self.sleeps.append(seconds)
        end = self._elapsed + seconds
        await asyncio.sleep(0)
        self._elapsed = max(self._elapsed, end)

    def advance(self, seconds: float) -> None:
        """Advance the time.

        Raises:
            ValueError: `seconds` is negative, NaN or infinite.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"seconds must be finite and 0 or more, as time only moves forward, not {seconds}")
        self._elapsed += seconds
