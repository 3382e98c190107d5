"""The one cursor paginator: every list of FLORA's is read through it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

from flora_async.errors import DecodeError
from flora_async.models import Page

ItemT = TypeVar("ItemT")


class Pager(Generic[ItemT]):
    """A list that FLORA serves in pages; nothing is requested until it is used.

    `async for` goes over the items of all pages, `pages()` over the pages, and `await` gives the first page alone.
    Each use starts again at the beginning.

    Raises:
        APIStatusError: FLORA refused a page.
        APIConnectionError: A page could not be fetched, after all retries.
        DecodeError: A page has another shape than promised, or its cursor leads in a circle.

    Example:
        >>> async for run in flora.techniques.runs.list(status="completed"):
        ...     print(run.status)
        >>> page = await flora.techniques.runs.list(limit=1)
        >>> page.next_cursor is None
        True
    """

    def __init__(self, fetch: Callable[[str | None], Awaitable[Page[ItemT]]], cursor: str | None) -> None:
        self._fetch = fetch
        self._cursor = cursor

    def __await__(self) -> Generator[Any, None, Page[ItemT]]:
        """The first page."""
        return self._fetch(self._cursor).__await__()

    async def pages(self) -> AsyncGenerator[Page[ItemT], None]:
        """Go over the pages, each fetched when it is asked for."""
        cursor, met = self._cursor, {self._cursor}
        while True:
            page = await self._fetch(cursor)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return
            if cursor in met:
                raise DecodeError("meta.next_cursor", f"{cursor[:40]!r} was given before: the pages go in a circle")
            met.add(cursor)

    async def __aiter__(self) -> AsyncGenerator[ItemT, None]:
        """Go over the items of all pages."""
        async for page in self.pages():
            for item in page.items:
                yield item
