"""Download one file, over as many connections as it takes (RFC 9110, 13.1.5 and 14).

Nothing that the host says is trusted: bytes are only appended to others if both are from the same version of the file.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from flora_async._http.responses import is_transient
from flora_async._http.storage import StorageClient
from flora_async._http.transport import Incoming
from flora_async._threads import begin, clean_up, finish, in_thread
from flora_async.errors import APIConnectionError, APIStatusError, DownloadError
from flora_async.media.destinations import part_file
from flora_async.media.names import Destination, extension_for
from flora_async.media.parts import Exists, PartFile

if TYPE_CHECKING:
    import asyncio

Progress = Callable[[int, int | None], object]
"""Called with the bytes received and the size of the file in bytes; None = the host does not say."""

# Two blocks take turns for the whole download: memory that is released in between has to be mapped again page by page.
_BLOCK_SIZE: Final = 4 * 1024 * 1024
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.IGNORECASE | re.ASCII)
_LENGTH: Final = re.compile(r"\d{1,18}", re.ASCII)
# The types of pages that proxies and captive portals send with 200 in place of a file.
_PAGES: Final = frozenset({"text/html", "application/xhtml+xml", "application/json"})
_STRONG_TAG: Final = re.compile(r'"[!#-~]{0,200}"')
_DATE: Final = re.compile(r"[ -~]{1,64}")
# A file may change again in the second of its Last-Modified, and clocks differ.
_MIN_AGE: Final = 60.0


class Body(NamedTuple):
    """The part of a file that a response contains.

    Attributes:
        start: The position of the first byte in the file.
        end: The position after the last byte; None = the response does not say.
        total: The size of the file in bytes; None = the response does not say.
        validator: A value for `If-Range` that identifies this version of the file; None = there is none.
        tag: The `ETag` header, strong or not; "" = none.
        modified: The `Last-Modified` header; "" = none.
    """

    start: int
    end: int | None
    total: int | None
    validator: str | None = None
    tag: str = ""
    modified: str = ""


def body_of(status: int, headers: Mapping[str, str]) -> Body | None:
    """Return the part of the file that a successful response contains; None if it cannot be used."""
    # aiohttp decompresses a body, after which sizes and positions are not those of the file.
    is_compressed = headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}
    tag, modified = headers.get("ETag", ""), headers.get("Last-Modified", "")
    version = _validator(headers), tag, modified
    if status == HTTPStatus.PARTIAL_CONTENT:
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        first, last, total = (int(number) for number in found.groups()) if found else (0, 0, 0)
        usable = not is_compressed and first <= last < total
        return Body(first, last + 1, total, *version) if usable else None
    if status != HTTPStatus.OK:
        return None
    if is_compressed:
        return Body(0, None, None)
    length = headers.get("Content-Length", "")
    size = int(length) if _LENGTH.fullmatch(length) else None
    return Body(0, size, size, *version)


def _validator(headers: Mapping[str, str]) -> str | None:
    """The strong validator of a response (RFC 9110, 8.8): an entity tag, or else a date that is old enough."""
    tag, modified = headers.get("ETag", ""), headers.get("Last-Modified", "")
    if _STRONG_TAG.fullmatch(tag):
        return tag
    if not _DATE.fullmatch(modified):
        return None
    try:
        age = (parsedate_to_datetime(headers.get("Date", "")) - parsedate_to_datetime(modified)).total_seconds()
    except (ValueError, TypeError, OverflowError):  # malformed, or only one of them has a time zone
        return None
    return modified if age >= _MIN_AGE else None


class Transfer:
    """One download.

    Args:
        storage: The client to the host.
        url: The file's URL.
        destination: Where it is saved.
        exists: What to do about a file that exists there.
        source: Identifies what is saved, as for `PartFile`.
        max_bytes: The maximum size of the file in bytes; None = no limit.
        progress: Called after each chunk that arrives; None = not called.
        is_media: Whether it is an image, a video or a sound, for which a page is not accepted.
    """

    def __init__(  # noqa: PLR0913 - the parts of a download
        self,
        storage: StorageClient,
        url: str,
        destination: Destination,
        *,
        exists: Exists,
        source: str,
        max_bytes: int | None,
        progress: Progress | None,
        is_media: bool = False,
    ) -> None:
        self._storage = storage
        self._url = url
        self._destination = destination
        self._exists: Exists = exists
        self._source = source
        self._max_bytes = max_bytes
        self._progress = progress
        self._is_media = is_media
        self._part: PartFile | None = None
        self._body = Body(0, None, None)
        self._received = 0
        self._furthest = 0
        self._writing: asyncio.Future[None] | None = None

    async def run(self) -> Path:
        """Fetch the file, or find that it exists already.

        Raises:
            DownloadError: It cannot be fetched completely.
            UntrustedURLError: Its URL, or one that it redirects to, may not be followed.
            FileExistsError: A file exists that is neither to be kept nor to be replaced.
            OSError: It cannot be written.
        """
        if self._destination.is_complete:
            part = self._part_file("")
            if await in_thread(part.is_kept):
                return part.path
        try:
            while True:
                furthest = self._furthest
                try:
                    return await self._storage.retry(self._attempt, "A download")
                except (APIConnectionError, APIStatusError) as error:
                    # A host that drops every connection is asked again for as long as each one brings more of the file.
                    if not (is_transient(error) and self._furthest > furthest):
                        raise DownloadError(self._url, str(error)) from error
        finally:
            await self._clean_up()

    def _part_file(self, extension: str) -> PartFile:
        path = self._destination.with_extension(extension)
        self._part = part_file(path, exists=self._exists, source=self._source)
        return self._part

    async def _clean_up(self) -> None:
        try:
            if self._writing is not None:
                with suppress(OSError):  # the download has ended with an earlier error
                    await finish(self._writing)
        finally:
            if self._part is not None:
                await clean_up(self._part.discard)

    async def _attempt(self) -> Path:
        for _ in range(2):
            path = await self._request()
            if path is not None:
                return path
            self._received = 0  # the host cannot resume: start again from the beginning
        raise DownloadError(self._url, "the host answers with neither the file nor the part of it that was asked for")

    async def _request(self) -> Path | None:
        """Request what is missing and write it; None if the response does not continue what has been written."""
        headers = {}
        if self._received and self._body.validator is not None:
            headers = {"Range": f"bytes={self._received}-", "If-Range": self._body.validator}
        async with self._storage.fetch(self._url, headers) as incoming:
            body = body_of(incoming.status, incoming.headers)
            if body is None or (body.start > 0 and not self._continues(body)):
                return None
            content_type = incoming.headers.get("Content-Type", "")
            kind = content_type.partition(";")[0].strip().lower()
            if self._is_media and kind in _PAGES:
                raise APIConnectionError(f"{kind} came instead of the file, as from a proxy")
            self._check_size(body.total or 0, None)
            part = self._part
            if part is None:
                part = self._part_file(await in_thread(extension_for, content_type, self._url))
                if await in_thread(part.is_kept):
                    return part.path
            if body.start:  # a partial response need not repeat the headers of the version
                before = self._body
                body = body._replace(
                    validator=before.validator, tag=body.tag or before.tag, modified=body.modified or before.modified
                )
            self._body, self._received = body, body.start
            await self._receive(incoming, part)
        if body.total is not None and self._received < body.total:
            raise APIConnectionError(f"only {self._received} of {body.total} bytes arrived")
        await in_thread(part.complete)
        return part.path

    def _continues(self, body: Body) -> bool:
        """Whether a part follows what has been written, in the same version of the file."""
        before = self._body
        return (
            body.start == self._received
            and before.validator is not None
            and before.total in {None, body.total}
            and body.tag in {"", before.tag}
            and body.modified in {"", before.modified}
        )

    def _check_size(self, size: int, end: int | None) -> None:
        if self._max_bytes is not None and size > self._max_bytes:
            raise DownloadError(self._url, f"it has more than the {self._max_bytes} bytes that max_bytes allows")
        if end is not None and size > end:
            raise DownloadError(self._url, f"more than the announced {end} bytes arrived")

    async def _receive(self, incoming: Incoming, part: PartFile) -> None:
        """Write the body, each block while the next one arrives."""
        block, spare, size = bytearray(), bytearray(), 0
        cut: APIConnectionError | None = None
        async with aclosing(incoming.chunks()) as arriving:
            while True:
                try:
                    chunk = await anext(arriving, b"")
                except APIConnectionError as error:
                    chunk, cut = b"", error  # what has arrived is written anyway, and need not be sent again
                end = size + len(chunk)
                self._check_size(self._received + end, self._body.end)
                if chunk:
                    block[size:end] = chunk
                    if self._progress is not None:
                        self._progress(self._received + end, self._body.total)
                size = end
                if size >= _BLOCK_SIZE or not chunk:
                    await self._written()
                    self._writing = begin(part.write, self._received, block, size)
                    self._received += size
                    block, spare, size = spare, block, 0
                if not chunk:
                    break
        await self._written()
        if cut is not None:
            raise cut

    async def _written(self) -> None:
        """Wait until everything that was received is written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await finish(writing)
            self._furthest = max(self._furthest, self._received)
