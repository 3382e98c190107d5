"""Remember a bounded number of things, and do each thing once at a time."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class RecentItems(Generic[KeyT, ValueT]):
    """A mapping that forgets the item stored longest ago when it is full.

    Args:
        max_items: How many items it holds.
    """

    __slots__ = ("_items", "_max_items")

    def __init__(self, max_items: int) -> None:
        self._items: OrderedDict[KeyT, ValueT] = OrderedDict()
        self._max_items = max_items

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __len__(self) -> int:
        return len(self._items)

    def __setitem__(self, key: KeyT, value: ValueT) -> None:
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._max_items:
            self._items.popitem(last=False)

    def get(self, key: KeyT) -> ValueT | None:
        """The item stored under a key, or None."""
        return self._items.get(key)


class KeyedLocks:
    """Locks by key; a lock is forgotten when it is free."""

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks: dict[Hashable, asyncio.Lock] = {}

    @asynccontextmanager
    async def hold(self, key: Hashable) -> AsyncGenerator[None, None]:
        """Hold the lock of a key."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._locks.pop(key, None)
