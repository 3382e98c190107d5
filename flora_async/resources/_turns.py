"""One at a time for each of many things, without a lock that stays for each."""

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager


class Turns:
    """Locks by key; a lock is forgotten when nobody holds it."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, asyncio.Lock] = {}

    @asynccontextmanager
    async def of(self, key: Hashable) -> AsyncGenerator[None, None]:
        """Have one's turn with a thing: whoever comes second waits, and goes on where the first was cancelled."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._locks.pop(key, None)
