"""Save files in directories of this machine. Everything here blocks."""

import secrets
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Literal

from flora_async.media.parts import Exists, PartFile, placing

_MAX_STEM: Final = 40
# Measured on Linux: writes of 2 MiB and more sometimes took ten times as long as smaller ones.
_STEP: Final = 1024 * 1024


class LocalPart(PartFile):
    """A file that is written under a temporary name and renamed once it is complete."""

    def __init__(self, path: Path, *, exists: Exists, source: str) -> None:
        super().__init__(path, exists=exists, source=source)
        self._part = path.with_name(part_name(path))
        self._file: BinaryIO | None = None

    def kind(self) -> Literal["file", "directory"] | None:
        """What exists at the path."""
        if self.path.is_dir():
            return "directory"
        return "file" if self.path.exists() else None

    def version(self) -> Hashable:
        """The number and the time of the file."""
        status = self.path.stat()
        return status.st_ino, status.st_mtime_ns

    def write(self, position: int, content: bytes | bytearray, size: int) -> None:
        """Write to the temporary file."""
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
        """Move the file to its path."""
        if self._file is not None:
            self._file.close()
        with placing(self.path):
            self._place()

    def _place(self) -> None:
        if self.is_kept():
            return
        if self.exists == "replace":
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
        self.remember()

    def discard(self) -> None:
        """Remove the temporary file."""
        if self._file is not None:
            with suppress(OSError):  # a full disk has been reported already
                self._file.close()
            with suppress(OSError):
                self._part.unlink(missing_ok=True)


def part_name(path: Path) -> str:
    """A temporary name for a file."""
    return f".{path.stem[:_MAX_STEM]}.{secrets.token_hex(8)}.part"


def check_writable(directory: Path) -> None:
    """Create a directory if it is missing, and check that a file can be written in it.

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
