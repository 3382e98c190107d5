"""`VirtualClock`, whose sleeps return at once."""

import asyncio
import math

import pytest

from flora_async.testing import (
    VirtualClock,
)


async def test_sleep_advances_the_time_and_is_recorded() -> None:
    clock = VirtualClock(start=1000.0)
    before = clock.monotonic()
    for seconds in (2.5, 0, -1):
        await clock.sleep(seconds)
    assert (clock.time(), clock.monotonic() - before) == (1002.5, 2.5)
    assert clock.sleeps == [2.5, 0, -1]


async def test_concurrent_sleeps_overlap() -> None:
    clock = VirtualClock(start=0.0)
    await asyncio.gather(clock.sleep(3), clock.sleep(5), clock.sleep(4))
    assert clock.time() == 5.0


async def test_a_cancelled_sleep_does_not_advance_the_time() -> None:
    clock = VirtualClock(start=0.0)
    task = asyncio.create_task(clock.sleep(5))
    while not clock.sleeps:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), clock.time()) == (True, 0.0)


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_the_time_only_advances_by_a_finite_number(clock: VirtualClock, seconds: float) -> None:
    with pytest.raises(ValueError, match="forward"):
        clock.advance(seconds)


@pytest.mark.parametrize("seconds", [math.nan, math.inf])
async def test_an_endless_sleep_is_refused(clock: VirtualClock, seconds: float) -> None:
    with pytest.raises(ValueError, match="cannot sleep"):
        await clock.sleep(seconds)
    assert clock.sleeps == []


def test_randomness_is_repeatable_or_constant() -> None:
    one, two, other = VirtualClock(seed=1), VirtualClock(seed=1), VirtualClock(seed=2)
    drawn = [one.random() for _ in range(5)]
    assert drawn == [two.random() for _ in range(5)]
    assert drawn != [other.random() for _ in range(5)]
    assert all(0 <= number < 1 for number in drawn)
    assert [VirtualClock(constant=0.25).random() for _ in range(2)] == [0.25, 0.25]
