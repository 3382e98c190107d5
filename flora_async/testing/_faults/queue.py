"""Which of the coming requests something goes wrong with."""

from typing import Protocol

import attrs
from aiohttp import web

from flora_async.testing._wire.exchange import Exchange
from flora_async.testing._wire.operations import TARGETS


class Fault(Protocol):
    """Something that goes wrong with one request."""

    async def serve(self, exchange: Exchange) -> web.StreamResponse:
        """Answer the request, or fail to; the server calls it."""
        ...


@attrs.define(on_setattr=attrs.setters.NO_OP)  # counted down below what may be asked for
class _Planned:
    """A fault and the requests it is meant for: it lets `after` of them pass and then takes `times`."""

    fault: Fault
    on: str = attrs.field(validator=attrs.validators.in_(TARGETS))
    times: int | None = attrs.field(validator=attrs.validators.optional(attrs.validators.ge(1)))
    after: int = attrs.field(validator=attrs.validators.ge(0))

    def take(self) -> bool:
        """Whether a matching request is for this fault; either way it counts."""
        if self.after:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class FaultQueue:
    """The faults that are still to come, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._planned: list[_Planned] = []

    def add(self, fault: Fault, *, on: str, times: int | None, after: int) -> None:
        """Queue a fault behind the others.

        Raises:
            TypeError: The fault is none.
            ValueError: `on` is no target.
        """
        if not callable(getattr(fault, "serve", None)):
            raise TypeError(f"a fault is needed, such as Drop(acts=True), not {fault!r:.60}")
        if on not in TARGETS:
            raise ValueError(f"on must be an operation or one of any, asset, media, …, not {on!r:.60}")
        self._planned.append(_Planned(fault, on, times, after))

    def clear(self) -> None:
        """Forget all of them."""
        self._planned.clear()

    def take(self, targets: frozenset[str]) -> Fault | None:
        """The fault for the request that has just arrived, from the first in the queue that applies to it."""
        for planned in self._planned:
            if (planned.on == "any" or planned.on in targets) and planned.take():
                if planned.times == 0:
                    self._planned.remove(planned)
                return planned.fault
        return None
