"""A cache of bounded size, and locks by key."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from typing import TypeVar

from flora_async._checks import other_loop_error

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class RecentItems(OrderedDict[KeyT, ValueT]):
    """A mapping that drops its oldest item when it is full.

    Args:
        max_items: How many items it holds.
    """

    def __init__(self, max_items: int) -> None:
        super().__init__()
        self._max_items = max_items

    def __setitem__(self, key: KeyT, value: ValueT) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._max_items:
            self.popitem(last=False)


class KeyedLocks:
    """Locks by key, each kept for as long as it is held or waited for."""

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks: dict[Hashable, _CountedLock] = {}

    @asynccontextmanager
    async def hold(self, key: Hashable) -> AsyncGenerator[None, None]:
        """Hold the lock of a key.

        Raises:
            RuntimeError: The lock is in use on another event loop.
        """
        loop = asyncio.get_running_loop()
        lock = self._locks.get(key)
        if lock is None or lock.loop.is_closed():  # its holders ended with their loop
            lock = self._locks[key] = _CountedLock(loop)
        elif lock.loop is not loop:
            raise other_loop_error()
        lock.users += 1
        try:
            async with lock:
                yield
        finally:
            lock.users -= 1
            # A lock between two owners is not locked: it may be forgotten only when no task waits for it either.
            if not lock.users and self._locks.get(key) is lock:
                del self._locks[key]


class _CountedLock(asyncio.Lock):
    """A lock that counts the tasks that hold it or wait for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        self.users = 0
