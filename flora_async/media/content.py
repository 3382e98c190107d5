"""Read files to upload: their type, their size and their content. Everything here may block.

FLORA's page "Create an asset upload" lists the types that it takes.
"""

import hashlib
import io
import mimetypes
import os
import stat
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol
from weakref import WeakKeyDictionary

from attrs import evolve, field, frozen

from flora_async._http.bodies import FileReader
from flora_async.media.store_urls import is_stored


class StoredFile(Protocol):
    """A file in a store: a `UPath` of universal-pathlib, or an `OpenFile` of fsspec."""

    @property
    def fs(self) -> Any:  # noqa: ANN401 - fsspec has no types
        """The file system of the store."""

    @property
    def path(self) -> str:
        """The path in it."""
        ...


FileSource = os.PathLike[str] | bytes | BinaryIO | StoredFile
"""A path, the content itself, a file that is open for reading bytes, or a file in a store."""

# For each type that FLORA takes: the type of an input that holds it, and the file name's extension.
CONTENT_TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "image/jpeg": ("imageUrl", ".jpg"),
    "image/png": ("imageUrl", ".png"),
    "image/webp": ("imageUrl", ".webp"),
    "image/gif": ("imageUrl", ".gif"),
    "image/avif": ("imageUrl", ".avif"),
    "image/heic": ("imageUrl", ".heic"),
    "image/heif": ("imageUrl", ".heif"),
    "video/mp4": ("videoUrl", ".mp4"),
    "video/webm": ("videoUrl", ".webm"),
    "video/quicktime": ("videoUrl", ".mov"),
    "audio/mpeg": ("audioUrl", ".mp3"),
    "audio/wav": ("audioUrl", ".wav"),
    "audio/ogg": ("audioUrl", ".ogg"),
    "application/pdf": ("documentUrl", ".pdf"),
}
_ALIASES: Final = {
    "image/jpg": "image/jpeg",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "application/ogg": "audio/ogg",
}
# Neither the standard library's table of types nor the machine's has to contain all of these.
_EXTENSIONS: Final = {extension: kind for kind, (_, extension) in CONTENT_TYPES.items()} | {".jpeg": "image/jpeg"}
_HEAD_SIZE: Final = 4096
_CHUNK_SIZE: Final = 1024 * 1024
_PLAIN_FILES: Final = (io.BufferedReader, io.BufferedRandom, io.FileIO)


@frozen(kw_only=True)
class Content:
    """A file that can be uploaded: inspected once, read as often as necessary.

    Attributes:
        name: The file name.
        content_type: The type of its content, one of FLORA's types.
        size: The size in bytes.
        open: Opens it at its beginning.
    """

    name: str
    content_type: str
    size: int
    open: Callable[[], FileReader] = field(repr=False)

    @property
    def input_type(self) -> str:
        """The type of an input that holds it, such as `imageUrl`."""
        return CONTENT_TYPES[self.content_type][0]

    def digest(self) -> str:
        """The SHA-256 of the content, in hexadecimal digits."""
        found = hashlib.sha256()
        file = self.open()
        try:
            while chunk := file.read(_CHUNK_SIZE):
                found.update(chunk)
        finally:
            file.close()
        return found.hexdigest()


def verified(content: Content, digest: str) -> Content:
    """The same file, whose last bytes are not read if its content does not have the digest any longer."""
    return evolve(content, open=lambda: _VerifyingReader(content, digest))


class _VerifyingReader:
    """Reads a file that something else may be writing to."""

    def __init__(self, content: Content, digest: str) -> None:
        self._file = content.open()
        self._left = content.size
        self._expected = digest
        self._found = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        """Read on from where the last read ended."""
        chunk = self._file.read(size)
        self._found.update(chunk)
        self._left -= len(chunk)
        if self._left <= 0 and self._found.hexdigest() != self._expected:
            raise OSError("it has changed since it was inspected: use it once nothing writes to it")
        return chunk

    def close(self) -> None:
        """Close it."""
        self._file.close()


def input_type_by_ending(ending: str) -> str | None:
    """The type of an input for a file name's extension, such as `imageUrl` for `.png`; None if it is ambiguous."""
    kind = _EXTENSIONS.get(ending)
    return None if kind is None else CONTENT_TYPES[kind][0]


def is_file_source(value: object) -> bool:
    """Whether a value is a file to upload: a path, bytes, an open file or a file in a store."""
    return is_stored(value) or isinstance(value, os.PathLike | bytes | bytearray | memoryview) or hasattr(value, "read")


def read_content(source: object, *, content_type: str | None = None, file_name: str | None = None) -> Content:
    """Inspect a file: its name, size and content type.

    Args:
        source: A path, bytes, a file in a store, or a file that is open for reading bytes. An open file is read from
            its position on, and its position stays where it is.
        content_type: The type of the content; None = determined from the content (extra `media`), or else the name.
        file_name: The name to give it; None = its own name, or one made from its type.

    Raises:
        OSError: It does not exist or cannot be read.
        ValueError: It is empty, not a regular file, or of a type that FLORA does not take.
        TypeError: `source` cannot be read as bytes.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        name, size, opened = _of_bytes(bytes(source))
    elif is_stored(source):
        from flora_async.media.stores import stored_file  # noqa: PLC0415 - an extra

        name, size, opened = stored_file(source)
    elif isinstance(source, os.PathLike):
        name, size, opened = _of_path(Path(source))
    elif hasattr(source, "read"):
        name, size, opened = _of_open_file(source)
    else:
        raise TypeError(f"a file must be a path, bytes or a file open for reading bytes, not {source!r:.60}")
    shown = f"{name!r:.80}" if name else f"the {type(source).__name__}"
    if size <= 0:
        is_open = hasattr(source, "seek") and not is_stored(source)
        problem = "has nothing to read at its position: call seek(0)" if is_open else "is empty: it cannot be uploaded"
        raise ValueError(f"{shown} {problem}")
    file = opened()
    try:
        head = b""
        # A raw file may give less than it is asked for.
        while len(head) < _HEAD_SIZE and (part := file.read(_HEAD_SIZE - len(head))):
            head += part
    finally:
        file.close()
    kind = _content_type(shown, head, file_name or name, content_type)
    return Content(
        name=file_name or name or f"upload{CONTENT_TYPES[kind][1]}", content_type=kind, size=size, open=opened
    )


def _of_bytes(content: bytes) -> tuple[str, int, Callable[[], FileReader]]:
    return "", len(content), partial(io.BytesIO, content)


def _of_path(path: Path) -> tuple[str, int, Callable[[], FileReader]]:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"{str(path)!r:.120} is a directory: name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{str(path)!r:.120} is not a regular file: read it, and pass the bytes")
    return path.name, status.st_size, lambda: path.open("rb")


def _of_open_file(file: Any) -> tuple[str, int, Callable[[], FileReader]]:  # noqa: ANN401 - anything with a `read`
    if isinstance(file, io.TextIOBase):
        raise TypeError(f"{file!r:.80} is open for text: open it with 'rb'")
    nothing = file.read(0)
    if not isinstance(nothing, bytes | bytearray):
        getattr(nothing, "close", bool)()  # of an asynchronous file this is a coroutine
        raise TypeError(f"{file!r:.80} does not read bytes: open it with 'rb', without asyncio, or pass its path")
    path = getattr(file, "name", "")
    name = Path(path).name if isinstance(path, str) else ""
    descriptor = _descriptor(file)
    try:
        begin = file.tell()
        if descriptor is None:
            with _lock_of(file):
                size = file.seek(0, os.SEEK_END) - begin
                file.seek(begin)
            return name, size, lambda: _SharedFileReader(file, begin)
    except (AttributeError, OSError) as error:
        raise ValueError(f"{file!r:.80} cannot be read twice: pass a path, or its bytes") from error
    return name, os.fstat(descriptor).st_size - begin, lambda: _DescriptorReader(file, begin)


def _descriptor(file: Any) -> int | None:  # noqa: ANN401 - anything with a `read`
    """The descriptor of a plain open file, from which `os.pread` reads; None for any other object."""
    if type(file).__module__ == "tempfile":
        file = getattr(file, "file", file)
    # Plain files only: a gzip.GzipFile, for example, has the descriptor of the compressed file.
    if type(file) not in _PLAIN_FILES or type(getattr(file, "raw", file)) is not io.FileIO or not hasattr(os, "pread"):
        return None
    if file.writable():
        file.flush()
    descriptor: int = file.fileno()
    return descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


class _DescriptorReader:
    """Reads an open file without moving its position, even after the caller has closed it."""

    def __init__(self, file: Any, begin: int) -> None:  # noqa: ANN401 - as `_descriptor` found it
        self._descriptor = os.dup(file.fileno())
        self._position = begin

    def read(self, size: int, /) -> bytes:
        """Read on from where the last read ended."""
        chunk = os.pread(self._descriptor, size, self._position)
        self._position += len(chunk)
        return chunk

    def close(self) -> None:
        """Close the copy of the descriptor."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class _SharedFileReader:
    """Reads an open file by moving its position, and restores the position; closing it leaves the file open."""

    def __init__(self, file: Any, begin: int) -> None:  # noqa: ANN401 - anything with `read`, `seek` and `tell`
        self._file = file
        self._position = begin

    def read(self, size: int, /) -> bytes:
        """Read on from where the last read ended."""
        with _lock_of(self._file):
            before = self._file.tell()
            try:
                self._file.seek(self._position)
                chunk = bytes(self._file.read(size))
            finally:
                self._file.seek(before)
        self._position += len(chunk)
        return chunk

    def close(self) -> None:
        """Leave the caller's file open."""


_any_file_lock: Final = threading.Lock()
_file_locks: Final[WeakKeyDictionary[Any, threading.Lock]] = WeakKeyDictionary()
_file_locks_lock: Final = threading.Lock()


def _lock_of(file: Any) -> threading.Lock:  # noqa: ANN401 - anything with a `read`
    """Return the lock for the position of an open file, which all its readers share."""
    with _file_locks_lock:
        try:
            return _file_locks.setdefault(file, threading.Lock())
        except TypeError:  # no weak reference, or no hash
            return _any_file_lock


def _content_type(shown: str, head: bytes, name: str, given: str | None) -> str:
    """Determine the type of a file: as given, or else by its content, or else by its name."""
    if given is not None:
        if not isinstance(given, str):
            raise TypeError(f"content_type must be text such as 'image/png', not {given!r:.40}")
        found = [given.partition(";")[0].strip().lower()]
    else:
        found = _types_by_content(head) or [_type_by_name(name)]
    for kind in found:
        known = _ALIASES.get(kind, kind)
        if known in CONTENT_TYPES:
            return known
    what = f"looks like {found[0]}" if found[0] else "is of an unknown type"
    raise ValueError(f"{shown} {what}; FLORA takes {', '.join(CONTENT_TYPES)}. Convert it, or pass content_type=…")


def _types_by_content(head: bytes) -> list[str]:
    """List the possible types of a content, the likeliest first; none if it is unknown or the extra is missing."""
    try:
        import puremagic  # noqa: PLC0415 - an extra, loaded when first used
    except ImportError:
        return []
    try:
        matches = puremagic.magic_string(head)
    except puremagic.PureError:
        return []
    return [match.mime_type for match in matches if match.mime_type]


def _type_by_name(name: str) -> str:
    return _EXTENSIONS.get(Path(name).suffix.lower()) or mimetypes.guess_type(name)[0] or ""
