"""The cursor paginator, through which every list of FLORA's is read."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from typing import Any, Final, Generic, TypeVar

from flora_async._text import printable
from flora_async.errors import DecodeError
from flora_async.models import Page

ItemT = TypeVar("ItemT")

_MAX_PAGES: Final = 100_000
_MAX_EMPTY_PAGES: Final = 100
_MAX_CURSOR: Final = 40


class Pager(Generic[ItemT]):
    """A list that FLORA serves in pages; nothing is requested until it is used.

    `async for` iterates over the items of all pages, `pages()` over the pages, and `await` gives the first page alone.
    Each use starts again at the beginning.

    Iteration always ends: after 100,000 pages, after 100 empty pages in a row, or when a cursor comes back, it raises a
    `DecodeError`. An item that cannot be read is left out, and does not hide the others: `page.problems` names it.

    Raises:
        APIStatusError: FLORA refused a page.
        APIConnectionError: A page could not be fetched, after all retries.
        DecodeError: A page has another shape than promised, or the pages do not end.

    Example:
        >>> async for run in flora.techniques.runs.list(status="completed"):
        ...     print(run.status)
        >>> page = await flora.techniques.runs.list(limit=1)
        >>> page.next_cursor is None
        True
    """

    def __init__(
        self, fetch: Callable[[str | None], Awaitable[Page[ItemT]]], cursor: str | None, operation: str = "a list"
    ) -> None:
        self._fetch = fetch
        self._cursor = cursor
        self._operation = operation

    def __repr__(self) -> str:
        start = "" if self._cursor is None else f" from cursor {printable(self._cursor, _MAX_CURSOR)!r}"
        return f"<Pager of {self._operation}{start}: use async for, or await the first page>"

    def __await__(self) -> Generator[Any, None, Page[ItemT]]:
        """Fetch the first page."""
        return self._fetch(self._cursor).__await__()

    async def pages(self) -> AsyncGenerator[Page[ItemT], None]:
        """Iterate over the pages, each fetched when it is asked for."""
        cursor = self._cursor
        seen, empty = {hash(cursor)}, 0  # hashes, since the server decides how long a cursor is
        for _ in range(_MAX_PAGES):
            page = await self._fetch(cursor)
            yield page
            for problem in page.problems:
                if problem.index is None:
                    raise DecodeError(problem.path, problem.reason)
            cursor = page.next_cursor
            if cursor is None:
                return
            if hash(cursor) in seen:
                raise _endless(f"{cursor[:40]!r} was given before: the pages form a cycle")
            seen.add(hash(cursor))
            empty = 0 if page.items or page.problems else empty + 1
            if empty >= _MAX_EMPTY_PAGES:
                raise _endless(f"{empty} pages in a row were empty, and each named another one")
        raise _endless(f"there are more than {_MAX_PAGES:,} pages: pass a filter, or a larger limit")

    async def __aiter__(self) -> AsyncGenerator[ItemT, None]:
        """Iterate over the items of all pages."""
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                for item in page.items:
                    yield item


def _endless(reason: str) -> DecodeError:
    return DecodeError("meta.next_cursor", reason)
