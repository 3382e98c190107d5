"""One page of a list."""

from typing import Generic, TypeVar

from attrs import frozen

ItemT = TypeVar("ItemT")


@frozen
class Page(Generic[ItemT]):
    """One page of a list that FLORA serves in pages (its page "List technique run history").

    Attributes:
        items: What the page holds, in FLORA's order.
        next_cursor: The opaque cursor of the next page; None on the last one.
        total_estimate: How many items FLORA thinks there are over all pages; None when it does not say.

    Example:
        >>> Page(items=("a", "b"), next_cursor=None).items
        ('a', 'b')
    """

    items: tuple[ItemT, ...]
    next_cursor: str | None = None
    total_estimate: int | None = None
