"""One file from its host to the disk, over as many connections as it takes (RFC 9110, 13.1.5 and 14).

Nothing that the host says is taken on trust: a part is only put behind another when both are of the same file.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from flora_async._http.responses import is_transient
from flora_async._http.storage import StorageClient
from flora_async._http.transport import Incoming
from flora_async.errors import APIConnectionError, APIStatusError, DownloadError
from flora_async.media.disk import Part, begin, finish, in_thread
from flora_async.media.names import Place, ending_for

if TYPE_CHECKING:
    import asyncio

Progress = Callable[[int, int | None], object]
"""Called with the bytes that have come and the bytes that there are; None = the host does not say."""

# Going into a thread costs more than writing a MiB does.
_PIECE: Final = 4 * 1024 * 1024
# A number that is longer than this is no size of a file.
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.IGNORECASE)
_LENGTH: Final = re.compile(r"\d{1,18}")
# What proxies and portals send with 200 in place of a file.
_PAGES: Final = frozenset({"text/html", "application/xhtml+xml", "application/json"})
_STRONG_TAG: Final = re.compile(r'"[!#-~]{0,200}"')
_DATE: Final = re.compile(r"[ -~]{1,64}")


class Body(NamedTuple):
    """Which part of a file an answer brings.

    Attributes:
        start: The first byte's place in the file.
        end: The place behind the last byte; None when the answer does not say.
        total: The size of the file in bytes; None when the answer does not say.
        validator: What tells this file from a later one at the same URL; None = it cannot be told.
    """

    start: int
    end: int | None
    total: int | None
    validator: str | None


def body_of(status: int, headers: Mapping[str, str]) -> Body | None:
    """What a success brings; None when that is of no use."""
    # What was packed on the way is unpacked by aiohttp: sizes and places in it are not those of the file.
    is_packed = headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}
    if status == HTTPStatus.PARTIAL_CONTENT:
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        first, last, total = (int(number) for number in found.groups()) if found else (0, 0, 0)
        usable = not is_packed and first <= last < total
        return Body(first, last + 1, total, _validator(headers)) if usable else None
    if status != HTTPStatus.OK:
        return None
    if is_packed:
        return Body(0, None, None, None)
    length = headers.get("Content-Length", "")
    size = int(length) if _LENGTH.fullmatch(length) else None
    return Body(0, size, size, _validator(headers))


def _validator(headers: Mapping[str, str]) -> str | None:
    """What `If-Range` may ask with: a strong entity tag, or else a date."""
    tag, date = headers.get("ETag", ""), headers.get("Last-Modified", "")
    if _STRONG_TAG.fullmatch(tag):
        return tag
    return date if _DATE.fullmatch(date) else None


class Transfer:
    """One download.

    Args:
        storage: The client to the host.
        url: The file's URL.
        place: Where it goes.
        overwrite: Whether it may replace a file that is there already.
        max_bytes: The most bytes it may have; None = no limit.
        progress: Told of each piece that comes; None = nobody.
        is_medium: Whether it is an image, a video or a sound, so that a page which comes instead is not it.
    """

    def __init__(  # noqa: PLR0913 - the parts of a download
        self,
        storage: StorageClient,
        url: str,
        place: Place,
        *,
        overwrite: bool,
        max_bytes: int | None,
        progress: Progress | None,
        is_medium: bool = False,
    ) -> None:
        self._storage = storage
        self._url = url
        self._place = place
        self._overwrite = overwrite
        self._max_bytes = max_bytes
        self._progress = progress
        self._is_medium = is_medium
        self._part: Part | None = None
        self._body = Body(0, None, None, None)
        self._received = 0
        self._most = 0
        self._writing: asyncio.Future[None] | None = None

    async def run(self) -> Path:
        """Fetch the file, or find that it is there already.

        Raises:
            DownloadError: It cannot be had whole.
            UntrustedURLError: Its URL, or one that this redirects to, may not be followed.
            OSError: It cannot be written.
        """
        if self._place.is_whole:
            self._part = Part(self._place.path, overwrite=self._overwrite)
            if await in_thread(self._part.is_there):
                return self._part.path
        try:
            while True:
                most = self._most
                try:
                    return await self._storage.retry(self._attempt, "A download")
                except (APIConnectionError, APIStatusError) as error:
                    # A host that lets go again and again is asked again for as long as that brings the end nearer.
                    if not (is_transient(error) and self._most > most):
                        raise DownloadError(self._url, str(error)) from error
        finally:
            await self._clean_up()

    async def _clean_up(self) -> None:
        try:
            if self._writing is not None:
                with suppress(OSError):  # something else has ended the download before
                    await finish(self._writing)
        finally:
            if self._part is not None:
                await in_thread(self._part.discard)

    async def _attempt(self) -> Path:
        for _ in range(2):
            path = await self._ask()
            if path is not None:
                return path
            self._received = 0  # the host cannot go on where we are: once more, from the beginning
        raise DownloadError(self._url, "the host answers with neither the file nor the part of it that was asked for")

    async def _ask(self) -> Path | None:
        """Ask once for what is missing, and fetch it; None when the answer does not fit to what is there."""
        headers = {}
        if self._received and self._body.validator is not None:
            headers = {"Range": f"bytes={self._received}-", "If-Range": self._body.validator}
        async with self._storage.fetch(self._url, headers) as incoming:
            body = body_of(incoming.status, incoming.headers)
            if body is None or (body.start > 0 and not self._goes_on(body)):
                return None
            kind = incoming.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if self._is_medium and kind in _PAGES:
                raise APIConnectionError(f"{kind} came instead of the file, as from a proxy")
            self._check(body.total or 0, None)
            part = self._part
            if part is None:
                ending = await in_thread(ending_for, incoming.headers.get("Content-Type", ""), self._url)
                part = self._part = Part(self._place.named(ending), overwrite=self._overwrite)
                if await in_thread(part.is_there):
                    return part.path
            self._body, self._received = body, body.start
            await self._receive(incoming, part)
        if body.total is not None and self._received < body.total:
            raise APIConnectionError(f"only {self._received} of {body.total} bytes came")
        await in_thread(part.keep)
        return part.path

    def _goes_on(self, body: Body) -> bool:
        """Whether this is what follows in the very file of which the first bytes are there."""
        before = self._body
        return (
            body.start == self._received
            and before.total in {None, body.total}
            and body.validator in {None, before.validator}
        )

    def _check(self, size: int, end: int | None) -> None:
        if self._max_bytes is not None and size > self._max_bytes:
            raise DownloadError(self._url, f"it has more than the {self._max_bytes} bytes that max_bytes allows")
        if end is not None and size > end:
            raise DownloadError(self._url, f"more came than the {end} bytes that were announced")

    async def _receive(self, incoming: Incoming, part: Part) -> None:
        """Write what comes, one piece while the next is on its way."""
        pieces: list[bytes] = []
        size = 0
        cut: APIConnectionError | None = None
        async with aclosing(incoming.chunks()) as chunks:
            while True:
                try:
                    chunk = await anext(chunks, b"")
                except APIConnectionError as error:
                    chunk, cut = b"", error  # what has come before need not come again
                size += len(chunk)
                self._check(self._received + size, self._body.end)
                if chunk:
                    pieces.append(chunk)
                    if self._progress is not None:
                        self._progress(self._received + size, self._body.total)
                if size >= _PIECE or not chunk:
                    await self._settle()
                    self._writing = begin(part.write, self._received, pieces)
                    self._received += size
                    pieces, size = [], 0
                if not chunk:
                    break
        await self._settle()
        if cut is not None:
            raise cut

    async def _settle(self) -> None:
        """See that all which has been received is written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await finish(writing)
            self._most = max(self._most, self._received)
