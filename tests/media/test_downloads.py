"""Downloads are complete or fail, and never carry the key, whatever the host does."""

import asyncio
import gc
import gzip
import random
import re
import resource
import threading
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from conftest import SWIFT_RETRY, OpenSession
from hypothesis import given
from hypothesis import strategies as st

import flora_async
from flora_async import (
    APIConnectionError,
    APIStatusError,
    DownloadError,
    FloraSession,
    OutputType,
    RetryPolicy,
    RunOutput,
    UntrustedURLError,
)
from flora_async._threads import begin, in_thread
from flora_async.media.names import extension_for, short_hash
from flora_async.media.transfer import _BLOCK_SIZE, body_of
from flora_async.models import Asset
from flora_async.testing import Cut, FakeFlora

KEY = "sk_test_never_to_be_seen"
BODY = random.Random(5).randbytes(300_000)
DATE = "Wed, 21 Oct 2020 07:28:00 GMT"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Host:
    """A media host that gives one answer after another, and repeats the last one."""

    def __init__(self) -> None:
        self.origin = ""
        self.requests: list[web.Request] = []
        self.answers: list[Handler] = []

    @property
    def url(self) -> str:
        return f"{self.origin}/media/picture.png?signature=1"

    @property
    def ranges(self) -> list[str | None]:
        return [request.headers.get("Range") for request in self.requests]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        try:
            return await answer(request)
        except ConnectionError:
            return web.Response()  # the client has disconnected


OpenHost = Callable[..., Awaitable[Host]]


@pytest.fixture
async def open_host() -> AsyncIterator[OpenHost]:
    async with AsyncExitStack() as stack:

        async def start(*answers: Handler) -> Host:
            host = Host()
            host.answers.extend(answers)
            app = web.Application()
            app.router.add_get("/{path:.*}", host.handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
            return host

        yield start


@pytest.fixture
async def session() -> AsyncIterator[FloraSession]:
    """A session with a FLORA on this machine, where nothing listens, so that media hosts may be on it too."""
    async with FloraSession(KEY, base_url="http://127.0.0.1:1/api/v1", retry=SWIFT_RETRY) as opened:
        yield opened


def honest(  # noqa: PLR0913 - what hosts differ in
    body: bytes = BODY,
    *,
    tag: str | None = '"v1"',
    date: str | None = None,
    cut: int | None = None,
    ranges: bool = True,
    chunked: bool = False,
    kind: str | None = "image/png",
) -> Handler:
    """A host that follows RFC 9110, except that it closes the connection after `cut` bytes."""

    async def handle(request: web.Request) -> web.StreamResponse:
        start, wanted = 0, request.headers.get("Range")
        if ranges and wanted and request.headers["If-Range"] in {tag, date}:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        headers = {"ETag": tag, "Last-Modified": date, "Content-Type": kind}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        known = {name: value for name, value in headers.items() if value is not None}
        pieces = [body[start:] if cut is None else body[start : start + cut]]
        return await send(
            request,
            206 if start else 200,
            known,
            pieces,
            length=None if chunked else len(body) - start,
            whole=cut is None,
        )

    return handle


def raw(status: int, headers: dict[str, str], *pieces: bytes, length: int | None = None, whole: bool = True) -> Handler:
    """Always the same answer."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await send(request, status, headers, pieces, length=length, whole=whole)

    return handle


async def send(  # noqa: PLR0913 - the parts of an answer
    request: web.Request, status: int, headers: dict[str, str], pieces: Any, *, length: int | None, whole: bool
) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    if length is None:
        response.enable_chunked_encoding()
    else:
        response.content_length = length
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    if not whole:
        assert request.transport is not None
        request.transport.close()
    return response


def redirect(location: str, status: int = 302) -> Handler:
    return raw(status, {"Location": location}, length=0)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# What is saved, and where


async def test_a_file_is_saved_completely_and_nothing_else_is_left(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    host = await open_host(honest())
    path = await session.download(host.url, tmp_path / "photo.png")
    assert path == tmp_path / "photo.png"
    assert path.read_bytes() == BODY
    assert names(tmp_path) == ["photo.png"]
    assert len(host.requests) == 1


@pytest.mark.parametrize("body", [b"", b"x", random.Random(7).randbytes(13_000_000)], ids=["none", "one", "13 MB"])
async def test_any_number_of_bytes_is_saved(
    session: FloraSession, open_host: OpenHost, tmp_path: Path, body: bytes
) -> None:
    host = await open_host(honest(body))
    assert (await session.download(host.url, tmp_path / "file")).read_bytes() == body


async def test_the_key_does_not_go_to_media_hosts(session: FloraSession, open_host: OpenHost, tmp_path: Path) -> None:
    second = await open_host(honest(cut=100_000), honest())
    first = await open_host(redirect(second.url))
    await session.download(first.url, tmp_path / "photo.png")
    assert len(first.requests) == len(second.requests) == 2
    for request in (*first.requests, *second.requests):
        assert "Authorization" not in request.headers
        assert KEY not in f"{request.headers} {request.raw_path}"
        assert request.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("destination", "saved"),
    [
        ("photo.jpg", "photo.jpg"),
        ("photo", "photo.png"),
        (".hidden", ".hidden.png"),
        (".", "picture-MARK.png"),
        ("new/", "new/picture-MARK.png"),
        ("deep/in/it/photo", "deep/in/it/photo.png"),
        ("v1.2", "v1.2"),
    ],
)
async def test_a_destination_is_a_file_or_a_directory(  # noqa: PLR0913, PLR0917 - two of them are the table
    session: FloraSession,
    open_host: OpenHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    destination: str,
    saved: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    host = await open_host(honest())
    path = await session.download(host.url, destination)
    assert path == Path(saved.replace("MARK", short_hash(host.url)))
    assert path.read_bytes() == BODY


@pytest.mark.parametrize(
    ("kind", "last_part", "ending"),
    [
        ("image/jpeg", "x", ".jpg"),
        ("image/webp", "x.png", ".webp"),
        ("image/heic", "x", ".heic"),
        ("IMAGE/AVIF; q=1", "x", ".avif"),
        ("video/quicktime", "x", ".mov"),
        ("audio/mpeg", "x", ".mp3"),
        ("application/pdf", "x", ".pdf"),
        ("text/plain; charset=utf-8", "x", ".txt"),
        ("image/svg+xml", "x.png", ".svg"),
        ("application/octet-stream", "x.MP4", ".mp4"),
        ("binary/octet-stream", "x.jpeg", ".jpeg"),
        ("application/octet-stream", "x.exe", ".bin"),
        ("nonsense", "x.webm", ".webm"),
        ("../../etc", "x", ".bin"),
        ("", "x.gif", ".gif"),
    ],
)
async def test_the_extension_comes_from_the_content_type(  # noqa: PLR0913, PLR0917 - three of them are the table
    session: FloraSession, open_host: OpenHost, tmp_path: Path, kind: str, last_part: str, ending: str
) -> None:
    host = await open_host(raw(200, {"Content-Type": kind}, b"x", length=1))
    path = await session.download(f"{host.origin}/{last_part}", tmp_path / "file")
    assert path == tmp_path / f"file{ending}"


@pytest.mark.parametrize(
    ("last_part", "stem"),
    [
        ("..%2f..%2fetc%2fpasswd", "_etc_passwd"),
        ("%00%01", "_"),
        ("CON.png", "CON_"),
        ("nul", "nul_"),
        ("", "download"),
        ("a" * 300 + ".png", "a" * 80),
        ("%F0%9F%9A%B2.png", "_"),
        ("v1.2", "v1_2"),
    ],
)
async def test_a_url_chooses_a_name_and_never_a_directory(
    session: FloraSession, open_host: OpenHost, tmp_path: Path, last_part: str, stem: str
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    hostile = {"Content-Disposition": 'attachment; filename="../../../evil.sh"', "Content-Type": "image/png"}
    host = await open_host(raw(200, hostile, b"x", length=1))
    url = f"{host.origin}/{last_part}"
    path = await session.download(url, inner)
    assert path == inner / f"{stem}-{short_hash(url)}.png"
    assert names(tmp_path) == ["inner"]


async def test_an_output_and_an_asset_name_their_files(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    host = await open_host(honest())
    output = RunOutput(output_id="../image 1", type=OutputType.IMAGE, url=host.url)
    first = await session.download(output, tmp_path)
    assert re.fullmatch(r"_image_1-[0-9a-f]{8}\.png", first.name)
    later = RunOutput(output_id=output.output_id, type=OutputType.IMAGE, url=f"{host.url}?of=another-run")
    assert (await session.download(later, tmp_path)).name != first.name
    asset = Asset(asset_id="asset_1", status="ready", url=host.url, name="My photo.JPEG")
    assert (await session.download(asset, tmp_path)).name == f"My_photo-{short_hash('asset_1')}.png"
    unnamed = Asset(asset_id="asset_1", status="ready", url=host.url)
    assert (await session.download(unnamed, tmp_path)).name == "asset_1.png"


async def test_an_asset_that_is_not_ready_is_refused(session: FloraSession, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'asset_1' is not ready.*pending_upload"):
        await session.download(Asset(asset_id="asset_1", status="pending_upload"), tmp_path)


async def test_a_text_output_is_written_unchanged(session: FloraSession, tmp_path: Path) -> None:
    text = "A red bicycle.\r\nEin rotes Fahrrad: \u00e4\ud83d"
    seen: list[tuple[int, int | None]] = []
    output = RunOutput(output_id="caption", type=OutputType.TEXT, url=text)
    path = await session.download(output, tmp_path, progress=lambda *numbers: seen.append(numbers))
    assert re.fullmatch(r"caption-[0-9a-f]{8}\.txt", path.name)
    content = path.read_bytes()
    assert content == text.encode(errors="backslashreplace")
    assert seen == [(len(content), len(content))]
    assert (await session.download(output, tmp_path / "own.md")).name == "own.md"
    with pytest.raises(DownloadError, match="max_bytes"):
        await session.download(output, tmp_path / "short", max_bytes=5)
    assert names(tmp_path) == [path.name, "own.md"]


async def test_a_file_can_be_saved_without_a_session(open_host: OpenHost, tmp_path: Path) -> None:
    host = await open_host(honest())
    path = await flora_async.download(host.url, tmp_path / "photo", allow_local=True)
    assert path.read_bytes() == BODY
    with pytest.raises(UntrustedURLError):
        await flora_async.download(host.url, tmp_path / "again")


# Files that are there already


async def test_a_file_that_exists_is_kept_without_a_request(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    host = await open_host(honest())
    (tmp_path / "photo.png").write_text("mine")
    path = await session.download(host.url, tmp_path / "photo.png")
    assert path.read_text() == "mine"
    assert not host.requests


async def test_a_file_that_is_found_once_its_extension_is_known_is_kept(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    host = await open_host(honest())
    (tmp_path / "photo.png").write_text("mine")
    seen: list[int] = []
    path = await session.download(host.url, tmp_path / "photo", progress=lambda received, _: seen.append(received))
    assert (path.name, path.read_text()) == ("photo.png", "mine")
    assert not seen
    assert names(tmp_path) == ["photo.png"]


async def test_a_file_that_appears_during_the_download_is_kept(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    host = await open_host(honest())
    path = await session.download(
        host.url, tmp_path / "photo.png", progress=lambda *_: (tmp_path / "photo.png").write_text("mine")
    )
    assert path.read_text() == "mine"
    assert names(tmp_path) == ["photo.png"]


@pytest.mark.parametrize("options", [{"overwrite": True}, {"exists": "replace"}], ids=["overwrite", "exists"])
async def test_a_file_is_replaced_only_on_request_and_only_by_a_complete_one(
    session: FloraSession, open_host: OpenHost, tmp_path: Path, options: dict[str, Any]
) -> None:
    host = await open_host(raw(404, {}, length=0), honest())
    (tmp_path / "photo.png").write_text("old")
    with pytest.raises(DownloadError):
        await session.download(host.url, tmp_path / "photo.png", **options)
    assert (tmp_path / "photo.png").read_text() == "old"
    path = await session.download(host.url, tmp_path / "photo.png", **options)
    assert path.read_bytes() == BODY
    assert names(tmp_path) == ["photo.png"]


@pytest.mark.parametrize(("destination", "requests"), [("photo.png", 0), ("photo", 1)], ids=["known", "found out"])
async def test_a_file_that_exists_is_an_error_on_request(
    session: FloraSession, open_host: OpenHost, tmp_path: Path, destination: str, requests: int
) -> None:
    host = await open_host(honest())
    (tmp_path / "photo.png").write_text("mine")
    with pytest.raises(FileExistsError, match=r"photo\.png' exists: pass exists='keep' or exists='replace'"):
        await session.download(host.url, tmp_path / destination, exists="error")
    assert (names(tmp_path), (tmp_path / "photo.png").read_text()) == (["photo.png"], "mine")
    assert len(host.requests) == requests


async def test_a_file_that_appears_during_the_download_is_an_error_on_request(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    host = await open_host(honest())
    with pytest.raises(FileExistsError):
        await session.download(
            host.url,
            tmp_path / "photo.png",
            exists="error",
            progress=lambda *_: (tmp_path / "photo.png").write_text("mine"),
        )
    assert (names(tmp_path), (tmp_path / "photo.png").read_text()) == (["photo.png"], "mine")


async def test_files_of_one_name_from_different_sources_are_told_apart_in_a_directory(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    async def path_of(request: web.Request) -> web.StreamResponse:
        return web.Response(body=request.raw_path.encode(), content_type="image/png")

    host = await open_host(path_of)
    urls = [f"{host.origin}/{path}" for path in ("1/out-0.png", "2/out-0.png", "2/out-0.png?tr=orig")]
    outputs = [RunOutput(output_id="out-0", type=OutputType.IMAGE, url=url) for url in urls]
    assets = [Asset(asset_id=f"asset_{url}", name="out-0.png", status="ready", url=url) for url in urls]
    kinds: dict[str, list[Any]] = {"urls": urls, "outputs": outputs, "assets": assets}
    for kind, sources in kinds.items():
        paths = [await session.download(source, f"{tmp_path / kind}/") for source in sources]
        assert [path.read_text() for path in paths] == [url.removeprefix(host.origin) for url in urls]
        assert [await session.download(source, f"{tmp_path / kind}/") for source in sources] == paths
        assert len(names(tmp_path / kind)) == 3


async def test_a_file_saved_from_another_source_is_not_kept_in_place_of_this_ones(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    first, second = await open_host(honest()), await open_host(honest(b"other"))
    path = await session.download(f"{first.url}&signature=1", tmp_path / "photo.png")
    assert await session.download(f"{first.url}&signature=2", tmp_path / "photo.png") == path
    for destination in ("photo.png", "photo"):
        with pytest.raises(FileExistsError, match=r"another source: choose another name, or pass exists='replace'"):
            await session.download(second.url, tmp_path / destination)
    text = RunOutput(output_id="caption", type=OutputType.TEXT, url="words")
    with pytest.raises(FileExistsError, match="another source"):
        await flora_async.download(text, tmp_path / "photo.png")
    assert path.read_bytes() == BODY
    path.write_text("mine")  # it is the caller's file now
    assert (await session.download(second.url, tmp_path / "photo.png")).read_text() == "mine"


async def test_of_two_sources_saved_under_one_name_at_once_one_is_an_error(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    hosts = [await open_host(honest(body)) for body in (BODY, b"other")]
    saved = await asyncio.gather(
        *(session.download(host.url, tmp_path / "photo") for host in hosts), return_exceptions=True
    )
    (error,) = (result for result in saved if isinstance(result, BaseException))
    (path,) = (result for result in saved if isinstance(result, Path))
    assert isinstance(error, FileExistsError)
    assert path.read_bytes() == (BODY, b"other")[saved.index(path)]
    assert names(tmp_path) == ["photo.png"]


# Connections that break


async def test_a_download_resumes_where_it_was_cut(session: FloraSession, open_host: OpenHost, tmp_path: Path) -> None:
    host = await open_host(honest(cut=100_000), honest())
    path = await session.download(host.url, tmp_path / "photo.png")
    assert path.read_bytes() == BODY
    assert host.ranges == [None, "bytes=100000-"]
    assert host.requests[1].headers["If-Range"] == '"v1"'
    assert names(tmp_path) == ["photo.png"]


async def test_a_host_that_keeps_cutting_is_asked_for_as_long_as_it_sends_new_bytes(
    open_host: OpenHost, tmp_path: Path
) -> None:
    host = await open_host(honest(cut=20_000))
    policy = RetryPolicy(attempts=2, initial=0.0)
    async with FloraSession(KEY, base_url="http://127.0.0.1:1", retry=policy) as session:
        path = await session.download(host.url, tmp_path / "photo.png")
    assert path.read_bytes() == BODY
    assert len(host.requests) >= 15


@pytest.mark.parametrize("cut", [0, 1000], ids=["at once", "at the same place"])
async def test_a_host_that_sends_nothing_new_is_given_up(
    session: FloraSession, open_host: OpenHost, tmp_path: Path, cut: int
) -> None:
    host = await open_host(honest(cut=cut, tag=None))
    with pytest.raises(DownloadError, match=r"picture\.png") as caught:
        await session.download(host.url, tmp_path / "photo.png")
    assert isinstance(caught.value.__cause__, APIConnectionError)
    assert caught.value.url == host.url
    assert len(host.requests) == (4 if cut == 0 else 8)
    assert not names(tmp_path)


@pytest.mark.parametrize(
    ("tag", "date", "asked_with"),
    [('"v1"', DATE, '"v1"'), ('W/"v1"', DATE, DATE), (None, DATE, DATE), ('W/"v1"', None, None), ("v1", None, None)],
)
async def test_only_what_is_surely_the_same_version_is_resumed(  # noqa: PLR0913, PLR0917 - three of them are the table
    session: FloraSession,
    open_host: OpenHost,
    tmp_path: Path,
    tag: str | None,
    date: str | None,
    asked_with: str | None,
) -> None:
    host = await open_host(honest(tag=tag, date=date, cut=100_000), honest(tag=tag, date=date))
    path = await session.download(host.url, tmp_path / "photo.png")
    assert path.read_bytes() == BODY
    assert host.requests[1].headers.get("If-Range") == asked_with
    assert host.ranges[1] == (asked_with and "bytes=100000-")


MODIFIED = "Wed, 21 Oct 2020 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"Last-Modified": MODIFIED, "Date": "Wed, 21 Oct 2020 07:29:00 GMT"}, MODIFIED),
        ({"Last-Modified": MODIFIED, "Date": "Wed, 21 Oct 2020 07:28:59 GMT"}, None),
        ({"Last-Modified": MODIFIED, "Date": MODIFIED}, None),
        ({"Last-Modified": MODIFIED, "Date": "Tue, 20 Oct 2020 07:28:00 GMT"}, None),
        ({"Last-Modified": MODIFIED}, None),
        ({"Last-Modified": MODIFIED, "Date": "today"}, None),
        ({"Last-Modified": "yesterday", "Date": MODIFIED}, None),
        ({"Last-Modified": MODIFIED, "Date": "Wed, 21 Oct 2020 07:29:00"}, None),
        ({"Last-Modified": MODIFIED, "Date": "Wed, 21 Oct 99999 07:29:00 GMT"}, None),
        ({"Last-Modified": f"{MODIFIED}\r\nX: 1", "Date": "Wed, 21 Oct 2020 07:29:00 GMT"}, None),
        ({"ETag": '"v1"', "Last-Modified": MODIFIED, "Date": MODIFIED}, '"v1"'),
        ({"ETag": 'W/"v1"', "Last-Modified": MODIFIED, "Date": MODIFIED}, None),
        ({"ETag": '"v\r\n1"'}, None),
        ({}, None),
    ],
    ids=lambda value: None if isinstance(value, dict) else "strong" if value else "weak",
)
def test_a_date_is_a_strong_validator_a_minute_later(headers: dict[str, str], validator: str | None) -> None:
    body = body_of(200, headers)
    assert body is not None
    assert body.validator == validator


HEADER_NAMES = st.sampled_from(["ETag", "Last-Modified", "Date", "Content-Range", "Content-Length", "Content-Encoding"])
RANGES = st.from_regex(r"bytes \d{1,20}-\d{1,20}/(\d{1,20}|\*)", fullmatch=True)
HEADERS = st.dictionaries(HEADER_NAMES, st.text(max_size=40) | RANGES | st.sampled_from(["0", "5", MODIFIED, '"v1"']))


@given(status=st.sampled_from([200, 204, 206, 304, 416]), headers=HEADERS)
def test_no_headers_make_more_of_a_response_than_it_is(status: int, headers: dict[str, str]) -> None:
    body = body_of(status, headers)
    if body is not None:
        assert status in {200, 206}
        assert 0 <= body.start <= (body.end if body.end is not None else body.start)
        assert body.total is None or (body.end or 0) <= body.total
        assert body.validator in {None, headers.get("ETag"), headers.get("Last-Modified")}
        assert "\n" not in (body.validator or "")


@given(kind=st.text(max_size=40), name=st.text(max_size=40))
def test_no_content_type_and_no_url_make_an_extension_that_is_a_path(kind: str, name: str) -> None:
    extension = extension_for(kind, f"https://example.com/{quote(name)}")
    assert re.fullmatch(r"\.[A-Za-z0-9_+~-]{1,20}", extension)


NEWER = bytes(reversed(BODY))[:-1000]


@pytest.mark.parametrize(
    "answer",
    [
        honest(NEWER, ranges=False),
        honest(NEWER, tag='"v2"'),
        honest(NEWER, tag=None),
        honest(NEWER, chunked=True, ranges=False),
    ],
    ids=["no ranges", "another tag", "no tag", "no length"],
)
async def test_a_file_that_has_changed_is_fetched_from_the_start(
    session: FloraSession, open_host: OpenHost, tmp_path: Path, answer: Handler
) -> None:
    host = await open_host(honest(cut=100_000), answer)
    path = await session.download(host.url, tmp_path / "photo.png")
    assert path.read_bytes() == NEWER
    assert len(host.requests) == 2


@pytest.mark.parametrize("size", [0, 50_000])
async def test_nothing_of_a_longer_version_is_left_after_a_shorter_one(
    session: FloraSession, open_host: OpenHost, tmp_path: Path, size: int
) -> None:
    host = await open_host(honest(cut=200_000), honest(NEWER[:size], tag='"v2"'))
    path = await session.download(host.url, tmp_path / "photo.png")
    assert path.read_bytes() == NEWER[:size]


def part(content_range: str | None, piece: bytes, **headers: str) -> Handler:
    ranged = {} if content_range is None else {"Content-Range": content_range}
    return raw(206, {"ETag": '"v1"', **ranged, **headers}, piece, length=len(piece))


@pytest.mark.parametrize(
    "lie",
    [
        part("bytes 0-99999/300000", BODY[:100_000], ETag='"v2"'),
        part("bytes 50000-299999/300000", BODY[50_000:]),
        part("bytes 100001-299999/300000", BODY[100_001:]),
        part("bytes 100000-299999/300001", BODY[100_000:]),
        part("bytes 100000-299999/*", BODY[100_000:]),
        part("bytes 100000-99999/300000", b"x"),
        part("bytes 100000-300000/300000", BODY[100_000:] + b"x"),
        part("bytes 100000-299999/300000", BODY[100_000:], ETag='"v2"'),
        part("bytes 100000-299999/300000", gzip.compress(BODY[100_000:]), **{"Content-Encoding": "gzip"}),
        part("bytes 100000-299999/300000", BODY[100_000:], **{"Last-Modified": MODIFIED}),
        part("bytes=100000-", BODY[100_000:]),
        part("bytes " + "9" * 5000 + "-1/1", b"x"),
        part(None, BODY[100_000:], **{"Content-Type": "multipart/byteranges; boundary=x"}),
        raw(416, {"Content-Range": "bytes */300000"}, length=0),
        raw(204, {}, length=0),
    ],
    ids=[
        *("another tag at 0", "too early", "too late", "another size", "no size", "backwards", "beyond the end"),
        *("another tag", "compressed", "another date", "malformed range", "huge numbers", "several ranges"),
        *("not satisfiable", "no content"),
    ],
)
async def test_a_part_that_does_not_fit_is_not_appended(
    session: FloraSession, open_host: OpenHost, tmp_path: Path, lie: Handler
) -> None:
    host = await open_host(honest(cut=100_000), lie, honest(NEWER, tag='"v2"'))
    path = await session.download(host.url, tmp_path / "photo.png")
    assert path.read_bytes() == NEWER
    assert host.ranges[:2] == [None, "bytes=100000-"]
    assert names(tmp_path) == ["photo.png"]


@pytest.mark.parametrize(
    "answer",
    [
        raw(416, {"Content-Range": "bytes */300000"}, length=0),
        part("bytes 5-9/300000", BODY[5:10]),
        part(None, BODY),
        raw(204, {}, length=0),
    ],
    ids=["416", "another part", "no place", "204"],
)
async def test_a_response_without_a_file_is_an_error_after_one_more_try(
    session: FloraSession, open_host: OpenHost, tmp_path: Path, answer: Handler
) -> None:
    host = await open_host(answer)
    with pytest.raises(DownloadError, match="neither the file nor the part"):
        await session.download(host.url, tmp_path / "photo.png")
    assert host.ranges == [None, None]
    assert not names(tmp_path)


async def test_an_unrequested_first_part_is_continued(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    host = await open_host(part("bytes 0-99999/300000", BODY[:100_000]), honest())
    path = await session.download(host.url, tmp_path / "photo.png")
    assert path.read_bytes() == BODY
    assert host.ranges == [None, "bytes=100000-"]


async def test_a_part_may_be_shorter_than_requested(session: FloraSession, open_host: OpenHost, tmp_path: Path) -> None:
    host = await open_host(honest(cut=100_000), part("bytes 100000-199999/300000", BODY[100_000:200_000]), honest(BODY))
    assert (await session.download(host.url, tmp_path / "photo.png")).read_bytes() == BODY
    assert host.ranges == [None, "bytes=100000-", "bytes=200000-"]


async def test_more_than_was_announced_is_an_error(session: FloraSession, open_host: OpenHost, tmp_path: Path) -> None:
    too_much = raw(206, {"ETag": '"v1"', "Content-Range": "bytes 100000-299999/300000"}, BODY[100_000:], b"more")
    host = await open_host(honest(cut=100_000), too_much)
    with pytest.raises(DownloadError, match="more than the announced 300000 bytes"):
        await session.download(host.url, tmp_path / "photo.png")
    assert not names(tmp_path)


async def test_a_file_without_a_length_is_saved_and_resumed(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    host = await open_host(honest(chunked=True, cut=100_000), honest(chunked=True))
    path = await session.download(host.url, tmp_path / "photo.png")
    assert path.read_bytes() == BODY
    assert host.ranges == [None, "bytes=100000-"]


async def test_a_compressed_file_is_decompressed_and_never_resumed(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    packed = gzip.compress(BODY)
    headers = {"Content-Encoding": "gzip", "Content-Type": "image/png", "ETag": '"v1"'}
    host = await open_host(
        raw(200, headers, packed[:200_000], length=len(packed), whole=False),
        raw(200, headers, packed, length=len(packed)),
    )
    seen: list[int | None] = []
    path = await session.download(host.url, tmp_path / "photo.png", progress=lambda _, total: seen.append(total))
    assert path.read_bytes() == BODY
    assert host.ranges == [None, None]
    assert set(seen) == {None}


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_busy_host_is_retried(session: FloraSession, open_host: OpenHost, tmp_path: Path, status: int) -> None:
    host = await open_host(raw(status, {"Retry-After": "0.01"}, length=0), honest(cut=50_000), raw(502, {}), honest())
    path = await session.download(host.url, tmp_path / "photo.png")
    assert path.read_bytes() == BODY
    assert host.ranges == [None, None, "bytes=50000-", "bytes=50000-"]


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
async def test_a_refusal_is_an_error_at_once(
    session: FloraSession, open_host: OpenHost, tmp_path: Path, status: int
) -> None:
    host = await open_host(raw(status, {}, b"<html>", length=6))
    with pytest.raises(DownloadError, match=str(status)) as caught:
        await session.download(host.url, tmp_path / "deep" / "photo.png")
    assert isinstance(caught.value.__cause__, APIStatusError)
    assert caught.value.__cause__.status == status
    assert len(host.requests) == 1
    assert not names(tmp_path)


async def test_a_refusal_in_the_middle_leaves_nothing(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    host = await open_host(honest(cut=100_000), raw(403, {}, length=0))
    with pytest.raises(DownloadError, match="403"):
        await session.download(host.url, tmp_path / "photo.png")
    assert len(host.requests) == 2
    assert not names(tmp_path)


async def test_an_unreachable_host_is_an_error(session: FloraSession, tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        await session.download("http://127.0.0.1:9/photo.png", tmp_path / "photo.png")
    assert isinstance(caught.value.__cause__, APIConnectionError)
    assert not names(tmp_path)


async def test_a_silent_host_is_retried(open_host: OpenHost, tmp_path: Path) -> None:
    over = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": '"v1"', "Content-Type": "image/png"})
        response.content_length = len(BODY)
        await response.prepare(request)
        await response.write(BODY[:100_000])
        await over.wait()
        return response

    host = await open_host(silent, honest())
    async with FloraSession(KEY, base_url="http://127.0.0.1:1", retry=SWIFT_RETRY, timeout=0.1) as session:
        path = await session.download(host.url, tmp_path / "photo.png")
    over.set()
    assert path.read_bytes() == BODY
    assert host.ranges == [None, "bytes=100000-"]


@pytest.mark.parametrize("seed", range(12))
async def test_a_file_is_complete_or_missing_whatever_its_host_sends(
    open_host: OpenHost, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)

    def any_answer() -> Handler:
        start = dice.choice([0, 100, 20_000])
        return dice.choice(
            [
                honest(cut=dice.randrange(150_000)),
                honest(cut=dice.randrange(150_000), ranges=False),
                honest(cut=dice.randrange(150_000), chunked=True),
                honest(NEWER, cut=dice.randrange(150_000), tag='"v2"'),
                part(f"bytes {start}-{start + 99}/300000", BODY[start : start + 100]),
                raw(416, {}, length=0),
                raw(503, {}, length=0),
            ]
        )

    host = await open_host(*(any_answer() for _ in range(12)), honest())
    policy = RetryPolicy(attempts=None, initial=0.0)
    async with FloraSession(KEY, base_url="http://127.0.0.1:1", retry=policy) as patient:
        try:
            path = await patient.download(host.url, tmp_path / "photo.png")
        except DownloadError as error:  # twice in a row, the host had nothing that could be used
            assert "neither the file nor the part" in str(error)  # noqa: PT017 - either end is a right one
            assert not names(tmp_path)
        else:
            assert path.read_bytes() == BODY
            assert names(tmp_path) == ["photo.png"]


# Limits, progress, arguments


async def test_a_file_that_is_announced_as_too_large_is_not_fetched(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    size = 12_000_000
    host = await open_host(honest(bytes(size)))
    with pytest.raises(DownloadError, match="max_bytes"):
        await session.download(host.url, tmp_path / "deep" / "photo.png", max_bytes=size - 1)
    assert not names(tmp_path)
    assert len(host.requests) == 1
    path = await session.download(host.url, tmp_path / "photo.png", max_bytes=size)
    assert path.stat().st_size == size


async def test_an_endless_body_is_ended_by_the_limit(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        while True:
            await response.write(BODY)
            sent += len(BODY)

    host = await open_host(endless)
    with pytest.raises(DownloadError, match="more than the 10000000 bytes"):
        await session.download(host.url, tmp_path / "photo.png", max_bytes=10_000_000)
    assert sent < 50_000_000
    assert len(host.requests) == 1
    assert not names(tmp_path)


async def test_progress_sees_every_byte(session: FloraSession, open_host: OpenHost, tmp_path: Path) -> None:
    host = await open_host(honest(cut=100_000), honest())
    seen: list[tuple[int, int | None]] = []
    await session.download(host.url, tmp_path / "photo.png", progress=lambda *numbers: seen.append(numbers))
    assert seen[-1] == (300_000, 300_000)
    assert seen == sorted(set(seen))
    assert {total for _, total in seen} == {300_000}


async def test_an_exception_of_progress_ends_the_download(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    def stop(received: int, _: int | None) -> None:
        if received > 6_000_000:  # one piece is being written then
            raise KeyError("enough")

    host = await open_host(honest(bytes(20_000_000)))
    with pytest.raises(KeyError, match="enough"):
        await session.download(host.url, tmp_path / "photo.png", progress=stop)
    assert len(host.requests) == 1
    assert not names(tmp_path)


async def later(_: int, __: int | None) -> None: ...


@pytest.mark.parametrize(
    ("source", "destination", "options", "error", "words"),
    [
        (5, "x", {}, TypeError, "RunOutput, an Asset or a URL"),
        (None, "x", {}, TypeError, "RunOutput, an Asset or a URL"),
        ("URL", 5, {}, TypeError, "destination must be a path"),
        ("URL", b"x", {}, TypeError, "destination must be a path"),
        ("URL", None, {}, TypeError, "destination must be a path"),
        ("URL", "", {}, ValueError, "is not a path"),
        ("URL", "a\0b", {}, ValueError, "is not a path"),
        ("URL", "x", {"max_bytes": 0}, ValueError, "max_bytes"),
        ("URL", "x", {"max_bytes": -1}, ValueError, "max_bytes"),
        ("URL", "x", {"max_bytes": True}, TypeError, "max_bytes"),
        ("URL", "x", {"max_bytes": 1.5}, TypeError, "max_bytes"),
        ("URL", "x", {"exists": "maybe"}, ValueError, "exists must be 'keep', 'error' or 'replace', not 'maybe'"),
        ("URL", "x", {"exists": True}, ValueError, "exists must be"),
        ("URL", "x", {"overwrite": 1}, TypeError, "overwrite must be True or False"),
        ("URL", "x", {"exists": "error", "overwrite": True}, ValueError, "contradicts exists='error'"),
        ("URL", "x", {"progress": 5}, TypeError, "progress"),
        ("URL", "x", {"progress": later}, TypeError, "plain function"),
    ],
)
async def test_a_wrong_argument_is_refused_before_anything_is_sent(  # noqa: PLR0913, PLR0917 - the table
    session: FloraSession,
    open_host: OpenHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: Any,
    destination: Any,
    options: Any,
    error: type[Exception],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    host = await open_host(honest())
    with pytest.raises(error, match=words):
        await session.download(host.url if source == "URL" else source, destination, **options)
    assert not host.requests
    assert not names(tmp_path)


# Where a download may lead


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/x",
        "https://10.0.0.1/x",
        "https://host.internal/x",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "https://user:password@example.com/x",
        "//example.com/x",
        "data:text/plain,x",
        "http://[::1",
        "",
    ],
)
async def test_only_https_urls_of_public_hosts_are_fetched(
    session: FloraSession, open_host: OpenHost, tmp_path: Path, url: str
) -> None:
    with pytest.raises(UntrustedURLError):
        await session.download(url, tmp_path / "photo.png")
    if "//" in url[:8] and not url.startswith("//"):
        host = await open_host(redirect(url))
        with pytest.raises(UntrustedURLError):
            await session.download(host.url, tmp_path / "photo.png")
        assert len(host.requests) == 1
    assert not names(tmp_path)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_resumed_download_follows_redirects_again(
    session: FloraSession, open_host: OpenHost, tmp_path: Path, status: int
) -> None:
    second = await open_host(honest(cut=100_000), honest())
    first = await open_host(redirect(second.url, status))
    path = await session.download(first.url, tmp_path / "photo.png")
    assert path.read_bytes() == BODY
    assert second.ranges == [None, "bytes=100000-"]


async def test_redirects_are_limited(session: FloraSession, open_host: OpenHost, tmp_path: Path) -> None:
    host = await open_host(redirect("/again"))
    with pytest.raises(UntrustedURLError, match="redirects"):
        await session.download(host.url, tmp_path / "photo.png")
    assert len(host.requests) == 6


# The disk


@contextmanager
def a_small_disk() -> Iterator[None]:
    """No file gets longer than 1 MB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_destination_that_cannot_be_written_is_an_oserror(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    host = await open_host(honest())
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file") as caught:
        await session.download(host.url, tmp_path / "file" / "photo.png")
    assert isinstance(caught.value, NotADirectoryError | FileExistsError)
    assert len(host.requests) == 1
    (tmp_path / "photo.png").mkdir()
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        await session.download(host.url, tmp_path / "photo")
    assert names(tmp_path) == ["file", "photo.png"]


async def test_a_disk_that_is_full_ends_the_download_and_keeps_nothing(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    host = await open_host(honest(bytes(12_000_000)))
    with a_small_disk(), pytest.raises(OSError, match="too large"):
        await session.download(host.url, tmp_path / "photo.png")
    assert len(host.requests) == 1
    assert not names(tmp_path)


async def test_the_first_error_of_a_download_is_raised_and_not_a_later_one_of_the_disk(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    first_came, over = asyncio.Event(), asyncio.Event()

    async def in_two(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 2 * _BLOCK_SIZE
        await response.prepare(request)
        await response.write(bytes(_BLOCK_SIZE))
        await first_came.wait()
        await response.write(b"more")
        await over.wait()
        return response

    def stop(received: int, _: int | None) -> None:
        if received == _BLOCK_SIZE:
            first_came.set()
        if received > _BLOCK_SIZE:  # what the disk does not take is on its way there
            raise KeyError("enough")

    host = await open_host(in_two)
    with a_small_disk(), pytest.raises(KeyError, match="enough"):
        await session.download(host.url, tmp_path / "photo.png", progress=stop)
    over.set()
    assert not names(tmp_path)


async def test_what_arrives_while_the_disk_is_busy_is_kept_apart_from_what_waits_for_it(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    freed = threading.Event()
    busy: list[asyncio.Future[bool]] = []

    def occupy(received: int, _: int | None) -> None:
        if received >= _BLOCK_SIZE and not busy:  # every thread is taken just before the first block goes to one
            busy.extend(begin(freed.wait) for _ in range(40))
        if received >= 1.5 * _BLOCK_SIZE:
            freed.set()

    body = random.Random(7).randbytes(3 * _BLOCK_SIZE)
    host = await open_host(honest(body))
    path = await session.download(host.url, tmp_path / "film.mp4", progress=occupy)
    assert path.read_bytes() == body
    assert all(await asyncio.gather(*busy))


async def test_the_memory_stays_flat(session: FloraSession, open_host: OpenHost, tmp_path: Path) -> None:
    piece, count = bytes(1024 * 1024), 64
    host = await open_host(raw(200, {}, *[piece] * count, length=count * len(piece)))
    tracemalloc.start()
    try:
        path = await session.download(host.url, tmp_path / "film.mp4")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert path.stat().st_size == count * len(piece)
    assert peak < 16 * 1024 * 1024


# Many at once, and ends from outside


async def test_downloads_to_one_destination_do_not_mix(
    session: FloraSession, open_host: OpenHost, tmp_path: Path
) -> None:
    bodies = [bytes([number]) * 5_000_000 for number in range(4)]
    hosts = [await open_host(honest(body)) for body in bodies]
    paths = await asyncio.gather(*(session.download(host.url, tmp_path / "film.mp4", overwrite=True) for host in hosts))
    assert set(paths) == {tmp_path / "film.mp4"}
    assert (tmp_path / "film.mp4").read_bytes() in bodies
    assert names(tmp_path) == ["film.mp4"]


async def test_many_downloads_run_side_by_side(session: FloraSession, open_host: OpenHost, tmp_path: Path) -> None:
    host = await open_host(honest())
    await asyncio.gather(*(session.download(host.url, tmp_path / f"{number}") for number in range(40)))
    assert names(tmp_path) == sorted(f"{number}.png" for number in range(40))
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {BODY}


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("after", [1, 5_000_000], ids=["while it begins", "while it is written"])
async def test_a_cancelled_download_leaves_nothing(
    session: FloraSession, open_host: OpenHost, tmp_path: Path, after: int, times: int
) -> None:
    reached, over = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 2 * after
        await response.prepare(request)
        await response.write(bytes(after))
        await over.wait()
        return response

    host = await open_host(slow)
    download = asyncio.create_task(
        session.download(
            host.url, tmp_path / "photo", progress=lambda received, _: reached.set() if received >= after else None
        )
    )
    await reached.wait()
    for _ in range(times):
        download.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await download
    over.set()
    assert not names(tmp_path)
    assert len(host.requests) == 1


def test_file_work_is_awaited_however_often_it_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    began, may_end = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        may_end.wait()
        raise OSError("the result is not awaited")

    async def cancel_it() -> None:
        waiting = asyncio.create_task(in_thread(work))
        try:
            while not began.is_set():
                await asyncio.sleep(0.001)
            for _ in range(3):
                waiting.cancel()
                await asyncio.sleep(0)
            assert not waiting.done()
        finally:
            may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    # With a factory of its own, a runner leaves alone the loop that pytest-asyncio before 1.4 has set and never closes.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(cancel_it())
    gc.collect()  # when asyncio reports errors that were never retrieved
    assert not caplog.records


# Against the whole of a local FLORA


async def test_a_film_of_a_local_flora_survives_cuts(fake: FakeFlora, session_on: OpenSession, tmp_path: Path) -> None:
    film = random.Random(7).randbytes(3_000_000)
    url = fake.add_media("film.mp4", film, "video/mp4")
    fake.inject(Cut(after=1_000_000), on="media", times=2)
    path = await session_on(fake).download(url, tmp_path)
    assert (path.name, path.read_bytes()) == (f"film-{short_hash(url)}.mp4", film)
    asked = [request for request in fake.requests if request.operation == "media"]
    assert len(asked) == 3
    assert not any("Authorization" in request.headers for request in asked)
