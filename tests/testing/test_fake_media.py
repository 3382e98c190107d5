"""Media of the local FLORA: a separate host that serves files and ranges of files."""

import math
import random
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from plain_client import Client
from yarl import URL

from flora_async.testing import (
    Cut,
    FakeFlora,
    FakeTechnique,
    Fault,
    Garbage,
    Headers,
    Redirect,
    Slow,
    Status,
    VirtualClock,
)


@pytest.fixture
async def fake(clock: VirtualClock) -> AsyncIterator[FakeFlora]:
    async with FakeFlora(case="snake", run_seconds=10.0, clock=clock) as fake:
        yield fake


def png_chunks(data: bytes) -> dict[bytes, bytes]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, position = {}, 8
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, content = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
        assert checksum == zlib.crc32(kind + content)
        chunks[kind] = content
        position += 12 + length
    return chunks


async def test_image_outputs_are_distinct_png_images_that_need_no_key(client: Client, clock: VirtualClock) -> None:
    image = {"id": "input_image", "type": "imageUrl", "value": "https://example.com/photo.png"}
    urls = []
    for _ in range(2):
        _, run = await client.start("cctv-cam", json={"inputs": [image], "mode": "async"})
        clock.advance(10.0)
        _, run = await client.get(run["poll_url"])
        assert run["charged_cost"] == 0.05
        urls.append(run["outputs"][0]["url"])
    assert urls[0].startswith(f"{client.fake.storage_origin}/media/run_")
    images = []
    for url in urls:
        async with client.http.get(url) as response:
            assert (response.status, response.content_type) == (200, "image/png")
            images.append(await response.read())
        assert client.fake.requests[-1].operation == "media"
        assert "Authorization" not in client.fake.requests[-1].headers
    assert images[0] != images[1]
    for data in images:
        chunks = png_chunks(data)
        assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
        assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (64, 64, 8, 2, 0, 0, 0)
        assert len(zlib.decompress(chunks[b"IDAT"])) == 64 * (1 + 64 * 3)


async def test_missing_media_is_a_404(client: Client, clock: VirtualClock) -> None:
    _, run = await client.start()
    clock.advance(10.0)
    await client.start("always-fails")
    for path in (
        "run_missing/output_1.png",
        f"{run['run_id']}/output_1.png",
        f"{run['run_id']}/output_2.png",
    ):
        response, error = await client.get(f"{client.fake.storage_origin}/media/{path}")
        assert (response.status, error["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("ending", [{}, {"error_code": "model_timeout"}])
async def test_an_output_is_served_once_its_run_has_completed(client: Client, ending: dict[str, str]) -> None:
    client.fake.add_technique(FakeTechnique("held", running=math.inf))
    _, run = await client.start("held")
    url = f"{client.fake.storage_origin}/media/{run['run_id']}/output_1.png"
    assert (await client.get(url))[0].status == 404
    client.fake.finish(run["run_id"], **ending)
    assert (await client.get(url))[0].status == (404 if ending else 200)


@pytest.mark.parametrize(
    ("type_", "content_type", "magic"),
    [
        ("imageUrl", "image/png", b"\x89PNG"),
        ("videoUrl", "video/mp4", b"\x00\x00\x00\x18ftypisom"),
        ("audioUrl", "audio/mpeg", b"ID3"),
        ("documentUrl", "application/pdf", b"%PDF-"),
        ("modelUrl", "application/octet-stream", b""),
    ],
)
async def test_an_output_has_a_file_of_its_type(client: Client, type_: str, content_type: str, magic: bytes) -> None:
    outputs = {"a/../b c": type_, "other": type_}
    client.fake.add_technique(FakeTechnique("maker", outputs=outputs, pending=0, running=0))
    _, run = await client.start("maker")
    files = [await client.get(output["url"]) for output in run["outputs"]]
    assert [response.content_type for response, _ in files] == [content_type] * 2
    assert all(body.startswith(magic) for _, body in files)
    assert files[0][1] != files[1][1]


async def test_the_storage_host_is_a_separate_origin_that_refuses_the_key(client: Client) -> None:
    url = client.fake.add_media("cat.txt", b"cat", "text/plain")
    assert URL(url).origin() != URL(client.fake.origin)
    response, error = await client.get(url, headers={"Authorization": f"Bearer {client.fake.api_key}"})
    assert (response.status, error["error"]["code"]) == (400, "InvalidRequest")
    _, body = await client.get(url)
    assert body == b"cat"
    _, _ = await client.get("/technique-runs")
    assert [(request.origin, request.operation) for request in client.fake.requests] == [
        ("media", "media"),
        ("media", "media"),
        ("flora", "history"),
    ]
    for path in ("/", "/media/", "/media/dog.txt", "/upload/dog", "/api/v1/technique-runs"):
        response, _ = await client.get(client.fake.storage_origin + path)
        assert response.status == 404


async def test_an_added_file_can_replace_an_output(client: Client) -> None:
    client.fake.add_technique(FakeTechnique("film", outputs={"film": "videoUrl"}, pending=0, running=0))
    _, run = await client.start("film")
    url = client.fake.add_media(f"{run['run_id']}/film.mp4", bytes(3_000_000), "video/webm")
    assert url == run["outputs"][0]["url"]
    response, body = await client.get(url)
    assert (response.content_type, body) == ("video/webm", bytes(3_000_000))


def test_media_cannot_be_added_before_the_server_has_started() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        FakeFlora().add_media("cat.txt", b"cat")


@pytest.mark.parametrize(
    ("asked", "status", "part", "said"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=9-9", 206, b"9", "bytes 9-9/10"),
        ("bytes=7-99", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=5-4", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("lines=0-1", 200, b"0123456789", None),
    ],
)
async def test_a_range_of_a_file_is_served(
    client: Client, asked: str, status: int, part: bytes, said: str | None
) -> None:
    url = client.fake.add_media("digits", b"0123456789")
    response, body = await client.get(url, headers={"Range": asked})
    assert (response.status, body, response.headers.get("Content-Range")) == (status, part, said)
    assert response.headers["Content-Length"] == str(len(part))
    assert response.headers["Accept-Ranges"] == "bytes"


async def test_a_range_is_only_served_of_the_file_with_the_same_etag(client: Client) -> None:
    url = client.fake.add_media("digits", b"0123456789")
    response, _ = await client.get(url)
    etag = response.headers["ETag"]
    response, body = await client.get(url, headers={"Range": "bytes=4-", "If-Range": etag})
    assert (response.status, body) == (206, b"456789")
    client.fake.add_media("digits", b"9876543210")
    response, body = await client.get(url, headers={"Range": "bytes=4-", "If-Range": etag})
    assert (response.status, body) == (200, b"9876543210")


async def test_a_cut_download_can_be_resumed(client: Client, fake: FakeFlora) -> None:
    whole = random.Random(0).randbytes(300_000)
    url = fake.add_media("film.mp4", whole, "video/mp4")
    fake.inject(Cut(after=120_000), on="media", times=2)
    got, statuses = b"", []
    while len(got) < len(whole):
        headers = {"Range": f"bytes={len(got)}-"} if got else {}
        async with client.http.get(url, headers=headers) as response:
            statuses.append(response.status)
            assert int(response.headers["Content-Length"]) == len(whole) - len(got)
            with suppress(aiohttp.ClientPayloadError):
                async for piece in response.content.iter_any():
                    got += piece
    assert got == whole
    assert statuses == [200, 206, 206]


@pytest.mark.parametrize("after", [0, 3, 99])
async def test_a_cut_sends_the_given_number_of_bytes(client: Client, after: int) -> None:
    url = client.fake.add_media("digits", b"0123456789")
    client.fake.inject(Cut(after=after), on="media")
    got = b""
    async with client.http.get(url) as response:
        try:
            async for piece in response.content.iter_any():
                got += piece
        except aiohttp.ClientPayloadError:
            assert after < 10
        else:
            assert after >= 10
    assert got == b"0123456789"[:after]


async def test_headers_replace_those_of_the_regular_answer(client: Client) -> None:
    url = client.fake.add_media("cat.txt", b"cat", "text/plain")
    name = 'attachment; filename="../../.bashrc"'
    headers = {"content-disposition": name, "content-type": "text/html", "ETag": "odd"}
    client.fake.inject(Headers(headers), on="media")
    response, body = await client.get(url)
    assert (response.status, body) == (200, b"cat")
    assert response.headers.getall("Content-Type") == ["text/html"]
    assert (response.headers["Content-Disposition"], response.headers["ETag"]) == (name, "odd")


@pytest.mark.parametrize("fault", [Status(503), Garbage(status=502), Redirect("https://evil.example/")])
async def test_a_fault_of_the_storage_host_does_not_affect_the_api(client: Client, fault: Fault) -> None:
    url = client.fake.add_media("cat.txt", b"cat")
    client.fake.inject(fault, on="media")
    assert (await client.get("/technique-runs"))[0].status == 200
    assert (await client.get(url, allow_redirects=False))[0].status in {302, 502, 503}
    assert (await client.get(url))[0].status == 200


@pytest.mark.parametrize("where", ["before", "after", "body"])
async def test_a_slow_download_is_complete_in_the_end(client: Client, where: Any) -> None:
    url = client.fake.add_media("cat.txt", b"cat")
    client.fake.inject(Slow(0.01, where=where), on="media")
    assert (await client.get(url))[1] == b"cat"
