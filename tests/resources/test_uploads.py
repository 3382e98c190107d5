"""Uploads arrive complete and once, and never send the key to the storage host, whatever the network does."""

import asyncio
import gc
import io
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from conftest import OpenSession

from flora_async import (
    DecodeError,
    FloraSession,
    PermissionDeniedError,
    RetryPolicy,
    Run,
    UntrustedURLError,
    UploadError,
)
from flora_async.media.content import CONTENT_TYPES
from flora_async.models import Asset
from flora_async.testing import Drop, FakeFlora, Garbage, Redirect, Replace, Slow, Status, Truncate
from flora_async.testing._state.sample_files import png

PNG = png("a photo")
MP4 = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41"
SMALL = PNG + bytes(1000)
LARGE = MP4 + bytes(range(256)) * 20_000  # 5 MB
HOME = "ws_local"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(LARGE)
    return path


def uploads(fake: FakeFlora) -> int:
    return sum(request.operation == "upload" for request in fake.requests)


async def test_a_url_is_fetched_by_flora(fake: FakeFlora, flora: FloraSession) -> None:
    asset = await flora.assets.upload("https://example.com/photo.png", workspace_id=HOME)
    assert asset.is_ready
    (kept,) = fake.assets
    assert (kept.source, kept.asset_id) == ("url", asset.asset_id)
    assert [request.json["source"] for request in fake.requests] == ["https://example.com/photo.png"]


@pytest.mark.parametrize("as_what", ["path", "text", "bytes", "open file"])
async def test_a_small_file_goes_in_one_request(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path, as_what: str
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(SMALL)
    with path.open("rb") as file:
        source: Any = {"path": path, "text": str(path), "bytes": SMALL, "open file": file}[as_what]
        asset = await flora.assets.upload(source, workspace_id=HOME)
        assert not file.closed
    (kept,) = fake.assets
    assert (kept.content, kept.content_type, kept.workspace_id) == (SMALL, "image/png", HOME)
    assert kept.name == ("upload.png" if as_what == "bytes" else "photo.png")
    assert asset.url
    assert len(fake.requests) == 1


@pytest.mark.parametrize("size", [4 * 1024**2, 4 * 1024**2 + 1], ids=["at the limit", "above it"])
async def test_what_is_larger_than_four_megabytes_is_stored_at_the_storage_host(
    fake: FakeFlora, flora: FloraSession, size: int
) -> None:
    body = (SMALL * 5000)[:size]
    asset = await flora.assets.upload(body, workspace_id=HOME, file_name="big.png", folder="in", project_id="prj_local")
    (kept,) = fake.assets
    assert (kept.content, kept.name, kept.project_id) == (body, "big.png", "prj_local")
    assert asset.is_ready
    assert uploads(fake) == (size > 4 * 1024**2)


async def test_create_takes_a_small_file_too_under_the_callers_own_key(session_on: OpenSession) -> None:
    options: Any = {"workspace_id": HOME, "folder": "in", "idempotency_key": "photo-1"}
    async with FakeFlora(idempotency="replay") as fake:
        flora = session_on(fake)
        asset = await flora.assets.create(file=SMALL, **options)
        assert await flora.assets.create(file=SMALL, **options) == asset
        (kept,) = fake.assets
        assert (kept.asset_id, kept.content) == (asset.asset_id, SMALL)
        assert {request.headers["Idempotency-Key"] for request in fake.requests} == {"photo-1"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "one of two: source .* or file"),
        ({"source": "https://example.com/a.png", "file": SMALL}, "one of two"),
        ({"file": SMALL + bytes(5 * 1024**2)}, "more than 4 MB: use assets.upload"),
        ({"file": b""}, "is empty"),
        ({"file": SMALL, "idempotency_key": "a b"}, "idempotency_key"),
    ],
    ids=["nothing", "both", "large", "empty", "bad key"],
)
async def test_create_refuses_what_is_not_one_source_or_one_small_file(
    fake: FakeFlora, flora: FloraSession, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        await flora.assets.create(workspace_id=HOME, **given)
    assert fake.requests == []


async def test_the_key_does_not_go_to_the_storage_host(fake: FakeFlora, flora: FloraSession, large: Path) -> None:
    await flora.assets.upload(large, workspace_id=HOME)
    for request in fake.requests:
        everything = f"{request.headers} {request.target} {request.body!r}"
        assert (fake.api_key in everything) == (request.operation != "upload")
    assert [request.operation == "upload" for request in fake.requests] == [False, True, False]


async def test_progress_is_reported_in_bytes(flora: FloraSession, large: Path) -> None:
    reported: list[tuple[int, int]] = []
    await flora.assets.upload(large, workspace_id=HOME, progress=lambda sent, size: reported.append((sent, size)))
    assert reported == sorted(reported)
    assert reported[-1] == (len(LARGE), len(LARGE))
    assert len(reported) > 1


async def test_a_progress_callback_that_raises_ends_the_upload(flora: FloraSession, large: Path) -> None:
    def stop(sent: int, size: int) -> None:
        raise LookupError(f"{sent} of {size}")

    with pytest.raises(LookupError, match=f"of {len(LARGE)}") as caught:
        await flora.assets.upload(large, workspace_id=HOME, progress=stop)
    seen: list[BaseException] = []
    error: BaseException | None = caught.value
    while error is not None:  # the chain of causes has no cycle
        assert error not in seen
        seen.append(error)
        error = error.__cause__ or error.__context__


FAULTS = [Drop(acts=False), Drop(acts=True), Truncate(), Status(500), Status(503, acts=True), Garbage(), Status(429)]


@pytest.mark.parametrize("idempotency", ["suppress", "replay", "conflict"])
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
@pytest.mark.parametrize("on", ["assets.create", "upload", "assets.complete", "assets.retrieve"])
async def test_an_upload_outlives_whatever_happens_to_one_of_its_requests(
    session_on: OpenSession, large: Path, on: Any, fault: Any, idempotency: Any
) -> None:
    async with FakeFlora(idempotency=idempotency, asset_ready_after=1) as fake:
        flora = session_on(fake)
        fake.inject(fault, on=on)
        asset = await flora.assets.upload(large, workspace_id=HOME)
        (kept,) = [kept for kept in fake.assets if kept.asset_id == asset.asset_id]
        assert kept.content == LARGE


@pytest.mark.parametrize("idempotency", ["suppress", "replay", "conflict"])
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_a_small_upload_outlives_whatever_happens_to_its_request(
    session_on: OpenSession, fault: Any, idempotency: Any
) -> None:
    async with FakeFlora(idempotency=idempotency) as fake:
        flora = session_on(fake)
        fake.inject(fault, on="assets.create")
        asset = await flora.assets.upload(SMALL, workspace_id=HOME)
        assert SMALL in [kept.content for kept in fake.assets if kept.asset_id == asset.asset_id]


class _Expiry:
    """The reservation expires on the way to the storage host."""

    def __init__(self, fake: FakeFlora) -> None:
        self.fake = fake

    async def serve(self, exchange: Any) -> Any:
        self.fake.expire_uploads()
        return exchange.send(exchange.act())


async def test_a_reservation_that_has_expired_is_renewed_once(
    fake: FakeFlora, flora: FloraSession, large: Path
) -> None:
    fake.inject(_Expiry(fake), on="upload")
    asset = await flora.assets.upload(large, workspace_id=HOME)
    assert asset.is_ready
    assert uploads(fake) == 2
    assert sum(request.path.endswith("/retry") for request in fake.requests) == 1


async def test_an_asset_that_failed_is_sent_once_more(fake: FakeFlora, flora: FloraSession, large: Path) -> None:
    fake.fail_assets(1)
    assert (await flora.assets.upload(large, workspace_id=HOME)).is_ready
    fake.fail_assets(2)
    with pytest.raises(UploadError) as caught:
        await flora.assets.upload(large, workspace_id=HOME)
    assert caught.value.asset is not None
    assert caught.value.asset.is_failed
    assert uploads(fake) == 4


async def test_a_refusal_that_flora_does_not_know_of_is_met_with_another_asset(
    fake: FakeFlora, flora: FloraSession, large: Path
) -> None:
    fake.inject(Status(403), on="upload")
    asset = await flora.assets.upload(large, workspace_id=HOME)
    assert asset.is_ready
    assert [kept.status for kept in fake.assets] == ["pending_upload", "ready"]


async def test_an_upload_that_is_never_confirmed_is_not_a_start_in_doubt(
    fake: FakeFlora, flora: FloraSession, large: Path
) -> None:
    fake.inject(Status(500), on="assets.complete", times=None)
    with pytest.raises(UploadError, match="Nothing was spent: upload again"):
        await flora.assets.upload(large, workspace_id=HOME)


async def test_a_storage_host_that_redirects_is_not_followed(fake: FakeFlora, flora: FloraSession, large: Path) -> None:
    fake.inject(Redirect("https://evil.example/"), on="upload", times=None)
    with pytest.raises(UntrustedURLError, match="must not redirect"):
        await flora.assets.upload(large, workspace_id=HOME)
    assert uploads(fake) == 1


async def test_a_cancelled_upload_leaves_no_file_open(flora: FloraSession, large: Path) -> None:
    for moment in range(60):
        upload = asyncio.create_task(flora.assets.upload(large, workspace_id=HOME))
        for _ in range(moment):
            await asyncio.sleep(0)
        upload.cancel()
        await asyncio.wait([upload])
    await asyncio.to_thread(lambda: None)  # whatever a thread had begun is over
    gc.collect()  # an open file would be reported now, and every warning is an error


async def test_an_upload_ends_when_the_storage_host_refuses_twice(
    fake: FakeFlora, flora: FloraSession, large: Path
) -> None:
    fake.inject(Status(403), on="upload", times=None)
    with pytest.raises(UploadError, match="refused twice: 403 ") as caught:
        await flora.assets.upload(large, workspace_id=HOME)
    assert isinstance(caught.value.__cause__, PermissionDeniedError)


async def test_an_asset_that_never_gets_ready_is_not_waited_for_for_ever(session_on: OpenSession) -> None:
    async with FakeFlora(asset_ready_after=10**9) as fake:
        with pytest.raises(UploadError, match=r"still pending_upload after 0\.05 s") as caught:
            await session_on(fake).assets.upload("https://example.com/a.png", workspace_id=HOME, timeout=0.05)
        assert caught.value.asset is not None


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/upload",
        "http://storage.example/upload",
        "https://10.0.0.1/upload",
        "https://user@storage.example/",
        "file:///etc/passwd",
    ],
)
async def test_a_storage_host_that_cannot_be_one_gets_nothing(
    fake: FakeFlora, flora: FloraSession, large: Path, url: str
) -> None:
    place = {"url": url, "method": "POST", "file_field": "file", "form_fields": {}}
    fake.inject(Replace({"asset_id": "asset_1", "status": "pending_upload", "upload": place}), on="assets.create")
    with pytest.raises((UntrustedURLError, UploadError)):
        await flora.assets.upload(large, workspace_id=HOME)
    assert uploads(fake) == 0


@pytest.mark.parametrize("place", [None, {"url": "https://storage.example/", "method": "DELETE"}], ids=repr)
async def test_a_reservation_that_names_no_place_is_an_error(
    fake: FakeFlora, flora: FloraSession, large: Path, place: Any
) -> None:
    fake.inject(Replace({"asset_id": "asset_1", "status": "pending_upload", "upload": place}), on="assets.create")
    with pytest.raises(UploadError, match="named no place"):
        await flora.assets.upload(large, workspace_id=HOME)


@pytest.mark.parametrize("fault", [None, Drop(acts=False), Status(503), Status(403)], ids=repr)
async def test_a_file_is_put_to_an_upload_url_where_flora_names_no_form(
    session_on: OpenSession, large: Path, fault: Any
) -> None:
    async with FakeFlora(upload_method="PUT") as fake:
        if fault is not None:
            fake.inject(fault, on="upload")
        asset = await session_on(fake).assets.upload(large, workspace_id=HOME)
        (kept,) = [kept for kept in fake.assets if kept.asset_id == asset.asset_id]
        assert kept.content == LARGE
        puts = [request for request in fake.requests if request.operation == "upload"]
        assert {(request.method, request.headers["Content-Type"]) for request in puts} == {("PUT", "video/mp4")}
        assert not any("Authorization" in request.headers for request in puts)


@pytest.mark.parametrize("status", ["pending_upload", "ready"])
async def test_an_answer_that_names_no_asset_is_an_error_that_says_so(
    fake: FakeFlora, flora: FloraSession, large: Path, status: str
) -> None:
    place = {"url": f"{fake.origin}/upload/x", "method": "POST", "file_field": "file", "form_fields": {}}
    fake.inject(Replace({"status": status, "upload": place}), on="assets.create", times=None)
    fake.inject(Replace({}), on="upload", times=None)
    for source in (large, SMALL):
        with pytest.raises(UploadError, match="names no asset"):
            await flora.assets.upload(source, workspace_id=HOME)


async def test_a_file_that_shrinks_while_it_is_sent_is_an_error_that_says_so(
    fake: FakeFlora, flora: FloraSession, large: Path
) -> None:
    with pytest.raises(UploadError, match="has become shorter") as caught:
        await flora.assets.upload(large, workspace_id=HOME, progress=lambda *_: os.truncate(large, 10))
    assert caught.value.asset is None
    assert all(kept.content != LARGE for kept in fake.assets)


async def test_a_file_whose_disk_breaks_is_an_error_that_says_so(flora: FloraSession) -> None:
    with pytest.raises(UploadError, match="could not be read: the disk is gone"):
        await flora.assets.upload(_Flaky(SMALL), workspace_id=HOME)


class _Flaky(io.BytesIO):
    """A file on a disk that breaks after it was looked at."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > 3:
            raise OSError("the disk is gone")
        return super().read(size)


@pytest.mark.parametrize("name", ["ünï côdé 漢字.png", 'quo"te\\back.png', "line\r\nbreak: x.png", "a" * 300 + ".png"])
async def test_no_file_name_can_break_the_form(fake: FakeFlora, flora: FloraSession, name: str) -> None:
    await flora.assets.upload(SMALL, workspace_id=HOME, file_name=name)
    (kept,) = fake.assets
    assert kept.content == SMALL


@pytest.mark.parametrize(
    ("source", "options", "error", "words"),
    [
        ("http://example.com/a.png", {}, ValueError, "must start with https://"),
        ("ftp://example.com/a.png", {}, ValueError, "cannot be used"),
        ("no/such/file.png", {}, FileNotFoundError, "no/such/file.png"),
        (b"", {}, ValueError, "is empty"),
        (b"words", {}, ValueError, "FLORA takes"),
        (SMALL, {"content_type": "image/svg+xml"}, ValueError, r"looks like image/svg\+xml; FLORA takes"),
        (SMALL, {"workspace_id": "local"}, ValueError, r"as FLORA lists it \(ws_…\)"),
        (SMALL, {"workspace_id": 5}, TypeError, "workspace_id must be text"),
        (SMALL, {"timeout": -1}, ValueError, "timeout"),
        (5, {}, TypeError, "must be a path, bytes or a file"),
        ("", {}, ValueError, "must not be empty"),
        (SMALL, {"progress": 5}, TypeError, "plain function of two numbers"),
    ],
    ids=repr,
)
async def test_what_cannot_be_uploaded_is_refused_before_any_request(  # noqa: PLR0913, PLR0917 - fixtures and a case
    fake: FakeFlora, flora: FloraSession, source: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await flora.assets.upload(source, **{"workspace_id": HOME, **options})
    assert fake.requests == []


async def test_a_directory_is_refused(fake: FakeFlora, flora: FloraSession, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a directory: name a file in it"):
        await flora.assets.upload(tmp_path, workspace_id=HOME)
    assert fake.requests == []


async def test_a_large_file_leaves_the_memory_alone(flora: FloraSession, tmp_path: Path) -> None:
    path = tmp_path / "huge.mp4"
    with path.open("wb") as file:
        file.write(MP4)
        file.truncate(24 * 1024**2)

    peaks: list[int] = []

    def look(_: int, __: int) -> None:
        peaks.append(sum(stat.size for stat in tracemalloc.take_snapshot().filter_traces(ours).statistics("filename")))

    ours = [tracemalloc.Filter(inclusive=True, filename_pattern="*/_bodies.py")]
    tracemalloc.start()
    try:
        await flora.assets.upload(path, workspace_id=HOME, progress=look)
    finally:
        tracemalloc.stop()
    assert max(peaks) < 4 * 1024**2


async def test_a_cancelled_upload_leaves_nothing_running(session_on: OpenSession, large: Path) -> None:
    async with FakeFlora() as fake:
        flora = session_on(fake)
        fake.inject(Slow(30.0), on="upload")
        before = asyncio.all_tasks()
        upload = asyncio.create_task(flora.assets.upload(large, workspace_id=HOME))
        while not uploads(fake):
            await asyncio.sleep(0.001)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        await flora.close()
        ours = {task for task in asyncio.all_tasks() - before if "RequestHandler" not in repr(task)}
        assert ours <= {upload}


async def test_a_storage_host_that_stalls_is_given_up(session_on: OpenSession, large: Path) -> None:
    async with FakeFlora() as fake:
        flora = session_on(fake, timeout=0.5, retry=RetryPolicy(attempts=2, initial=0, settle=0))
        fake.inject(Slow(10.0), on="upload", times=None)
        with pytest.raises(TimeoutError):
            await flora.assets.upload(large, workspace_id=HOME)
        assert uploads(fake) == 2


# --- files among the inputs of a run


async def test_a_file_is_uploaded_and_its_url_is_the_input(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(SMALL)
    with path.open("rb") as file:
        for value in (path, SMALL, file):
            run = await flora.run("cctv-cam", {"input_image": value})
            assert run.is_completed
    (kept,) = fake.assets  # equal files are uploaded once
    assert kept.content == SMALL
    sent = [request.json["inputs"] for request in fake.requests if request.operation == "start"]
    assert [(item["type"], item["value"]) for (item,) in sent] == [("imageUrl", sent[0][0]["value"])] * 3
    assert sent[0][0]["value"].startswith("http")


async def test_equal_files_at_once_are_uploaded_once(fake: FakeFlora, flora: FloraSession) -> None:
    await asyncio.gather(*(flora.run("cctv-cam", {"input_image": SMALL}) for _ in range(20)))
    await flora.run("cctv-cam", {"input_image": SMALL + b"x"})
    assert len(fake.assets) == 2
    assert len(fake.runs) == 21


class _Rewritten(io.BytesIO):
    """A file that something overwrites just before it is read for the given time."""

    def __init__(self, turn: int, old: bytes, new: bytes) -> None:
        super().__init__(old)
        self._turn = turn
        self._new = new

    def read(self, size: int | None = -1, /) -> bytes:
        self._turn -= 1
        if self._turn == 0:
            position = self.tell()
            self.seek(0)
            self.write(self._new)
            self.seek(position)
        return super().read(size)


@pytest.mark.parametrize("growth", [0, 1000])
async def test_a_file_that_is_overwritten_meanwhile_is_used_whole_or_not_at_all(
    fake: FakeFlora, flora: FloraSession, growth: int
) -> None:
    whole, refused = set(), []
    for turn in range(1, 8):
        old = png(f"old {turn}") + bytes(1000)
        new = (png(f"new {turn}") + bytes(9000))[: len(old) + growth]
        whole |= {old, new}
        try:
            await flora.run("cctv-cam", {"input_image": _Rewritten(turn, old, new)})
        except UploadError as error:
            refused.append(str(error))
        await flora.run("cctv-cam", {"input_image": old})
        asset_id = next(kept.asset_id for kept in fake.assets if kept.content == old)
        assert asset_id in fake.runs[-1].inputs["input_image"]
    assert {kept.content for kept in fake.assets} <= whole
    assert 0 < len(refused) < 7
    assert all("has changed" in message for message in refused)
    assert len(fake.runs) == 14 - len(refused)


@pytest.mark.parametrize("turns", range(6))
async def test_equal_files_are_uploaded_once_even_where_the_first_upload_is_cancelled(
    session_on: OpenSession, turns: int
) -> None:
    async with FakeFlora() as fake:
        flora = session_on(fake)
        fake.inject(Slow(30.0), on="assets.create")

        def start() -> asyncio.Task[Run]:
            return asyncio.create_task(flora.run("cctv-cam", {"input_image": SMALL}))

        first = start()
        while not any(request.path.endswith("/assets") for request in fake.requests):
            await asyncio.sleep(0.001)
        waiting = [start() for _ in range(3)]
        while not any(lock.users == 4 for lock in flora._uploads._locks._locks.values()):
            await asyncio.sleep(0.001)
        first.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        late = [start() for _ in range(3)]
        waiting[0].cancel()
        await asyncio.gather(first, *waiting, *late, return_exceptions=True)
        assert sum(request.path.endswith("/assets") for request in fake.requests) == 2


async def test_a_waiter_uploads_a_file_whose_upload_was_cancelled(session_on: OpenSession) -> None:
    async with FakeFlora() as fake:
        flora = session_on(fake)
        fake.inject(Slow(30.0), on="assets.create")
        first = asyncio.create_task(flora.run("cctv-cam", {"input_image": SMALL}))
        while not any(request.path.endswith("/assets") for request in fake.requests):
            await asyncio.sleep(0.001)
        second = asyncio.create_task(flora.run("cctv-cam", {"input_image": SMALL}))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).is_completed
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_a_file_of_the_wrong_kind_is_refused_before_it_is_uploaded(fake: FakeFlora, flora: FloraSession) -> None:
    with pytest.raises(ValueError, match="takes an image, not video/mp4"):
        await flora.run("cctv-cam", {"input_image": MP4 + bytes(100)})
    assert fake.assets == ()
    assert fake.runs == ()


async def test_a_file_that_cannot_be_uploaded_starts_nothing(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Status(400), on="assets.create", times=None)
    with pytest.raises(Exception, match="400"):
        await flora.run("cctv-cam", {"input_image": SMALL})
    (result,) = await flora.run_all("cctv-cam", [{"input_image": SMALL}])
    assert not result.ok
    assert fake.runs == ()


@pytest.mark.parametrize("kind", ["audio/mpeg", "application/pdf", "video/mp4"])
async def test_every_kind_of_file_is_kept_under_its_type(fake: FakeFlora, flora: FloraSession, kind: str) -> None:
    bodies = {"audio/mpeg": b"ID3\x03\0\0\0\0" + bytes(99), "application/pdf": b"%PDF-1.7\n", "video/mp4": MP4}
    asset = await flora.assets.upload(bodies[kind], workspace_id=HOME)
    assert asset.is_ready
    (kept,) = fake.assets
    assert kept.content_type == kind
    assert kept.name == f"upload{CONTENT_TYPES[kind][1]}"


# --- the workspace of a file


async def test_the_workspace_of_the_call_comes_first_then_the_sessions_then_the_environments(
    session_on: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeFlora(workspaces=("ws_call", "ws_session", "ws_environment")) as fake:
        monkeypatch.setenv("FLORA_WORKSPACE_ID", "ws_environment")
        by_environment, by_session = session_on(fake), session_on(fake, workspace_id="ws_session")
        await by_environment.run("cctv-cam", {"input_image": SMALL})
        await by_session.run("cctv-cam", {"input_image": SMALL})
        await by_session.run("cctv-cam", {"input_image": SMALL}, workspace_id="ws_call")
        await by_session.run_all("cctv-cam", [{"input_image": SMALL + b"1"}])
        await by_session.run_all("cctv-cam", [{"input_image": SMALL + b"2"}], workspace_id="ws_call")
        await by_session.techniques.runs.create(
            "cctv-cam", inputs={"input_image": SMALL + b"3"}, workspace_id="ws_call"
        )
        await by_session.assets.upload(SMALL)
        assert [kept.workspace_id for kept in fake.assets] == [
            *["ws_environment", "ws_session", "ws_call", "ws_session", "ws_call", "ws_call", "ws_session"]
        ]
        assert not any(request.path.endswith("/workspaces") for request in fake.requests)


async def test_the_only_workspace_is_found_and_asked_for_once(fake: FakeFlora, flora: FloraSession) -> None:
    for number in range(3):
        await flora.assets.upload(SMALL + bytes([number]))
    assert {kept.workspace_id for kept in fake.assets} == {HOME}
    assert sum(request.path.endswith("/workspaces") for request in fake.requests) == 1


@pytest.mark.parametrize("workspaces", [(), ("ws_a", "ws_b")], ids=["none", "two"])
async def test_no_workspace_is_guessed(session_on: OpenSession, workspaces: tuple[str, ...]) -> None:
    async with FakeFlora(workspaces=workspaces) as fake:
        flora = session_on(fake)
        for call in (flora.assets.upload(SMALL), flora.run("cctv-cam", {"input_image": SMALL})):
            with pytest.raises(ValueError, match=f"reaches {len(workspaces)} workspaces .*FLORA_WORKSPACE_ID"):
                await call
        (result,) = await flora.run_all("cctv-cam", [{"input_image": SMALL}])
        assert isinstance(result.error, UploadError)
        assert fake.assets == ()
        assert fake.runs == ()


async def test_workspaces_without_end_are_not_listed_without_end(fake: FakeFlora, flora: FloraSession) -> None:
    for number in range(101):
        fake.inject(Replace({"workspaces": [], "meta": {"next_cursor": f"c{number}"}}), on="workspaces.list")
    with pytest.raises(DecodeError, match="100 pages in a row were empty"):
        await flora.assets.upload(SMALL)
    assert len(fake.requests) == 100


async def test_a_workspace_that_cannot_be_read_still_counts(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Replace({"workspaces": [{"workspace_id": HOME}, {"name": "Studio"}]}), on="workspaces.list")
    with pytest.raises(ValueError, match=r"reaches 2 workspaces \(ws_local, \?\)"):
        await flora.assets.upload(SMALL)
    assert fake.assets == ()


async def test_the_workspace_is_looked_up_once_by_many_at_once(fake: FakeFlora, flora: FloraSession) -> None:
    await asyncio.gather(*(flora.assets.upload(SMALL + bytes([number])) for number in range(10)))
    assert sum(request.path.endswith("/workspaces") for request in fake.requests) == 1


def test_a_session_with_a_malformed_workspace_id_is_refused() -> None:
    with pytest.raises(ValueError, match="workspace_id must be an id"):
        FloraSession("sk_test_1", workspace_id="My Workspace")


async def test_an_upload_says_what_it_made(flora: FloraSession) -> None:
    asset = await flora.assets.upload(SMALL)
    assert isinstance(asset, Asset)
    assert asset.asset_id
    again = await flora.assets.retrieve(asset.asset_id)
    assert (again.url, again.size_bytes) == (asset.url, len(SMALL))
