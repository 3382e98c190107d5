"""The queue of injected faults."""

from typing import Protocol

import attrs
from aiohttp import web

from flora_async.testing._wire.exchange import Exchange
from flora_async.testing._wire.operations import TARGETS


class Fault(Protocol):
    """Something that goes wrong with a request."""

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Answer the request, or fail to. The server calls this."""
        ...


@attrs.define(on_setattr=attrs.setters.NO_OP)  # the counters go below the minimum that is accepted for them
class _QueuedFault:
    """A fault and the requests it applies to: `after` of them pass, and the next `times` of them meet it."""

    fault: Fault
    on: str = attrs.field(validator=attrs.validators.in_(TARGETS))
    times: int | None = attrs.field(validator=attrs.validators.optional(attrs.validators.ge(1)))
    after: int = attrs.field(validator=attrs.validators.ge(0))

    def take(self) -> bool:
        """Count a matching request, and return whether it meets the fault."""
        if self.after:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class FaultQueue:
    """The faults that have not happened yet, in the order of their injection."""

    def __init__(self) -> None:
        self._queue: list[_QueuedFault] = []

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
        self._queue.append(_QueuedFault(fault, on, times, after))

    def clear(self) -> None:
        """Remove all faults."""
        self._queue.clear()

    def take(self, targets: frozenset[str]) -> Fault | None:
        """Return the fault for a request that has just arrived: the first in the queue that applies to it."""
        for queued in self._queue:
            if (queued.on == "any" or queued.on in targets) and queued.take():
                if queued.times == 0:
                    self._queue.remove(queued)
                return queued.fault
        return None
