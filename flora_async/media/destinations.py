"""Choose where a file is saved: in a directory of this machine, or in a store. Everything here blocks."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from flora_async.media import disk
from flora_async.media.names import Destination
from flora_async.media.parts import Exists, PartFile
from flora_async.media.store_urls import is_stored, is_url, shown_url

_URL_IN_PATH: Final = re.compile(r"[a-z][a-z0-9+.-]+:[/\\](?![/\\])", re.IGNORECASE)
_LOCAL: Final = frozenset({"file", "local"})


def path_of(argument: str, value: object) -> Path:
    """Return the path of a file or a directory: a `UPath`, with the methods of a `Path`, for one in a store.

    Args:
        argument: The name of the argument, for errors.
        value: A path, or a URL as text.

    Raises:
        TypeError: It is not a path.
        ValueError: It is empty, holds a NUL, or is a URL that cannot be saved to.
        ImportError: The extra `storage`, or the driver of the store, is not installed.
    """
    if is_stored(value) or (is_url(value) and urlsplit(str(value)).scheme.lower() not in _LOCAL):
        return _stored_path(argument, value)
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str):
        raise TypeError(f"{argument} must be a path, as text or pathlib.Path, not {value!r:.60}")
    if not text or "\0" in text:
        raise ValueError(f"{argument} {text!r:.60} is not a path: name a file or a directory ('.' is the current one)")
    if _URL_IN_PATH.match(text):
        remedy = "pass it as text, or as a UPath, with two slashes after the colon"
        raise ValueError(f"{argument} {text!r:.60} is not a path, but a URL that lacks a slash: {remedy}")
    return Path(url2pathname(urlsplit(text).path)) if is_url(text) else Path(text)


def local_path(argument: str, value: object) -> Path:
    """Return the path of a file on this machine.

    Raises:
        TypeError: It is not a path.
        ValueError: It is in a store, empty, or holds a NUL.
    """
    if is_stored(value) or (is_url(value) and urlsplit(str(value)).scheme.lower() not in _LOCAL):
        shown = shown_url(str(value))
        raise ValueError(f"{argument} {shown!r:.120} is not on this machine: name a local file, and copy it there")
    return path_of(argument, value)


def _stored_path(argument: str, value: object) -> Path:
    try:
        from flora_async.media.stores import store_path  # noqa: PLC0415 - an extra
    except ImportError as error:
        remedy = "pip install 'flora-async[storage]', and the driver of the store, such as s3fs"
        raise ImportError(f"{argument} is in a store, which needs fsspec and universal-pathlib: {remedy}") from error
    return store_path(argument, value)


def destination_of(value: object, name: str) -> Destination:
    """Decide where to save a file. This looks at what exists.

    Args:
        value: The file, with its extension or without, or its directory.
        name: The file's name in a directory, without an extension.

    Raises:
        TypeError: As `path_of` does, like the other errors.
    """
    path = path_of("destination", value)
    text = value if isinstance(value, str) else os.fspath(path) if isinstance(path, Path) else ""
    separators = tuple(filter(None, (os.sep, os.altsep))) if isinstance(path, Path) else ("/",)
    if text.endswith(separators) or _is_directory(path):
        return Destination(path / name, is_complete=False)
    return Destination(path, is_complete=path.suffix != "")


def _is_directory(path: Path) -> bool:
    if isinstance(path, Path):
        return path.is_dir()
    from flora_async.media import stores  # noqa: PLC0415 - an extra

    return stores.is_directory(path)


def part_file(path: Path, *, exists: Exists, source: str) -> PartFile:
    """Make a file that is complete or not there at all."""
    if isinstance(path, Path):
        return disk.LocalPart(path, exists=exists, source=source)
    from flora_async.media import stores  # noqa: PLC0415 - an extra

    return stores.StorePart(path, exists=exists, source=source)


def write_file(path: Path, content: bytes, *, exists: Exists, source: str) -> Path:
    """Write a small file, completely or not at all, and return its path."""
    part = part_file(path, exists=exists, source=source)
    try:
        if not part.is_kept():
            part.write(0, content, len(content))
            part.complete()
    finally:
        part.discard()
    return path


def find_file(candidates: Sequence[Path]) -> Path | None:
    """Return the first file that exists; all candidates are in one directory."""
    if isinstance(candidates[0], Path):
        return next((path for path in candidates if path.is_file()), None)
    from flora_async.media import stores  # noqa: PLC0415 - an extra

    return stores.find_file(candidates)


def read_file(path: Path, max_size: int) -> bytes | None:
    """Read a small file; None if there is none, or if it is larger than `max_size` bytes.

    Raises:
        OSError: It cannot be read.
    """
    if isinstance(path, Path):
        return path.read_bytes() if path.is_file() and path.stat().st_size <= max_size else None
    from flora_async.media import stores  # noqa: PLC0415 - an extra

    return stores.read_file(path, max_size)


def check_writable(directory: Path) -> None:
    """Check that a file can be written in a directory, and create the directory if it is missing.

    Raises:
        OSError: It cannot be created or written to, or it is full.
    """
    if isinstance(directory, Path):
        disk.check_writable(directory)
        return
    from flora_async.media import stores  # noqa: PLC0415 - an extra

    stores.check_writable(directory)
