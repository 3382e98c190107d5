"""Bodies of requests as aiohttp sends them: JSON, and files, alone or in a form, which are read while they are sent."""

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import MultipartWriter
from aiohttp.abc import AbstractStreamWriter
from aiohttp.hdrs import CONTENT_DISPOSITION
from aiohttp.payload import Payload
from attrs import field, frozen

from flora_async._threads import FILES, begin
from flora_async.errors import UploadError

if TYPE_CHECKING:
    from concurrent.futures import Future

_JSON: Final = "application/json"
_CHUNK: Final = 1024 * 1024
# The WHATWG's multipart encoding for quotation marks and line breaks, applied to other control characters as well.
_ESCAPES: Final = {code: f"%{code:02X}" for code in (*range(32), ord('"'), 127)}


class FileReader(Protocol):
    """Reads a file from its beginning, independently of every other reader."""

    def read(self, size: int, /) -> bytes:
        """Read the next bytes, at most `size` of them; none at the end."""
        ...

    def close(self) -> None:
        """Release what was opened for reading."""
        ...


@frozen(kw_only=True)
class File:
    """A file as the whole body of a request. It is opened for each attempt.

    Attributes:
        name: The file name, for messages and forms.
        content_type: The type of its content.
        size: Its size in bytes: exactly as many are sent.
        open: Opens it for reading; called in a thread.
        progress: Called with the bytes sent so far, after each piece; None = not called.
    """

    name: str
    content_type: str
    size: int
    open: Callable[[], FileReader] = field(repr=False)
    progress: Callable[[int], object] | None = None


@frozen(kw_only=True)
class Form:
    """A `multipart/form-data` body (RFC 7578): fields first, then one file.

    Attributes:
        fields: The fields, in the order in which they are sent.
        file_field: The name of the file's field.
        file: The file.
    """

    fields: Mapping[str, str]
    file_field: str
    file: File


class JsonBody(Payload):
    """A JSON body that records whether any of it was sent: without its body, a start is not carried out."""

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
        """Write the body, in pieces if it is large."""
        self.written = True
        if self._on_sent is not None:
            self._on_sent()
        for start in range(0, len(self._body), _CHUNK):
            await writer.write(self._body[start : start + _CHUNK])


class FormBody(MultipartWriter):
    """A form as it is sent.

    Args:
        form: The form.
        on_sent: Called when the first byte is written.
        on_chunk: Called after each chunk of the file.

    Attributes:
        written: Whether anything was handed to the network.
        problem: The error to raise because the file could not be read, or its `progress` failed; None = neither.
    """

    def __init__(self, form: Form, on_sent: Callable[[], None] | None, on_chunk: Callable[[], None]) -> None:
        super().__init__("form-data")
        self.written = False
        self._on_sent = on_sent
        for name, value in form.fields.items():
            field_part = self.append(_encodable(value))
            field_part.headers[CONTENT_DISPOSITION] = _disposition(name=name)
        self._file = FileBody(form.file, None, on_chunk)
        self._file.headers[CONTENT_DISPOSITION] = _disposition(name=form.file_field, filename=form.file.name)
        self.append_payload(self._file)

    @property
    def problem(self) -> Exception | None:
        return self._file.problem

    async def write(self, writer: AbstractStreamWriter, close_boundary: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's signature
        """Write the form."""
        self.written = True
        if self._on_sent is not None:
            self._on_sent()
        await super().write(writer, close_boundary)


class FileBody(Payload):
    """A file as it is sent, read piece by piece in a thread, whatever its size.

    Args:
        file: The file.
        on_sent: Called when the first byte is written.
        on_chunk: Called after each chunk.

    Attributes:
        written: Whether anything was handed to the network.
        problem: The error to raise because the file could not be read, or its `progress` failed; None = neither.
    """

    def __init__(self, file: File, on_sent: Callable[[], None] | None, on_chunk: Callable[[], None]) -> None:
        super().__init__(file, content_type=file.content_type)
        self.written = False
        self.problem: Exception | None = None
        self._file = file
        self._size = file.size
        self._on_sent = on_sent
        self._on_chunk = on_chunk

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's signature
        """Refuse: a file is sent as bytes."""
        raise TypeError(f"the file {self._file.name!r:.60} is sent as bytes, never as text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Read the file and write it."""
        self.written = True
        if self._on_sent is not None:
            self._on_sent()
        size, sent = self._file.size, 0
        file = _ThreadedReader(self._file.open)
        try:
            while sent < size:
                with self._noting("The file could not be read", OSError, ValueError):
                    chunk = await file.read(min(_CHUNK, size - sent))
                    if not chunk:
                        raise OSError(f"it has become shorter than its {size} bytes")  # noqa: TRY301 - reported as any other
                await writer.write(chunk)
                sent += len(chunk)
                self._on_chunk()
                if self._file.progress is not None:
                    with self._noting(None, Exception):
                        self._file.progress(sent)
        except BaseException:
            file.abandon()
            raise
        await file.close()

    @contextmanager
    def _noting(self, what: str | None, *kinds: type[Exception]) -> Generator[None, None, None]:
        """Keep an error that aiohttp would report as one of the connection, as an `UploadError` if `what` is given."""
        try:
            yield
        except kinds as error:
            problem = error
            if what is not None:
                problem = UploadError(f"{what}: {error}")
                problem.__cause__ = error
            self.problem = problem
            raise


def prepared(
    content: bytes | Form | File, on_sent: Callable[[], None] | None, on_progress: Callable[[], None]
) -> JsonBody | FormBody | FileBody:
    """Prepare a body to be sent once, with the callbacks that report it."""
    if isinstance(content, Form):
        return FormBody(content, on_sent, on_progress)
    if isinstance(content, File):
        return FileBody(content, on_sent, on_progress)
    return JsonBody(content, on_sent)


def _disposition(**parameters: str) -> str:
    """The header of a form's part as browsers write it: in UTF-8, escaping only what would end the value."""
    # Not aiohttp's `set_content_disposition`, which percent-encodes file names (RFC 7578, 4.2, says not to).
    pairs = (f'{name}="{_encodable(value).translate(_ESCAPES)}"' for name, value in parameters.items())
    return "; ".join(("form-data", *pairs))


def _encodable(text: str) -> str:
    """Replace lone surrogates, which come from file names that are not valid text."""
    return text.encode(errors="replace").decode()


class _ThreadedReader:
    """A file that is opened, read and closed in threads, as any of the three may hang."""

    def __init__(self, open_file: Callable[[], FileReader]) -> None:
        self._open = open_file
        self._file: FileReader | None = None
        self._step: Future[bytes] | None = None

    async def read(self, size: int) -> bytes:
        """Read the next bytes; a cancellation does not wait for them."""
        self._step = FILES.submit(self._read, size)
        return await asyncio.wrap_future(self._step)

    async def close(self) -> None:
        """Close the file."""
        await asyncio.shield(begin(self._close))

    def abandon(self) -> None:
        """Close the file once a read that was cancelled has ended, without waiting for it."""
        if self._step is None or self._step.done():
            FILES.submit(self._close)
        else:
            self._step.add_done_callback(lambda _: self._close())

    def _read(self, size: int) -> bytes:
        if self._file is None:
            self._file = self._open()
        return self._file.read(size)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
