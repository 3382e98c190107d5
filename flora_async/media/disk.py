"""Write files, completely or not at all, and never over another source's file. Everything here blocks."""

import hashlib
import secrets
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Literal, get_args

from flora_async._cache import RecentItems

Exists = Literal["keep", "error", "replace"]
"""What to do about a file that exists: keep it and fetch nothing, raise `FileExistsError`, or replace it."""

_MAX_STEM: Final = 40
# Measured on Linux: writes of 2 MiB and more sometimes took ten times as long as smaller ones.
_STEP: Final = 1024 * 1024
_MAX_REMEMBERED: Final = 10_000


def check_exists(exists: object, overwrite: object) -> Exists:
    """Combine the two arguments that say what to do about a file that exists.

    Raises:
        TypeError: `overwrite` is not a bool.
        ValueError: `exists` is not one of the three, or contradicts `overwrite`.
    """
    if not isinstance(overwrite, bool):
        raise TypeError(f"overwrite must be True or False, not {overwrite!r:.60}")
    if exists not in get_args(Exists):
        raise ValueError(f"exists must be 'keep', 'error' or 'replace', not {exists!r:.60}")
    if overwrite and exists == "error":
        raise ValueError("overwrite=True means exists='replace', which contradicts exists='error': leave one out")
    return "replace" if overwrite else exists  # type: ignore[return-value]  # mypy does not narrow by `in`


class PartFile:
    """A file that is written under a temporary name and renamed once it is complete. Everything here blocks.

    Args:
        path: The final path.
        exists: What to do about a file at that path.
        source: Identifies what is saved, so that a file of another source is never kept in its place.

    Attributes:
        path: As given.
    """

    def __init__(self, path: Path, *, exists: Exists, source: str) -> None:
        self.path = path
        self._exists: Exists = exists
        self._source = source
        self._part = path.with_name(f".{path.stem[:_MAX_STEM]}.{secrets.token_hex(8)}.part")
        self._file: BinaryIO | None = None

    def is_kept(self) -> bool:
        """Whether a file exists that is to be kept.

        Raises:
            IsADirectoryError: A directory exists at the path.
            FileExistsError: A file exists that is neither to be kept nor to be replaced.
        """
        if self.path.is_dir():
            raise IsADirectoryError(f"{str(self.path)!r:.120} is a directory: name a file in it")
        if self._exists == "replace" or not self.path.exists():
            return False
        check_existing(self.path, self._exists, self._source)
        return True

    def write(self, position: int, content: bytes | bytearray, size: int) -> None:
        """Write `size` bytes of `content` after the first `position` bytes, and drop everything that followed them."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("xb")
        if self._file.tell() != position:
            self._file.seek(position)
            self._file.truncate()
        with memoryview(content)[:size] as view:  # released here, so that `content` can grow again
            for start in range(0, size, _STEP):
                self._file.write(view[start : start + _STEP])

    def complete(self) -> None:
        """Move the file to its path, unless another file has appeared there that is to be kept.

        Raises:
            FileExistsError: A file has appeared that is neither to be kept nor to be replaced.
        """
        if self._file is not None:
            self._file.close()
        with _placing:
            self._place()

    def _place(self) -> None:
        if self.is_kept():
            return
        if self._exists == "replace":
            self._part.replace(self.path)
        else:
            try:
                self.path.hardlink_to(self._part)  # which never replaces a file
            except FileExistsError:
                if self.is_kept():
                    return
                raise
            except (OSError, NotImplementedError):  # the file system has no hard links
                self._part.replace(self.path)
        _saved_files.remember(self.path, self._source)

    def discard(self) -> None:
        """Remove the temporary file."""
        if self._file is not None:
            with suppress(OSError):  # a full disk has been reported already
                self._file.close()
            with suppress(OSError):
                self._part.unlink(missing_ok=True)


def write_file(path: Path, content: bytes, *, exists: Exists, source: str) -> Path:
    """Write a small file, completely or not at all, and return its path. This blocks."""
    part = PartFile(path, exists=exists, source=source)
    try:
        if not part.is_kept():
            part.write(0, content, len(content))
            part.complete()
    finally:
        part.discard()
    return path


def check_existing(path: Path, exists: Exists, source: str) -> None:
    """Refuse a file that exists and is not to be kept. This blocks.

    Raises:
        FileExistsError: `exists` is "error", or this process has saved the file from another source.
    """
    if exists == "error":
        raise FileExistsError(f"{path.name!r:.120} exists: pass exists='keep' or exists='replace', or another name")
    with _placing:
        is_from_another = exists == "keep" and _saved_files.is_from_another(path, source)
    if is_from_another:
        raise FileExistsError(
            f"{path.name!r:.120} was saved from another source: choose another name, or pass exists='replace'"
        )


def check_writable(directory: Path) -> None:
    """Create a directory if it is missing, and check that a file can be written in it. This blocks.

    Raises:
        OSError: It cannot be created or written to, or the disk is full.
    """
    probe = directory / f".{secrets.token_hex(8)}.part"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"flora")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        problem = f"{str(directory)!r:.120} cannot be written to ({error.strerror or error}): choose another directory"
        raise type(error)(error.errno, problem) from error


class _SavedFiles:
    """The sources of the files that this process has saved, as long as nothing else has changed them."""

    def __init__(self) -> None:
        self._sources: RecentItems[str, tuple[bytes, int, int]] = RecentItems(_MAX_REMEMBERED)
        self._lock = threading.Lock()

    def remember(self, path: Path, source: str) -> None:
        try:
            status = path.stat()
        except OSError:  # something has removed it
            return
        with self._lock:
            self._sources[str(path.absolute())] = _digest(source), status.st_ino, status.st_mtime_ns

    def is_from_another(self, path: Path, source: str) -> bool:
        with self._lock:
            saved = self._sources.get(str(path.absolute()))
        if saved is None:
            return False
        try:
            status = path.stat()
        except OSError:  # something has removed it
            return False
        return saved[1:] == (status.st_ino, status.st_mtime_ns) and saved[0] != _digest(source)


def _digest(source: str) -> bytes:
    return hashlib.sha256(source.encode(errors="surrogatepass")).digest()[:16]


_saved_files: Final = _SavedFiles()
# A file is at its path and its source is remembered in one step: between the two it would pass for any source's.
_placing: Final = threading.RLock()
