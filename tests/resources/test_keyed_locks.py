"""Locks by key: one holder at a time, whatever is cancelled, and nothing left behind."""

import asyncio
import random

import pytest

from flora_async._cache import KeyedLocks


@pytest.mark.parametrize("seed", range(20))
async def test_a_cancelled_waiter_never_lets_two_others_hold_a_lock_at_once(seed: int) -> None:
    locks, chance = KeyedLocks(), random.Random(seed)
    holders = entered = 0

    async def work() -> None:
        nonlocal holders, entered
        async with locks.hold("key"):
            holders += 1
            entered += 1
            assert holders == 1
            try:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                holders -= 1

    tasks = []
    for _ in range(200):
        tasks.append(asyncio.create_task(work()))
        if chance.random() < 0.4:
            chance.choice(tasks).cancel()
        if chance.random() < 0.5:
            await asyncio.sleep(0)
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [error for error in ended if isinstance(error, Exception)]
    assert 0 < entered < 200
    assert not locks._locks


async def test_a_waiter_that_is_cancelled_while_the_lock_changes_hands_lets_one_through() -> None:
    locks, order = KeyedLocks(), list[str]()

    async def work(name: str) -> None:
        async with locks.hold("key"):
            order.append(f"{name} in")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            order.append(f"{name} out")

    first, second, third = (asyncio.create_task(work(name)) for name in ("first", "second", "third"))
    while "first out" not in order:
        await asyncio.sleep(0)
    second.cancel()  # just as the lock is handed to it
    fourth = asyncio.create_task(work("fourth"))
    await asyncio.gather(first, second, third, fourth, return_exceptions=True)
    assert order == [f"{name} {step}" for name in ("first", "third", "fourth") for step in ("in", "out")]


def test_a_lock_that_another_loop_holds_is_refused_with_a_remedy() -> None:
    locks, first, second = KeyedLocks(), asyncio.new_event_loop(), asyncio.new_event_loop()

    async def hold(released: asyncio.Event) -> None:
        async with locks.hold("key"):
            await released.wait()

    released = asyncio.Event()
    try:
        held = first.create_task(hold(released))
        first.run_until_complete(asyncio.sleep(0))
        with pytest.raises(RuntimeError, match="another event loop"):
            second.run_until_complete(hold(released))
        released.set()
        first.run_until_complete(held)
        second.run_until_complete(hold(released))
    finally:
        first.close()
        second.close()


def test_a_lock_whose_loop_was_closed_is_free() -> None:
    locks = KeyedLocks()
    holding = locks.hold("key")
    gone = asyncio.new_event_loop()
    gone.run_until_complete(holding.__aenter__())
    gone.close()

    async def hold() -> bool:
        async with locks.hold("key"):
            return True

    assert asyncio.run(hold())
