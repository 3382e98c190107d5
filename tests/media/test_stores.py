"""Files in stores: saved whole or not at all, over no other run's, and read as inputs, against a local S3."""

import asyncio
import json
import random
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import fsspec
import pytest
from aiohttp import web
from conftest import IMAGE, SWIFT_RETRY, OpenSession
from fsspec.config import conf
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from upath import UPath

from flora_async import FloraSession, InputError, storage
from flora_async.batch.report import write_report
from flora_async.media.parts import Exists
from flora_async.testing import Cut, FakeFlora, FakeTechnique, Status
from flora_async.testing._state.sample_files import png

PNG = b"\x89PNG\r\n\x1a\n"
FILM = random.Random(5).randbytes(20 * 1024 * 1024)
# Each test has a bucket of its own, and the driver's connections and threads serve all of them.
_numbers = count()


class Gate:
    """A TCP proxy before the store, which can cut connections and answer in the place of the store."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.rule: Callable[[bytes], bytes | None] = lambda _: None
        self.seen: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            head = self._head(client)
            if not head:
                return
            self.seen.append(head)
            answer = self.rule(head)
            if answer is not None:
                client.sendall(answer)
                return
            with socket.create_connection(("127.0.0.1", self.target)) as store:
                first, _, rest = head.partition(b"\r\n")
                store.sendall(first + b"\r\nConnection: close\r\n" + rest)
                back = threading.Thread(target=self._copy, args=(store, client), daemon=True)
                back.start()
                self._copy(client, store)
                back.join()

    @staticmethod
    def _head(client: socket.socket) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = client.recv(65536)
            if not chunk:
                return b""
            head += chunk
        return head

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while chunk := source.recv(65536):
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def close(self) -> None:
        self._server.close()


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def gate(moto: int) -> Iterator[Gate]:
    gate = Gate(moto)
    yield gate
    gate.close()


class Bucket:
    """A bucket of its own for a test."""

    def __init__(self, gate: Gate) -> None:
        self.name = f"bucket-{next(_numbers)}"
        self.gate = gate
        self.options: dict[str, Any] = {
            "key": "AKIATESTING",
            "secret": "never-to-be-seen",
            "endpoint_url": f"http://127.0.0.1:{gate.port}",
            "config_kwargs": {"retries": {"max_attempts": 0}},
        }
        self.path = UPath(f"s3://{self.name}", **self.options)
        self.fs: Any = self.path.fs
        self.fs.mkdir(self.name)

    async def objects(self) -> dict[str, bytes]:
        return await asyncio.to_thread(self._objects)

    def _objects(self) -> dict[str, bytes]:
        self.fs.invalidate_cache()
        return {name.partition("/")[2]: self.fs.cat_file(name) for name in self.fs.find(self.name)}

    async def pending_uploads(self) -> list[Any]:
        found = await asyncio.to_thread(self.fs.call_s3, "list_multipart_uploads", Bucket=self.name)
        return list(found.get("Uploads", []))

    def put_directly(self, name: str, content: bytes) -> None:
        """Write an object as another process would, past the gate."""
        options = {**self.options, "endpoint_url": f"http://127.0.0.1:{self.gate.target}"}
        fsspec.filesystem("s3", **options).pipe_file(f"{self.name}/{name}", content)


@pytest.fixture
async def bucket(gate: Gate) -> AsyncIterator[Bucket]:
    opened = await asyncio.to_thread(Bucket, gate)
    yield opened
    gate.rule = lambda _: None


@pytest.fixture
def poster(fake: FakeFlora) -> FakeTechnique:
    outputs = {"image": "imageUrl", "words": "text"}
    return fake.add_technique(FakeTechnique("poster", outputs=outputs, running=0.0))


async def test_outputs_are_saved_in_a_store_as_in_a_directory(
    fake: FakeFlora, flora: FloraSession, poster: FakeTechnique, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(conf, "s3", bucket.options)
    run = await flora.run(poster.slug, {"prompt": "a red bicycle"})
    fake.inject(Cut(after=5), on="media", times=2)
    folder = f"s3://{bucket.name}/results"
    paths = await flora.save_outputs(run, folder)
    assert [str(path) for path in paths] == [f"{folder}/{run.run_id}-{name}" for name in ("image.png", "words.txt")]
    saved = await bucket.objects()
    assert len(saved) == 3
    assert saved[f"results/{run.run_id}-image.png"].startswith(PNG)
    assert saved[f"results/{run.run_id}-words.txt"].decode() == run.outputs[1].text
    note = json.loads(saved[f"results/{run.run_id}.json"])
    assert [output["file"] for output in note["outputs"]] == [path.name for path in paths]
    fetched = len(fake.requests)
    assert await flora.save_outputs(run, folder) == paths
    assert len(fake.requests) == fetched
    with pytest.raises(FileExistsError, match="exists"):
        await flora.save_outputs(run, folder, exists="error")
    assert await flora.save_outputs(run, folder, exists="replace") == paths
    named = await flora.download(run.outputs[0], f"{folder}/")
    assert str(named).startswith(f"{folder}/image-")
    assert await bucket.objects() == saved | {f"results/{named.name}": saved[f"results/{paths[0].name}"]}
    assert not any(fake.api_key.encode() in head for head in bucket.gate.seen)
    assert "never-to-be-seen" not in f"{note}{paths!r}{fake.requests}"


class Host:
    """A media host with one film, which cuts the connection in the middle of the first answer."""

    url: str

    def __init__(self) -> None:
        self.content = FILM
        self.ranges: list[str | None] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        start = int((request.headers.get("Range") or "bytes=0-")[6:-1])
        self.ranges.append(request.headers.get("Range"))
        response = web.StreamResponse(status=206 if start else 200, headers={"ETag": '"v1"'})
        response.content_length = len(self.content) - start
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        await response.prepare(request)
        if not start:
            await response.write(self.content[: len(self.content) // 2])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(self.content[start:])
        return response


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    host = Host()
    app = web.Application()
    app.router.add_get("/film.mp4", host.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host.url = f"http://127.0.0.1:{runner.addresses[0][1]}/film.mp4"
    yield host
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[FloraSession]:
    async with FloraSession("sk_none", base_url="http://127.0.0.1:1/api/v1", retry=SWIFT_RETRY) as opened:
        yield opened


async def test_a_large_file_is_uploaded_in_small_parts_over_cuts_on_both_sides(
    session: FloraSession, host: Host, bucket: Bucket
) -> None:
    cut = iter((True, True))
    bucket.gate.rule = lambda head: b"" if b"partNumber=2" in head and next(cut, False) else None
    path = await session.download(host.url, bucket.path / "film")
    assert str(path) == f"s3://{bucket.name}/film.mp4"
    assert await bucket.objects() == {"film.mp4": FILM}
    assert await bucket.pending_uploads() == []
    assert host.ranges[0] is None
    assert len(host.ranges) == 2
    parts = [head for head in bucket.gate.seen if b"partNumber=" in head]
    lengths = [int(line.split(b":")[1]) for head in parts for line in head.lower().splitlines() if is_length(line)]
    assert max(lengths) < 13 * 1024 * 1024


def is_length(line: bytes) -> bool:
    return line.startswith(b"content-length:")


async def test_a_cancelled_upload_leaves_nothing_in_the_store(
    session: FloraSession, host: Host, bucket: Bucket
) -> None:
    loop, reached, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold(head: bytes) -> None:
        if b"partNumber=2" in head:
            loop.call_soon_threadsafe(reached.set)
            go_on.wait(30)

    bucket.gate.rule = hold
    saving = asyncio.create_task(session.download(host.url, bucket.path / "film"))
    await reached.wait()
    assert len(await bucket.pending_uploads()) == 1
    saving.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert await bucket.pending_uploads() == []
    assert await bucket.objects() == {}


def refusal(status: str, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>The bucket has no room left</Message></Error>".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\nConnection: close"
    return head.encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("request_line", [b"partNumber=2", b"POST /%s/film.mp4?uploadId"])
async def test_a_full_store_is_an_os_error_and_leaves_nothing(
    session: FloraSession, host: Host, bucket: Bucket, request_line: bytes
) -> None:
    line = request_line.replace(b"%s", bucket.name.encode())
    full = refusal("507 Insufficient Storage", "QuotaExceeded")
    bucket.gate.rule = lambda head: full if line in head else None
    with pytest.raises(OSError, match="no room left"):
        await session.download(host.url, bucket.path / "film")
    assert await bucket.pending_uploads() == []
    assert await bucket.objects() == {}


# The same content may be this upload's own, whose answer was lost.
@pytest.mark.parametrize(("other", "exists"), [("same", "keep"), ("same", "error"), ("different", "keep")])
@pytest.mark.parametrize("is_large", [False, True])
async def test_an_object_that_appears_meanwhile_is_never_overwritten(  # noqa: PLR0913 - fixtures and a case
    session: FloraSession, host: Host, bucket: Bucket, *, is_large: bool, other: str, exists: Exists
) -> None:
    if not is_large:
        host.content = FILM[:100_000]
    theirs = host.content if other == "same" else b"of another process"
    rivals = iter((theirs,))

    def arrive(head: bytes) -> None:
        line = head.partition(b"\r\n")[0]
        completes = b"uploadId=" in line and line.startswith(b"POST ") if is_large else line.startswith(b"PUT ")
        if completes and (rival := next(rivals, None)) is not None:
            bucket.put_directly("film.mp4", rival)

    bucket.gate.rule = arrive
    saving = session.download(host.url, bucket.path / "film.mp4", exists=exists)
    if other == "same":
        assert (await saving).name == "film.mp4"
    else:
        with pytest.raises(FileExistsError, match="meanwhile"):
            await saving
    assert next(rivals, None) is None
    assert await bucket.objects() == {"film.mp4": theirs}
    assert await bucket.pending_uploads() == []


async def test_of_two_runs_that_race_for_one_object_one_is_saved_and_the_other_is_refused(
    flora: FloraSession, poster: FakeTechnique, bucket: Bucket
) -> None:
    runs = [await flora.run(poster.slug, {"prompt": prompt}) for prompt in ("a red bicycle", "a blue one")]
    saving = [flora.save_outputs(run, bucket.path, name="poster-{number}") for run in runs]
    ended = await asyncio.gather(*saving, return_exceptions=True)
    texts = [run.outputs[1].text or "" for run in runs]
    saved = await bucket.objects()
    assert saved["poster-2.txt"].decode() in texts
    assert sum(isinstance(each, FileExistsError) for each in ended) >= 1
    assert sum(name.endswith(".json") for name in saved) <= 1


BAD_DESTINATIONS = {
    "nosuch://bucket/results": (ValueError, "nosuch"),
    "gs://bucket/results": (ImportError, "gcsfs"),
    "https://example.com/results": (ValueError, "on the web"),
    "memory://results?token=never-to-be-seen": (ValueError, "without a query"),
    "s3:/bucket/results": (ValueError, "a URL that lacks a slash"),
    "nosuch://me:never-to-be-seen@host/results": (ValueError, "nosuch://host/results"),
}


@pytest.mark.parametrize("url", BAD_DESTINATIONS)
async def test_a_destination_that_cannot_be_used_is_refused_before_anything_is_sent(
    fake: FakeFlora, flora: FloraSession, url: str
) -> None:
    run = await flora.run("cctv-cam", IMAGE)
    sent, (kind, message) = len(fake.requests), BAD_DESTINATIONS[url]
    for call in (
        flora.download(run.outputs[0], url),
        flora.save_outputs(run, url),
        flora.run_all("cctv-cam", [IMAGE], save_to=url),
    ):
        with pytest.raises(kind, match=message) as caught:
            await call
        assert "never-to-be-seen" not in str(caught.value)
    assert len(fake.requests) == sent


async def test_without_the_extra_a_url_is_refused_with_the_command_that_installs_it(
    fake: FakeFlora, flora: FloraSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await flora.run("cctv-cam", IMAGE)
    sent = len(fake.requests)
    monkeypatch.setitem(sys.modules, "upath", None)
    monkeypatch.delitem(sys.modules, "flora_async.media.stores", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'flora-async\[storage\]'"):
        await flora.save_outputs(run, "s3://bucket/results")
    with pytest.raises(ImportError, match=r"pip install 'flora-async\[storage\]'"):
        await flora.run_all("cctv-cam", [IMAGE], save_to="s3://bucket/results")
    with pytest.raises(ImportError, match=r"pip install 'flora-async\[storage\]'"):
        storage.open("s3://bucket/photo.png")
    assert len(fake.requests) == sent


async def test_a_batch_checks_its_store_and_saves_in_the_next_call_what_it_could_not(
    fake: FakeFlora, session_on: OpenSession, bucket: Bucket, tmp_path: Path
) -> None:
    rows = [{"input_image": f"https://example.com/{number}.png"} for number in range(3)]
    where: dict[str, Any] = {"save_to": bucket.path / "out", "journal": tmp_path / "batch.sqlite"}
    full = refusal("507 Insufficient Storage", "QuotaExceeded")
    bucket.gate.rule = lambda head: full if head.startswith(b"PUT ") else None
    with pytest.raises(OSError, match=r"cannot be written to .*no room left"):
        await session_on(fake).run_all("cctv-cam", rows, **where)
    assert fake.runs == ()
    bucket.gate.rule = lambda head: full if head.startswith(b"PUT ") and b"/out/1-" in head else None
    failed = await session_on(fake).run_all("cctv-cam", rows, **where)
    assert [result.ok for result in failed] == [True, False, True]
    assert isinstance(failed[1].error, OSError)
    bucket.gate.rule = lambda _: None
    fetched = sum(request.operation == "media" for request in fake.requests)
    results = await session_on(fake).run_all("cctv-cam", rows, **where)
    assert all(result.ok for result in results)
    assert len(fake.runs) == 3
    assert sum(request.operation == "media" for request in fake.requests) == fetched + 1
    names = {path.name for result in results for path in result.files}
    assert set(await bucket.objects()) == {f"out/{name}" for name in names} | {
        f"out/{result.key}-{result.run.run_id}.json" for result in results if result.run
    }
    report = await write_report(results, tmp_path / "report.html")
    assert all(f"s3://{bucket.name}/out/{name}" in report.read_text("utf-8") for name in names)
    kept = (tmp_path / "batch.sqlite").read_bytes() + report.read_bytes() + str(results).encode()
    assert b"never-to-be-seen" not in kept


async def test_a_bucket_in_which_nothing_may_be_deleted_is_good_enough(
    fake: FakeFlora, flora: FloraSession, bucket: Bucket
) -> None:
    body = b"<Error><Code>AccessDenied</Code></Error>"
    denied = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    bucket.gate.rule = lambda head: denied if head.startswith(b"DELETE ") else None
    (result,) = await flora.run_all("caption", [{"prompt": "x"}], save_to=bucket.path)
    assert result.ok, result.error
    assert {path.name for path in result.files} < set(await bucket.objects())
    assert len(fake.runs) == 1


async def test_files_in_stores_are_inputs_and_are_read_again_for_a_retry(
    fake: FakeFlora, flora: FloraSession, bucket: Bucket
) -> None:
    small, large = png("small"), png("large") + bytes(6 * 1024 * 1024)
    path = bucket.path / "photo.png"
    await asyncio.to_thread(path.write_bytes, small)
    await asyncio.to_thread((bucket.path / "large.png").write_bytes, large)
    in_memory = storage.open("memory://inputs/other.png")
    in_memory.write_bytes(png("in memory"))
    opened: Any = fsspec.open(f"s3://{bucket.name}/large.png", "rb", **bucket.options)
    fake.inject(Status(503), on="assets.create", times=1)
    rows = [{"input_image": value} for value in (path, in_memory, opened, in_memory)]
    results = await flora.run_all("cctv-cam", rows)
    assert [result.error for result in results] == [None] * 4
    asset = await flora.assets.create(file=path, workspace_id="ws_local")
    contents = [each.content for each in fake.assets]
    assert sorted(contents, key=len) == sorted((small, png("in memory"), large, small), key=len)
    assert asset.is_ready
    with pytest.raises(InputError, match=r"storage\.open"):
        await flora.run("cctv-cam", {"input_image": f"s3://{bucket.name}/photo.png"})
    with pytest.raises(ValueError, match=r"storage\.open"):
        await flora.assets.upload(f"s3://{bucket.name}/photo.png")


async def test_an_input_that_a_store_does_not_have_is_named_by_its_url(
    fake: FakeFlora, flora: FloraSession, bucket: Bucket
) -> None:
    missing = bucket.path / "missing.png"
    with pytest.raises(FileNotFoundError, match=rf"'s3://{bucket.name}/missing.png' cannot be read \(there is no such"):
        await flora.run("cctv-cam", {"input_image": missing})
    elsewhere: Any = fsspec.open("s3://nowhere-at-all/photo.png", "rb", **bucket.options)
    with pytest.raises(FileNotFoundError, match=r"nowhere-at-all/photo\.png' cannot be read \(.*bucket does not exist"):
        await flora.run("cctv-cam", {"input_image": elsewhere})
    with pytest.raises(IsADirectoryError, match="'memory:/"):
        await flora.run("cctv-cam", {"input_image": storage.open("memory://")})
    assert fake.runs == ()


async def test_a_store_in_memory_keeps_the_promises_of_a_directory(
    flora: FloraSession, session: FloraSession, host: Host
) -> None:
    run = await flora.run("cctv-cam", IMAGE)
    folder = UPath("memory://promises")
    assert await session.download(host.url, folder / "film [1]") == folder / "film [1].mp4"
    assert (folder / "film [1].mp4").read_bytes() == FILM
    with pytest.raises(FileExistsError, match="another source"):
        await flora.download(run.outputs[0], folder / "film [1].mp4")
    assert await flora.download(run.outputs[0], "memory://promises/") == await flora.download(run.outputs[0], folder)
    assert sorted(path.suffix for path in folder.iterdir()) == [".mp4", ".png"]
    with pytest.raises(ValueError, match="a URL that lacks a slash"):
        await flora.download(run.outputs[0], Path("memory://promises"))
