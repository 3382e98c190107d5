"""Save files in object stores and on file servers, and read them, by fsspec. Everything here blocks."""

import hashlib
import inspect
import io
import secrets
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast
from urllib.parse import urlsplit

from fsspec.asyn import AsyncFileSystem
from fsspec.core import OpenFile
from fsspec.spec import AbstractFileSystem
from upath import UPath as UPath  # noqa: PLC0414 - for annotations elsewhere

from flora_async._text import printable
from flora_async.media.disk import part_name
from flora_async.media.parts import Exists, PartFile, placing
from flora_async.media.store_urls import shown_url, without_password

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    # The path of what was saved: of the kind that was given, and a Path where a directory was given as text.
    PathT = TypeVar("PathT", bound=Path | UPath, default=Path)

# Drivers keep a block of each file in memory, up to 50 MiB by default; S3 takes blocks of 5 MiB and more.
_BLOCK_SIZE: Final = 8 * 1024 * 1024
_READ_SIZE: Final = 4 * 1024 * 1024
_WEB: Final = frozenset({"http", "https"})


def store_path(argument: str, value: object) -> Path:
    """Return a file or a directory of a store, once its driver is loaded.

    Raises:
        ValueError: The URL cannot be used.
        ImportError: The driver is not installed.
    """
    if isinstance(value, OpenFile):
        raise TypeError(f"{argument} must be a URL or a UPath, not an OpenFile")
    path = _without_password(value) if isinstance(value, UPath) else _path_of_url(argument, str(value))
    _ = _file_system(argument, path)
    return cast("Path", path)  # which has the methods of a path that are used here


def _without_password(path: UPath) -> UPath:
    url, options = without_password(str(path))
    if not options:
        return path
    clean: UPath = UPath(url, **{**path.storage_options, **options})
    return clean


def _path_of_url(argument: str, url: str) -> UPath:
    shown = shown_url(url)
    scheme = urlsplit(url).scheme.lower()
    if scheme in _WEB:
        raise ValueError(f"{argument} {shown!r:.120} is on the web: name a directory, or a store such as s3://bucket/")
    if "\0" in url or "?" in url:
        raise ValueError(f"{argument} {shown!r:.120} must be a URL without a query, or a UPath with storage_options")
    url, options = without_password(url)
    try:
        path: UPath = UPath(url, **options)
    except Exception as error:  # noqa: BLE001 - each driver has exceptions of its own, and they may quote the options
        raise ValueError(f"{argument} {shown!r:.120} cannot be used: {_message(error)}") from None
    return path


def _file_system(argument: str, path: UPath) -> AbstractFileSystem:
    shown = shown_url(str(path))
    try:
        return path.fs
    except ImportError as error:
        remedy = "install the driver of the store, such as s3fs for s3://, gcsfs for gs:// and adlfs for az://"
        raise ImportError(f"{argument} {shown!r:.120} needs a driver ({_message(error)}): {remedy}") from error
    except Exception as error:  # noqa: BLE001 - as above
        raise ValueError(f"{argument} {shown!r:.120} cannot be used: {_message(error)}") from None


def _fs_of(path: UPath) -> Any:  # noqa: ANN401 - fsspec has no types
    return path.fs


def _has_objects(fs: object) -> bool:
    """Whether a store has objects, whose drivers are asynchronous, and not files, whose drivers are not."""
    return isinstance(fs, AsyncFileSystem)


def _message(error: BaseException) -> str:
    return printable(str(error)) or type(error).__name__


@contextmanager
def _store_errors(path: object) -> Iterator[None]:
    """Turn the errors of a driver into `OSError`."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # each driver has exceptions of its own
        raise OSError(f"{shown_url(str(path))!r:.120}: {_message(error)}") from error


def _info(path: UPath) -> dict[str, Any] | None:
    """What the store knows about a path; None if it does not exist."""
    fs = _fs_of(path)
    with _store_errors(path):
        fs.invalidate_cache(path.path)  # another process may have changed it
        try:
            return cast("dict[str, Any]", fs.info(path.path))
        except FileNotFoundError:
            return None


def is_directory(path: Path) -> bool:
    """Whether a directory exists at a path."""
    info = _info(cast("UPath", path))
    return info is not None and info["type"] == "directory"


class StorePart(PartFile):
    """A file that is uploaded in blocks.

    An object appears in its store when its upload is completed. On a file server, a file is written under a temporary
    name and moved to its path.
    """

    def __init__(self, path: Path, *, exists: Exists, source: str) -> None:
        super().__init__(path, exists=exists, source=source)
        self._remote = cast("UPath", path)
        self._fs: Any = self._remote.fs
        self._has_objects = _has_objects(self._fs)
        self._target = self._remote if self._has_objects else self._remote.with_name(part_name(path))
        self._file: Any = None
        self._position = 0
        self._digest = hashlib.sha256()
        self._is_discarded = False
        self._lock = threading.RLock()  # a cancelled download may discard while a thread still writes

    def kind(self) -> Literal["file", "directory"] | None:
        """What exists at the path."""
        info = _info(self._remote)
        if info is None:
            return None
        return "directory" if info["type"] == "directory" else "file"

    def version(self) -> Hashable:
        """A hash of what the store knows about the file."""
        info = _info(self._remote)
        if info is None:
            raise FileNotFoundError(self._remote.name)
        return repr(sorted((key, repr(value)) for key, value in info.items()))

    def write(self, position: int, content: bytes | bytearray, size: int) -> None:
        """Upload a block, or begin again."""
        with self._lock, _store_errors(self._remote):
            if self._is_discarded:
                raise InterruptedError("the upload was discarded")
            file = self._file
            if file is None or position != self._position:
                file = self._begin()
            if position != self._position:
                raise io.UnsupportedOperation("what was sent to a store cannot be cut in the middle")
            with memoryview(content)[:size] as view:
                self._digest.update(view)
                file.write(bytes(view))
            self._position += size

    def _begin(self) -> Any:  # noqa: ANN401 - fsspec has no types
        self._drop()
        self._position, self._digest = 0, hashlib.sha256()
        if not self._has_objects:
            self._fs.makedirs(self._target.parent.path, exist_ok=True)
        elif self.exists != "replace":
            with suppress(ValueError, NotImplementedError):  # the driver cannot create conditionally
                self._file = self._fs.open(self._target.path, "xb", block_size=_BLOCK_SIZE)
        if self._file is None:
            self._file = self._fs.open(self._target.path, "wb", block_size=_BLOCK_SIZE)
        return self._file

    def complete(self) -> None:
        """Complete the upload."""
        with self._lock, _store_errors(self._remote):
            if self._is_discarded:
                raise InterruptedError("the upload was discarded")
            if self._file is None:
                self._begin()
            with placing(self.path):
                if self._has_objects:
                    self._place_object()
                else:
                    self._place_file()

    def _place_object(self) -> None:
        is_conditional = "x" in getattr(self._file, "mode", "")
        # An empty object is created without a condition.
        if not (is_conditional and self._position) and self.is_kept():
            return
        try:
            self._file.close()
        except Exception:
            if not is_conditional or self.kind() != "file":
                raise
            # Another file has appeared; or this one, and the answer that said so was lost.
            if self.exists == "keep":
                self.check_existing()
            self._check_same()
        else:
            self._file = None
        self.remember()

    def _place_file(self) -> None:
        self._file.close()
        if self.is_kept():
            return
        if type(self._fs).mv is AbstractFileSystem.mv:  # which takes names with brackets for patterns
            self._fs.cp_file(self._target.path, self._remote.path)
        else:
            self._fs.mv(self._target.path, self._remote.path)
            self._file = None
        self.remember()

    def _check_same(self) -> None:
        """Refuse an object that has appeared meanwhile, unless it is what was to be saved."""
        found = hashlib.sha256()
        reader = reader_of(self._fs, self._remote.path)
        try:
            while block := reader.read(_READ_SIZE):
                found.update(block)
        finally:
            reader.close()
        if found.digest() != self._digest.digest():
            raise FileExistsError(
                f"{self.path.name!r:.120} was saved from another source meanwhile: choose another name, or pass "
                "exists='replace'"
            )

    def discard(self) -> None:
        """Abort the upload, or remove the temporary file."""
        with self._lock:
            self._is_discarded = True
            with suppress(OSError), _store_errors(self._remote):  # the download has ended with an earlier error
                self._drop()

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        if self._has_objects:
            file.closed = True  # closing would complete the upload, also when the file is garbage
            file.discard()
        else:
            try:
                file.close()
            finally:
                self._fs.rm_file(self._target.path)


def find_file(candidates: Sequence[Path]) -> Path | None:
    """Return the first file that exists; all candidates are in one directory and begin alike."""
    paths = [cast("UPath", path) for path in candidates]
    fs = _fs_of(paths[0])
    if "prefix" not in inspect.signature(getattr(fs, "_find", fs.find)).parameters:
        found = ((path, _info(path)) for path in paths)
        return next((cast("Path", path) for path, info in found if info and info["type"] == "file"), None)
    prefix = min((path.name for path in paths), key=len)
    while not all(path.name.startswith(prefix) for path in paths):
        prefix = prefix[:-1]
    with _store_errors(paths[0]):
        try:
            names = set(fs.find(paths[0].parent.path, prefix=prefix))
        except FileNotFoundError:
            return None
    return next((cast("Path", path) for path in paths if path.path in names), None)


def read_file(path: Path, max_size: int) -> bytes | None:
    """Read a small file; None if there is none, or if it is larger than `max_size` bytes."""
    remote = cast("UPath", path)
    info = _info(remote)
    if info is None or info["type"] != "file" or info["size"] > max_size:
        return None
    with _store_errors(remote):
        return bytes(_fs_of(remote).cat_file(remote.path))


def check_writable(directory: Path) -> None:
    """Write a small object, and remove it, unless that is forbidden: to save files takes no right to delete any."""
    probe = cast("UPath", directory / f".{secrets.token_hex(8)}.part")
    fs = _fs_of(probe)
    try:
        with _store_errors(probe):
            if not _has_objects(fs):
                fs.makedirs(probe.parent.path, exist_ok=True)
            with fs.open(probe.path, "wb", block_size=_BLOCK_SIZE) as file:
                file.write(b"flora")
            with suppress(PermissionError):
                fs.rm_file(probe.path)
    except OSError as error:
        shown = shown_url(str(directory))
        problem = f"{shown!r:.120} cannot be written to ({_message(error)}): choose another directory"
        kind = type(error) if isinstance(error, PermissionError | FileNotFoundError | TimeoutError) else OSError
        raise kind(problem) from error


def stored_file(source: object) -> tuple[str, int, Callable[[], Any]]:
    """The name and the size of a file in a store, and how to open it.

    Raises:
        OSError: It does not exist or cannot be read.
        ValueError: It is a directory, or its size is not known beforehand.
        ImportError: The driver is not installed.
    """
    if isinstance(source, OpenFile):
        fs, path = source.fs, source.path
        if source.compression is not None or "r" not in source.mode:
            raise ValueError(f"{source!r:.120} must be open for reading, and without compression")
    else:
        fs, path = _file_system("file", cast("UPath", source)), cast("UPath", source).path
    name = path.rstrip("/").rpartition("/")[2]
    shown = shown_url(source.full_name if isinstance(source, OpenFile) else str(source))
    try:
        with _store_errors(name):
            fs.invalidate_cache(path)
            info = fs.info(path)
    except OSError as error:
        is_named_alone = _message(error).strip("/") == path.strip("/")  # the driver gives the path as the whole message
        reason = "there is no such file" if is_named_alone else _message(error)
        kind = type(error) if isinstance(error, PermissionError | FileNotFoundError | TimeoutError) else OSError
        raise kind(f"{shown!r:.120} cannot be read ({reason}): check the URL and the driver's credentials") from error
    if info["type"] == "directory":
        raise IsADirectoryError(f"{shown!r:.120} is a directory: name a file in it")
    if not isinstance(info["size"], int):
        raise ValueError(f"{shown!r:.120} has a size that the store does not tell: read it, and pass the bytes")  # noqa: TRY004 - of the file
    return name, info["size"], lambda: _Reader(fs, path, name)


class _Reader:
    """Reads a file of a store."""

    def __init__(self, fs: Any, path: str, name: str) -> None:  # noqa: ANN401 - fsspec has no types
        self._name = name
        with _store_errors(name):
            self._file = reader_of(fs, path)

    def read(self, size: int, /) -> bytes:
        """Read on from where the last read ended."""
        with _store_errors(self._name):
            return bytes(self._file.read(size))

    def close(self) -> None:
        """Close it."""
        self._file.close()


def reader_of(fs: Any, path: str) -> Any:  # noqa: ANN401 - fsspec has no types
    """Open a file for reading at a position of its own."""
    file = fs.open(path, "rb", block_size=_READ_SIZE)
    # A file in memory is the same object for all that open it.
    return io.BytesIO(file.getvalue()) if isinstance(file, io.BytesIO) else file
