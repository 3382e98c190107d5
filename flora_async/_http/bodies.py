"""Bodies of requests as aiohttp sends them: JSON that is built once, and forms with a file that is read as it goes."""

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, Final

from aiohttp import MultipartWriter
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from attrs import field, frozen

from flora_async.errors import UploadError

_JSON: Final = "application/json"
_CHUNK: Final = 1024 * 1024


@frozen(kw_only=True)
class Form:
    """A `multipart/form-data` body (RFC 7578): fields first, then one file, which is opened anew for each attempt.

    Attributes:
        fields: The fields, in the order in which they are sent.
        file_field: What the field of the file is called.
        file_name: What the file is called.
        content_type: What is in it.
        size: Its size in bytes: so much is sent, neither more nor less.
        open: Opens it for reading; called in a thread.
        progress: Told how many bytes of it have been sent, after each piece; None = nobody.
    """

    fields: Mapping[str, str]
    file_field: str
    file_name: str
    content_type: str
    size: int
    open: Callable[[], BinaryIO] = field(repr=False)
    progress: Callable[[int], object] | None = None


class JsonBody(Payload):
    """A body that remembers whether any of it was handed to the network: without a body nothing is started."""

    def __init__(self, body: bytes, on_sent: Callable[[], None] | None) -> None:
        super().__init__(body, content_type=_JSON)
        self.written = False
        self._body = body
        self._size = len(body)
        self._on_sent = on_sent

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        return self._body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write it, piece by piece if it is large, and note that it was."""
        self.written = True
        if self._on_sent is not None:
            self._on_sent()
        for start in range(0, len(self._body), _CHUNK):
            await writer.write(self._body[start : start + _CHUNK])


class FormBody(MultipartWriter):
    """A form on its way.

    Args:
        form: What to send.
        on_sent: Called when the form begins to go out.
        on_piece: Called after each piece of the file.

    Attributes:
        written: Whether any of it was handed to the network.
        flaw: What to raise since the file could not be read as promised, or nobody was to be told; None = all is well.
    """

    def __init__(self, form: Form, on_sent: Callable[[], None] | None, on_piece: Callable[[], None]) -> None:
        super().__init__("form-data")
        self.written = False
        self.flaw: Exception | None = None
        self._on_sent = on_sent
        for name, value in form.fields.items():
            self.append(value).set_content_disposition("form-data", name=name)
        part = _FilePart(form, on_piece, self._fail)
        part.set_content_disposition("form-data", name=form.file_field, filename=form.file_name)
        self.append_payload(part)

    async def write(self, writer: AbstractStreamWriter, close_boundary: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's own
        """Write it, and note that it was."""
        self.written = True
        if self._on_sent is not None:
            self._on_sent()
        await super().write(writer, close_boundary)

    def _fail(self, flaw: Exception) -> None:
        self.flaw = flaw


class _FilePart(Payload):
    """The file in a form, read piece by piece in a thread, so that neither the memory nor the loop feels its size."""

    def __init__(self, form: Form, on_piece: Callable[[], None], on_flaw: Callable[[Exception], None]) -> None:
        super().__init__(form, content_type=form.content_type)
        self._form = form
        self._size = form.size
        self._on_piece = on_piece
        self._on_flaw = on_flaw

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's own
        """Refuse: a file is no text."""
        raise TypeError(f"the file {self._form.file_name!r:.60} is sent as it is, never as text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Read the file and write it."""
        form, sent = self._form, 0
        with self._noting("The file could not be read", OSError):
            file = await _opened(form.open)
        try:
            while sent < form.size:
                with self._noting("The file could not be read", OSError, ValueError):
                    piece = await asyncio.to_thread(file.read, min(_CHUNK, form.size - sent))
                    if not piece:
                        raise OSError(f"it has become shorter than the {form.size} bytes that it had")
                await writer.write(piece)
                sent += len(piece)
                self._on_piece()
                if form.progress is not None:
                    with self._noting(None, Exception):
                        form.progress(sent)
        finally:
            file.close()

    @contextmanager
    def _noting(self, what: str | None, *kinds: type[Exception]) -> Generator[None, None, None]:
        """Keep an error that aiohttp would report as one of the connection; under a name of its own, if it has one."""
        try:
            yield
        except kinds as error:
            flaw = error
            if what is not None:
                flaw = UploadError(f"{what}: {error}")
                flaw.__cause__ = error
            self._on_flaw(flaw)
            raise


async def _opened(open_file: Callable[[], BinaryIO]) -> BinaryIO:
    """Open a file in a thread. Cancelled meanwhile, the thread opens it all the same: then it is closed again."""
    opening = asyncio.get_running_loop().run_in_executor(None, open_file)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise


def _close(opening: "asyncio.Future[BinaryIO]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
