"""Files on their way in: what they are is found out before anything is sent."""

import io
import os
from collections.abc import Callable
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
def test_the_type_comes_from_the_name_where_the_content_does_not_tell(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"Photo{CONTENT_TYPES[kind][1].upper()}"
    path.write_bytes(b"\x01 nothing that anybody knows")
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
def test_a_type_that_is_given_is_taken(given_type: str, kind: str) -> None:
    assert read_content(b"anything", content_type=given_type).content_type == kind


@pytest.mark.parametrize(
    "source",
    [b"PK\x03\x04" + bytes(60), b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", b"hello", b"MZ" + bytes(80)],
    ids=["zip", "svg", "text", "program"],
)
def test_what_flora_does_not_take_is_refused_with_what_it_takes(source: bytes) -> None:
    with pytest.raises(ValueError, match=r"FLORA takes image/jpeg, .*application/pdf"):
        read_content(source)


def test_a_program_is_no_image_because_it_is_called_one(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"MZ" + bytes(80))
    with pytest.raises(ValueError, match=r"'photo.png' looks like application/"):
        read_content(path)


def test_paths_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(ValueError, match=r"'empty.png' is empty"):
        read_content(tmp_path / "empty.png")
    with pytest.raises(IsADirectoryError, match="is a directory"):
        read_content(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"missing.png"):
        read_content(tmp_path / "missing.png")
    with pytest.raises(ValueError, match="no regular file"):
        read_content(Path(os.devnull))
    with pytest.raises(ValueError, match="is empty"):
        read_content(b"")


def _pipe() -> Any:
    read_end, write_end = os.pipe()
    os.close(write_end)
    return os.fdopen(read_end, "rb")


@pytest.mark.parametrize(
    ("build", "error", "match"),
    [
        (lambda: io.StringIO("text"), TypeError, "open it with 'rb'"),
        (_pipe, ValueError, "cannot be read twice"),
        (lambda: 5, TypeError, "must be a path, bytes or a file"),
        (lambda: "photo.png", TypeError, "must be a path"),
    ],
    ids=["text file", "pipe", "number", "text"],
)
def test_what_cannot_be_read_as_bytes_is_refused(build: Callable[[], Any], error: type[Exception], match: str) -> None:
    source = build()
    try:
        with pytest.raises(error, match=match):
            read_content(source)
    finally:
        if hasattr(source, "close"):
            source.close()


def test_a_type_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="content_type must be text"):
        read_content(PNG, content_type=5)  # type: ignore[arg-type]  # which is the point


def test_an_open_file_is_read_from_where_it_stands_and_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "two.png"
    path.write_bytes(b"skipped" + PNG)
    with path.open("rb") as file:
        file.seek(7)
        content = read_content(file)
        assert (content.name, content.size, content.content_type) == ("two.png", len(PNG), "image/png")
        first, second = content.open(), content.open()
        assert first.read(10) + second.read(10) + first.read() == PNG[:10] + PNG[:10] + PNG[10:]
        first.close()
        assert second.read(5) == PNG[10:15]
        assert not file.closed
        file.seek(0)
        assert content.digest() == read_content(PNG).digest()


@given(st.binary(min_size=1))
def test_a_content_is_known_by_its_bytes_alone(body: bytes) -> None:
    by_bytes = read_content(body, content_type="image/png", file_name="a.png")
    by_file = read_content(io.BytesIO(body), content_type="image/gif")
    assert by_bytes.digest() == by_file.digest()
    assert by_bytes.digest() != read_content(body + b"x", content_type="image/png").digest()
