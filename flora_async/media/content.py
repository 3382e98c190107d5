"""Files on their way in: what is in them, how large they are, how to read them again. Everything here may block.

FLORA's page "Create an asset" lists the types that it takes.
"""

import hashlib
import io
import mimetypes
import os
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from attrs import field, frozen

FileSource = os.PathLike[str] | bytes | BinaryIO
"""A path, the content itself, or a file that is open for reading bytes."""

# By the type that FLORA knows it under: what an input of that content is, and how a file of it ends.
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
_OTHER_NAMES: Final = {
    "image/jpg": "image/jpeg",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "application/ogg": "audio/ogg",
}
# Files that the standard library's table, or the machine's, may not know.
_ENDINGS: Final = {ending: kind for kind, (_, ending) in CONTENT_TYPES.items()} | {".jpeg": "image/jpeg"}
_HEAD: Final = 4096
_PIECE: Final = 1024 * 1024


@frozen(kw_only=True)
class Content:
    """A file that can be sent: looked at once, read as often as it takes.

    Attributes:
        name: What it is called.
        content_type: What is in it, one of FLORA's types.
        size: Its size in bytes.
        open: Opens it at its beginning.
    """

    name: str
    content_type: str
    size: int
    open: Callable[[], BinaryIO] = field(repr=False)

    @property
    def input_type(self) -> str:
        """The type of an input that holds it, such as `imageUrl`."""
        return CONTENT_TYPES[self.content_type][0]

    def digest(self) -> str:
        """The SHA-256 of the content, in hexadecimal digits."""
        found = hashlib.sha256()
        with self.open() as file:
            while piece := file.read(_PIECE):
                found.update(piece)
        return found.hexdigest()


def input_type_by_ending(ending: str) -> str | None:
    """The type of an input whose file ends so, such as `imageUrl` for `.png`; None where that does not tell."""
    kind = _ENDINGS.get(ending)
    return None if kind is None else CONTENT_TYPES[kind][0]


def is_file_source(value: object) -> bool:
    """Whether a value stands for a file rather than for itself."""
    return isinstance(value, os.PathLike | bytes | bytearray | memoryview) or hasattr(value, "read")


def read_content(source: object, *, content_type: str | None = None, file_name: str | None = None) -> Content:
    """Look at a file: that it is one, how large it is, and what is in it.

    Args:
        source: A path, bytes, or a file that is open for reading bytes.
        content_type: What is in it; None = as its content says (extra `media`), or else its name.
        file_name: What to call it; None = as it is called, or made from its type.

    Raises:
        OSError: It does not exist or cannot be read.
        ValueError: It is empty, no regular file, or of a type that FLORA does not take.
        TypeError: `source` is nothing that can be read as bytes.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        name, size, opened = _of_bytes(bytes(source))
    elif isinstance(source, os.PathLike):
        name, size, opened = _of_path(Path(source))
    elif hasattr(source, "read"):
        name, size, opened = _of_open_file(source)
    else:
        raise TypeError(f"a file must be a path, bytes or a file open for reading bytes, not {source!r:.60}")
    shown = f"{name!r:.80}" if name else f"the {type(source).__name__}"
    if size == 0:
        raise ValueError(f"{shown} is empty: there is nothing to upload")
    with opened() as file:
        head = file.read(_HEAD)
    kind = _content_type(shown, head, file_name or name, content_type)
    return Content(
        name=file_name or name or f"upload{CONTENT_TYPES[kind][1]}", content_type=kind, size=size, open=opened
    )


def _of_bytes(content: bytes) -> tuple[str, int, Callable[[], BinaryIO]]:
    return "", len(content), lambda: io.BytesIO(content)


def _of_path(path: Path) -> tuple[str, int, Callable[[], BinaryIO]]:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"{str(path)!r:.120} is a directory: name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{str(path)!r:.120} is no regular file: read it, and pass the bytes")
    return path.name, status.st_size, lambda: path.open("rb")


def _of_open_file(file: Any) -> tuple[str, int, Callable[[], BinaryIO]]:  # noqa: ANN401 - whatever has a `read`
    if isinstance(file, io.TextIOBase) or isinstance(file.read(0), str):
        raise TypeError(f"{file!r:.80} is open for text: open it with 'rb'")
    try:
        begin = file.tell()
        size = file.seek(0, os.SEEK_END) - begin
        file.seek(begin)
    except (AttributeError, OSError) as error:
        raise ValueError(f"{file!r:.80} cannot be read twice: pass a path, or its bytes") from error
    name, lock = getattr(file, "name", ""), threading.Lock()
    return Path(name).name if isinstance(name, str) else "", size, lambda: _Window(file, begin, lock)


class _Window(io.BytesIO):
    """Somebody else's open file, read from where it stood, by several at once; closing it leaves the file open."""

    def __init__(self, file: BinaryIO, begin: int, lock: threading.Lock) -> None:
        super().__init__()
        self._file = file
        self._at = begin
        self._lock = lock

    def read(self, size: int | None = -1, /) -> bytes:
        with self._lock:
            self._file.seek(self._at)
            piece = self._file.read(-1 if size is None else size)
        self._at += len(piece)
        return piece


def _content_type(shown: str, head: bytes, name: str, given: str | None) -> str:
    """What is in a file: as it was said, as its content says, or as its name does."""
    if given is not None:
        if not isinstance(given, str):
            raise TypeError(f"content_type must be text such as 'image/png', not {given!r:.40}")
        found = [given.partition(";")[0].strip().lower()]
    else:
        found = _types_by_content(head) or [_type_by_name(name)]
    for kind in found:
        known = _OTHER_NAMES.get(kind, kind)
        if known in CONTENT_TYPES:
            return known
    what = f"looks like {found[0]}" if found[0] else "has no type that can be told"
    raise ValueError(
        f"{shown} {what}; FLORA takes {', '.join(CONTENT_TYPES)}. Convert it, or say what it is: content_type=…"
    )


def _types_by_content(head: bytes) -> list[str]:
    """What the content looks like, the likeliest first; nothing where it cannot be told, or nobody can tell it."""
    try:
        import puremagic  # noqa: PLC0415 - an extra, loaded when it is used
    except ImportError:
        return []
    try:
        matches = puremagic.magic_string(head)
    except puremagic.PureError:
        return []
    return [match.mime_type for match in matches if match.mime_type]


def _type_by_name(name: str) -> str:
    ending = Path(name).suffix.lower()
    return _ENDINGS.get(ending) or mimetypes.guess_type(name)[0] or ""
