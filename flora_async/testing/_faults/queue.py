"""The queue of injected faults."""

from typing import Protocol

from aiohttp import web

from flora_async.testing._queue import CountingQueue
from flora_async.testing._wire.exchange import Exchange
from flora_async.testing._wire.operations import TARGETS


class Fault(Protocol):
    """Something that goes wrong with a request."""

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Answer the request, or fail to. The server calls this."""
        ...


class FaultQueue:
    """The faults that have not happened yet, in the order of their injection."""

    def __init__(self) -> None:
        self._queue: CountingQueue[Fault] = CountingQueue()

    def add(self, fault: Fault, *, on: str, times: int | None, after: int) -> None:
        """Append a fault.

        Raises:
            TypeError: `fault` is not a fault.
            ValueError: `on` is not a target, `times` is less than 1, or `after` is negative.
        """
        if not callable(getattr(fault, "serve", None)):
            raise TypeError(f"fault must be a fault such as Drop(acts=True), not {fault!r:.60}")
        if on not in TARGETS:
            raise ValueError(f"on must be an operation, or any, asset, media or another target, not {on!r:.60}")
        self._queue.add(fault, lambda targets: on == "any" or on in targets, times=times, after=after)

    def clear(self) -> None:
        """Remove all faults."""
        self._queue.clear()

    def take(self, targets: frozenset[str]) -> Fault | None:
        """Return the fault for a request that has just arrived: the first in the queue that applies to it."""
        return self._queue.take(targets)
