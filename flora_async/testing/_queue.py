"""A queue of things that happen to the next requests or runs that they apply to."""

from collections.abc import Callable
from typing import Generic, TypeVar

import attrs

from flora_async._repr import ShortRepr

T = TypeVar("T")


@attrs.define(on_setattr=attrs.setters.NO_OP)  # the counters go below the minimum that is accepted for them
class _Queued(ShortRepr, Generic[T]):
    item: T
    applies: Callable[..., bool]
    times: int | None = attrs.field(validator=attrs.validators.optional(attrs.validators.ge(1)))
    after: int = attrs.field(validator=attrs.validators.ge(0))

    def count(self) -> bool:
        """Count a match, and return whether the item happens to it."""
        if self.after:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class CountingQueue(Generic[T]):
    """Items in the order of their addition, each of which lets some matches pass and happens to the next ones."""

    def __init__(self) -> None:
        self._queue: list[_Queued[T]] = []

    def add(self, item: T, applies: Callable[..., bool], *, times: int | None, after: int) -> None:
        """Append an item.

        Raises:
            ValueError: `times` is less than 1, or `after` is negative.
        """
        self._queue.append(_Queued(item, applies, times, after))

    def clear(self) -> None:
        """Remove all items."""
        self._queue.clear()

    def take(self, *subject: object) -> T | None:
        """The first item that applies to a request or a run and happens to it; later items do not count it."""
        for queued in self._queue:
            if queued.applies(*subject) and queued.count():
                if queued.times == 0:
                    self._queue.remove(queued)
                return queued.item
        return None
