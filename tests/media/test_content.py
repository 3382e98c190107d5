"""Files that are uploaded: their type and size are known before anything is sent, and reading one moves nothing."""

import gzip
import hashlib
import io
import os
import tempfile
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flora_async.media.content import CONTENT_TYPES, read_content
from flora_async.testing._state.sample_files import png

PNG = png("a file")
MP4 = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(50)
HEADS = {
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(50),
    "image/png": PNG,
    "image/webp": b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(50),
    "image/gif": b"GIF89a" + bytes(50),
    "image/avif": b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf" + bytes(50),
    "video/mp4": MP4,
    "video/webm": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm" + bytes(50),
    "video/quicktime": b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(50),
    "audio/mpeg": b"ID3\x03\0\0\0\0" + bytes(50),
    "audio/wav": b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(50),
    "audio/ogg": b"OggS\0\x02" + bytes(60),
    "application/pdf": b"%PDF-1.7\n" + bytes(50),
}


@pytest.mark.parametrize(("kind", "head"), HEADS.items(), ids=list(HEADS))
def test_the_type_comes_from_the_content_whatever_the_name_says(tmp_path: Path, kind: str, head: bytes) -> None:
    path = tmp_path / "misnamed.bin"
    path.write_bytes(head)
    assert read_content(path).content_type == kind
    assert read_content(head).content_type == kind
    assert read_content(head).name == f"upload{CONTENT_TYPES[kind][1]}"


@pytest.mark.parametrize("kind", sorted(CONTENT_TYPES))
def test_the_type_comes_from_the_name_where_the_content_is_unknown(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"Photo{CONTENT_TYPES[kind][1].upper()}"
    path.write_bytes(b"\x01 an unknown format")
    content = read_content(path)
    assert (content.content_type, content.name) == (kind, path.name)
    assert content.input_type == CONTENT_TYPES[kind][0]


def test_the_type_comes_from_the_name_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "puremagic", None)
    path = tmp_path / "photo.jpeg"
    path.write_bytes(PNG)
    assert read_content(path).content_type == "image/jpeg"
    with pytest.raises(ValueError, match="content_type="):
        read_content(PNG)


@pytest.mark.parametrize(
    ("given_type", "kind"),
    [("image/png", "image/png"), ("IMAGE/JPG", "image/jpeg"), ("audio/x-wav; rate=8000", "audio/wav")],
)
def test_a_given_type_is_used(given_type: str, kind: str) -> None:
    assert read_content(b"anything", content_type=given_type).content_type == kind


@pytest.mark.parametrize(
    "source",
    [b"PK\x03\x04" + bytes(60), b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", b"hello", b"MZ" + bytes(80)],
    ids=["zip", "svg", "text", "program"],
)
def test_a_type_that_flora_does_not_take_is_refused_with_those_it_takes(source: bytes) -> None:
    with pytest.raises(ValueError, match=r"FLORA takes image/jpeg, .*application/pdf"):
        read_content(source)


def test_a_file_that_is_read_in_pieces_is_the_same_file() -> None:
    class Pieces(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(3, size) if size and size > 0 else size)

    content = read_content(Pieces(PNG))
    assert (content.content_type, content.size) == ("image/png", len(PNG))
    assert content.digest() == hashlib.sha256(PNG).hexdigest()


def test_a_program_is_not_an_image_because_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"MZ" + bytes(80))
    with pytest.raises(ValueError, match=r"'photo.png' looks like application/"):
        read_content(path)


def test_a_path_without_a_readable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(ValueError, match=r"'empty.png' is empty"):
        read_content(tmp_path / "empty.png")
    with pytest.raises(IsADirectoryError, match="is a directory"):
        read_content(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"missing.png"):
        read_content(tmp_path / "missing.png")
    with pytest.raises(ValueError, match="not a regular file"):
        read_content(Path(os.devnull))
    with pytest.raises(ValueError, match="is empty"):
        read_content(b"")


def _pipe() -> Any:
    read_end, write_end = os.pipe()
    os.close(write_end)
    return os.fdopen(read_end, "rb")


class _AsyncFile:
    async def read(self, _: int = -1) -> bytes:
        raise AssertionError("nothing awaits it")


@pytest.mark.parametrize(
    ("build", "error", "match"),
    [
        (lambda: io.StringIO("text"), TypeError, "open it with 'rb'"),
        (_AsyncFile, TypeError, "without asyncio"),
        (lambda: io.BytesIO(b""), ValueError, r"call seek\(0\)"),
        (_pipe, ValueError, "cannot be read twice"),
        (lambda: 5, TypeError, "must be a path, bytes or a file"),
        (lambda: "photo.png", TypeError, "must be a path"),
    ],
    ids=["text file", "asynchronous file", "empty open file", "pipe", "number", "text"],
)
def test_a_source_that_cannot_be_read_as_bytes_is_refused(
    build: Callable[[], Any], error: type[Exception], match: str
) -> None:
    source = build()
    try:
        with pytest.raises(error, match=match):
            read_content(source)
    finally:
        if hasattr(source, "close"):
            source.close()


def test_a_type_that_is_not_text_is_refused() -> None:
    with pytest.raises(TypeError, match="content_type must be text"):
        read_content(PNG, content_type=5)  # type: ignore[arg-type]  # deliberately wrong


BODY = PNG + bytes(range(256)) * 40


def _plain(path: Path) -> Any:
    return path.open("rb")


def _unbuffered(path: Path) -> Any:
    return path.open("rb", buffering=0)


def _unwritten(path: Path) -> Any:
    file = path.open("w+b")
    file.write(b"skipped" + BODY)  # still in the buffer
    return file


def _temporary(_: Path) -> Any:
    file = tempfile.NamedTemporaryFile(suffix=".png")  # noqa: SIM115 - the test closes it
    file.write(b"skipped" + BODY)
    return file


def _spooled(_: Path) -> Any:
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115 - the test closes it
    file.write(b"skipped" + BODY)
    return file


def _compressed(path: Path) -> Any:
    packed = path.with_suffix(".gz")
    packed.write_bytes(gzip.compress(b"skipped" + BODY))
    return gzip.open(packed)


def _in_an_archive(path: Path) -> Any:
    packed = path.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("photo.png", b"skipped" + BODY)
    return zipfile.ZipFile(packed).open("photo.png")


def _in_memory(_: Path) -> Any:
    return io.BytesIO(b"skipped" + BODY)


class _Unweakable:
    """A file without hash and weak references, which some libraries have."""

    __slots__ = ("_file",)
    __hash__ = None  # type: ignore[assignment]  # deliberately

    def __init__(self, _: Path) -> None:
        self._file = io.BytesIO(b"skipped" + BODY)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


OPENERS = [_plain, _unbuffered, _unwritten, _temporary, _spooled, _compressed, _in_an_archive, _in_memory, _Unweakable]


@pytest.mark.parametrize("opened", OPENERS, ids=lambda opened: opened.__name__.strip("_"))
def test_reading_an_open_file_moves_nothing_however_many_read_it_at_once(tmp_path: Path, opened: Any) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"skipped" + BODY)
    with closing(opened(path)) as file:
        file.seek(7)
        contents = [read_content(file, content_type="image/png") for _ in range(2)]
        assert file.tell() == 7
        expected = hashlib.sha256(BODY).hexdigest()
        together = threading.Barrier(8)

        def read_slowly(number: int) -> bytes:
            reader = contents[number % 2].open()
            together.wait()
            pieces = iter(lambda: reader.read(97), b"")
            try:
                return b"".join(pieces)
            finally:
                reader.close()

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(read_slowly, range(8))) == {BODY}
        assert file.tell() == 7
        assert [content.size for content in contents] == [len(BODY)] * 2
        assert contents[0].digest() == expected
        assert file.read() == BODY


def test_a_reader_outlives_the_closing_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(BODY)
    with path.open("rb") as file:
        reader = read_content(file).open()
    others = [path.open("rb") for _ in range(3)]  # which take the descriptor that was closed
    try:
        assert reader.read(len(BODY)) == BODY
    finally:
        reader.close()
        for other in others:
            other.close()


@given(st.binary(min_size=1))
def test_equal_bytes_have_equal_digests(body: bytes) -> None:
    by_bytes = read_content(body, content_type="image/png", file_name="a.png")
    by_file = read_content(io.BytesIO(body), content_type="image/gif")
    assert by_bytes.digest() == by_file.digest()
    assert by_bytes.digest() != read_content(body + b"x", content_type="image/png").digest()
