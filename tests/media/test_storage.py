"""What storage hosts get: file names as they are, and files alone where FLORA names a URL for them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from conftest import SWIFT_POLL, SWIFT_RETRY

from flora_async import FloraSession, UploadError
from flora_async.testing import FakeFlora

MP4 = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(range(256)) * 20_000  # 5 MB
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
KEY = "sk_test_never_to_be_seen"


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("photo 1 (50%).png", "photo 1 (50%).png"),
        ("ünï côdé 漢字.png", "ünï côdé 漢字.png"),
        ('quo"te\\back.png', "quo%22te\\back.png"),
        ("line\r\nbreak: x.png", "line%0D%0Abreak: x.png"),
        ("nul\0.png", "nul%00.png"),
        ("half a \udce4.png", "half a ?.png"),
    ],
    ids=["blanks", "not ASCII", "quotation mark", "line break", "NUL", "lone surrogate"],
)
async def test_a_file_name_arrives_as_it_is(fake: FakeFlora, flora: FloraSession, name: str, sent: str) -> None:
    await flora.assets.upload(PNG, workspace_id="ws_local", file_name=name)
    assert f'filename="{sent}"\r\n'.encode() in fake.requests[-1].body
    (kept,) = fake.assets
    assert kept.content == PNG


class StorageFlora:
    """A FLORA that names an `upload_url` for a file, to which the bytes are sent with PUT."""

    def __init__(self) -> None:
        self.origin = ""
        self.stored: list[tuple[dict[str, str], bytes]] = []
        self.refusals = 0
        self.has_place = True

    def asset(self, status: str) -> dict[str, Any]:
        place = {"upload_url": f"{self.origin}/store?signature=a%2Fb"} if self.has_place else {}
        return {"asset_id": "asset_1", "status": status, "url": f"{self.origin}/film.mp4", **place}

    async def create(self, _: web.Request) -> web.Response:
        return web.json_response(self.asset("pending_upload"))

    async def complete(self, _: web.Request) -> web.Response:
        return web.json_response(self.asset("ready"))

    async def store(self, request: web.Request) -> web.Response:
        self.stored.append((dict(request.headers), await request.read()))
        assert request.raw_path == "/store?signature=a%2Fb"
        self.refusals -= 1
        return web.Response(status=503 if self.refusals >= 0 else 200)


@pytest.fixture
async def storage_flora() -> AsyncIterator[StorageFlora]:
    flora = StorageFlora()
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/assets", flora.create)
    app.router.add_post("/assets/asset_1/complete", flora.complete)
    app.router.add_put("/store", flora.store)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        flora.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield flora
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("refusals", [0, 2])
async def test_a_file_goes_alone_to_an_upload_url(storage_flora: StorageFlora, tmp_path: Path, refusals: int) -> None:
    storage_flora.refusals = refusals
    path = tmp_path / "film.mp4"
    path.write_bytes(MP4)
    sent: list[int] = []
    async with FloraSession(KEY, base_url=storage_flora.origin, retry=SWIFT_RETRY, poll=SWIFT_POLL) as flora:
        asset = await flora.assets.upload(path, workspace_id="ws_1", progress=lambda done, _: sent.append(done))
    assert asset.is_ready
    assert len(storage_flora.stored) == refusals + 1
    for headers, body in storage_flora.stored:
        assert body == MP4
        assert (headers["Content-Type"], headers["Content-Length"]) == ("video/mp4", str(len(MP4)))
        assert KEY not in str(headers)
    assert sent[-1] == len(MP4)


async def test_an_asset_without_any_place_for_its_file_is_an_error(storage_flora: StorageFlora, tmp_path: Path) -> None:
    storage_flora.has_place = False
    path = tmp_path / "film.mp4"
    path.write_bytes(MP4)
    async with FloraSession(KEY, base_url=storage_flora.origin, retry=SWIFT_RETRY, poll=SWIFT_POLL) as flora:
        with pytest.raises(UploadError, match="named no place"):
            await flora.assets.upload(path, workspace_id="ws_1")
    assert storage_flora.stored == []


async def test_a_file_that_shrinks_on_its_way_to_an_upload_url_is_named_as_the_cause(
    storage_flora: StorageFlora, tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(MP4)
    async with FloraSession(KEY, base_url=storage_flora.origin, retry=SWIFT_RETRY, poll=SWIFT_POLL) as flora:
        with pytest.raises(UploadError, match="shorter than its"):
            await flora.assets.upload(
                path, workspace_id="ws_1", progress=lambda *_: path.write_bytes(MP4[: len(MP4) // 2])
            )
    assert storage_flora.stored == []
