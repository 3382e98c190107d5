"""The rules for saving a file, wherever it is saved: completely or not at all, and never over another source's file."""

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable
from pathlib import Path
from typing import Final, Literal, get_args

from flora_async._cache import RecentItems

Exists = Literal["keep", "error", "replace"]
"""What to do about a file that exists: keep it and fetch nothing, raise `FileExistsError`, or replace it."""

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


class PartFile(ABC):
    """A file that appears at its path once it is complete, and of which nothing is left otherwise. All of it blocks.

    Args:
        path: The final path; a `UPath`, which has the same methods, for a file in a store.
        exists: What to do about a file at that path.
        source: Identifies what is saved, so that a file of another source is never kept in its place.

    Attributes:
        path: As given.
        exists: As given.
        source: As given.
    """

    def __init__(self, path: Path, *, exists: Exists, source: str) -> None:
        self.path = path
        self.exists: Exists = exists
        self.source = source

    def is_kept(self) -> bool:
        """Whether a file exists that is to be kept.

        Raises:
            IsADirectoryError: A directory exists at the path.
            FileExistsError: A file exists that is neither to be kept nor to be replaced.
        """
        kind = self.kind()
        if kind == "directory":
            raise IsADirectoryError(f"{self.path.name!r:.120} is a directory: name a file in it")
        if self.exists == "replace" or kind is None:
            return False
        self.check_existing()
        return True

    def check_existing(self) -> None:
        """Refuse the file that exists at the path if it is not to be kept.

        Raises:
            FileExistsError: `exists` is "error", or this process has saved the file from another source.
        """
        shown = f"{self.path.name!r:.120}"
        if self.exists == "error":
            raise FileExistsError(f"{shown} exists: pass exists='keep' or exists='replace', or another name")
        with placing(self.path):
            is_from_another = self.exists == "keep" and _saved_files.is_from_another(self)
        if is_from_another:
            raise FileExistsError(
                f"{shown} was saved from another source: choose another name, or pass exists='replace'"
            )

    def remember(self) -> None:
        """Remember the source of the file that is at the path now."""
        _saved_files.remember(self)

    @abstractmethod
    def kind(self) -> Literal["file", "directory"] | None:
        """What exists at the path."""

    @abstractmethod
    def version(self) -> Hashable:
        """Identify the version of the file at the path.

        Raises:
            OSError: There is none.
        """

    @abstractmethod
    def write(self, position: int, content: bytes | bytearray, size: int) -> None:
        """Write `size` bytes of `content` after the first `position` bytes, and drop everything that followed them."""

    @abstractmethod
    def complete(self) -> None:
        """Let the file appear at its path, unless another file has appeared there that is to be kept.

        Raises:
            FileExistsError: A file has appeared that is neither to be kept nor to be replaced.
        """

    @abstractmethod
    def discard(self) -> None:
        """Remove what was written, unless it is complete."""


class _SavedFiles:
    """The sources of the files that this process has saved, as long as nothing else has changed them."""

    def __init__(self) -> None:
        self._sources: RecentItems[str, tuple[bytes, Hashable]] = RecentItems(_MAX_REMEMBERED)
        self._lock = threading.Lock()

    def remember(self, part: PartFile) -> None:
        try:
            version = part.version()
        except OSError:  # something has removed it
            return
        with self._lock:
            self._sources[str(part.path.absolute())] = _digest(part.source), version

    def is_from_another(self, part: PartFile) -> bool:
        with self._lock:
            saved = self._sources.get(str(part.path.absolute()))
        if saved is None or saved[0] == _digest(part.source):
            return False
        try:
            return saved[1] == part.version()
        except OSError:  # something has removed it
            return False


def _digest(source: str) -> bytes:
    return hashlib.sha256(source.encode(errors="surrogatepass")).digest()[:16]


def placing(path: Path) -> threading.RLock:
    """Return the lock for a path.

    A file is at its path and its source is remembered in one step: between the two it would pass for any source's.
    """
    return _placing[hash(str(path.absolute())) % len(_placing)]


_saved_files: Final = _SavedFiles()
_placing: Final = tuple(threading.RLock() for _ in range(64))
