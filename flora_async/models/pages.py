"""One page of a list."""

from typing import Generic, TypeVar

from attrs import frozen

from flora_async.models._model import Model

ItemT = TypeVar("ItemT")


@frozen
class ItemProblem(Model):
    """A part of a page that could not be read; an item of that kind is missing from `Page.items`.

    Attributes:
        index: The position of the item in FLORA's page, from 0; None for the page itself.
        path: The position of the problem in the item, for example `run_id`; empty for the item as a whole.
        reason: What is wrong there.

    Example:
        >>> ItemProblem(index=2, path="run_id", reason="is missing").path
        'run_id'
    """

    index: int | None
    path: str
    reason: str


@frozen
class Page(Model, Generic[ItemT]):
    """One page of a list that FLORA serves in pages (its page "List technique run history").

    Attributes:
        items: The items of the page, in FLORA's order.
        next_cursor: The opaque cursor of the next page; None on the last one.
        total_estimate: FLORA's estimate of the number of items on all pages; None when it gives none.
        problems: What could not be read, which is also logged. An unreadable item does not affect the others; after an
            unreadable cursor, `async for` raises `DecodeError` rather than end early.

    Example:
        >>> Page(items=("a", "b"), next_cursor=None).items
        ('a', 'b')
    """

    items: tuple[ItemT, ...]
    next_cursor: str | None = None
    total_estimate: int | None = None
    problems: tuple[ItemProblem, ...] = ()
