"""The transport: every exception of aiohttp's is judged, hostile answers stay small, redirects stay answers."""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import client_exceptions
from conftest import IMAGE, OpenSession
from raw_flora import RUN, answer, raw_flora

from flora_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    DecodeError,
    FloraSession,
    RetryPolicy,
)
from flora_async._http.secrets import Secret
from flora_async._http.transport import NEVER_SENT
from flora_async.config import ResponseLimits
from flora_async.testing import Drop, FakeFlora, Oversize, Redirect, Slow, Status, Truncate

# Whether a request that ends with it may have reached the server. aiohttp growing a new exception fails the test below.
JUDGED = {
    "ClientError": True,
    "ClientConnectionError": True,
    "ClientConnectionResetError": True,
    "ClientConnectorCertificateError": False,
    "ClientConnectorDNSError": False,
    "ClientConnectorError": False,
    "ClientConnectorSSLError": False,
    "ClientHttpProxyError": False,
    "ClientOSError": True,
    "ClientPayloadError": True,
    "ClientProxyConnectionError": False,
    "ClientResponseError": True,
    "ClientSSLError": False,
    "ConnectionTimeoutError": False,
    "ContentTypeError": True,
    "InvalidURL": False,
    "InvalidUrlClientError": False,
    "InvalidUrlRedirectClientError": False,
    "NonHttpUrlClientError": False,
    "NonHttpUrlRedirectClientError": False,
    "RedirectClientError": True,
    "ServerConnectionError": True,
    "ServerDisconnectedError": True,
    "ServerFingerprintMismatch": False,
    "ServerTimeoutError": True,
    "SocketTimeoutError": True,
    "TooManyRedirects": True,
    "UnixClientConnectorError": False,
    "UploadAbortedError": True,
    "WSServerHandshakeError": True,
}
ONCE = RetryPolicy(attempts=1)


def test_every_exception_of_aiohttps_client_is_judged() -> None:
    known = {
        name: not issubclass(kind, NEVER_SENT)
        for name, kind in inspect.getmembers(client_exceptions, inspect.isclass)
        if issubclass(kind, aiohttp.ClientError)
    }
    assert {name: JUDGED.get(name) for name in known} == known


def test_a_secret_shows_in_no_repr_and_is_sent_as_it_is() -> None:
    secret = Secret("sk_live_1")
    assert "sk_live_1" not in f"{secret!r} {[secret]} { ({'Authorization': secret}) }"
    assert f"{secret}" == "sk_live_1"


@pytest.mark.parametrize("announced", [True, False])
async def test_an_answer_beyond_the_size_cap_is_refused_and_not_asked_for_again(
    fake: FakeFlora, flora: FloraSession, announced: bool
) -> None:
    fake.inject(Oversize(ResponseLimits().page + 1, announce=announced), on="history", times=None)
    with pytest.raises(DecodeError, match="more than 8,388,608 bytes") as caught:
        await flora.techniques.runs.list()
    assert len(fake.requests) == 1
    assert caught.value.request_id == fake.requests[0].request_id


async def test_an_answer_of_just_the_size_cap_is_read(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Oversize(ResponseLimits().page), on="history")
    assert len(await flora.request("GET", "/technique-runs")) == ResponseLimits().page - 2


@pytest.mark.parametrize("where", ["before", "body"])
async def test_the_timeout_covers_the_whole_answer_and_its_body(
    fake: FakeFlora, session_on: OpenSession, where: Any
) -> None:
    fake.inject(Slow(30, where=where), on="history", times=None)
    with pytest.raises(APITimeoutError) as caught:
        await session_on(fake, timeout=0.05, retry=ONCE).techniques.runs.list()
    assert caught.value.timeout == 0.05
    assert isinstance(caught.value, TimeoutError)


async def test_no_timeout_waits_for_a_slow_answer(fake: FakeFlora, session_on: OpenSession) -> None:
    fake.inject(Slow(0.05, where="body"), on="history")
    assert not (await session_on(fake, timeout=None, retry=ONCE).techniques.runs.list()).items


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_refused_with_a_remedy_and_the_key_stays_here(fake: FakeFlora, status: int) -> None:
    async with FakeFlora() as elsewhere, FloraSession(fake.api_key, base_url=fake.base_url) as flora:
        fake.inject(Redirect(f"{elsewhere.base_url}/technique-runs", status=status), times=None)
        with pytest.raises(APIStatusError, match="Correct base_url") as listed:
            await flora.techniques.runs.list()
        with pytest.raises(APIStatusError) as started:
            await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
        assert listed.value.status == started.value.status == status
        assert not elsewhere.requests
        assert len(fake.requests) == 2


@pytest.mark.parametrize("fault", [Drop(acts=True), Truncate()], ids=repr)
async def test_a_cut_connection_is_one_error_with_its_cause(
    fake: FakeFlora, session_on: OpenSession, fault: Any
) -> None:
    # aiohttp itself asks a second time when a kept-alive connection turns out to be dead.
    fake.inject(fault, on="history", times=None)
    with pytest.raises(APIConnectionError) as caught:
        await session_on(fake, retry=ONCE).techniques.runs.list()
    assert isinstance(caught.value.__cause__, aiohttp.ClientError)
    assert caught.value.sent


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def raw_answer() -> AsyncIterator[Callable[[bytes], Awaitable[FloraSession]]]:
    """A server that answers anything with the same bytes, and a session on it."""
    opened: list[tuple[asyncio.Server, FloraSession]] = []

    async def serve(answer: bytes) -> FloraSession:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        flora = FloraSession("sk_test_1", base_url=f"http://127.0.0.1:{port}", retry=ONCE)
        opened.append((server, flora))
        return flora

    yield serve
    for server, flora in opened:
        await flora.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 999999 What\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n{}",
    ],
    ids=lambda answer: str(answer[:60]),
)
async def test_nonsense_on_the_wire_becomes_a_connection_error(
    raw_answer: Callable[[bytes], Awaitable[FloraSession]], answer: bytes
) -> None:
    flora = await raw_answer(answer)
    with pytest.raises(APIConnectionError) as caught:
        await flora.request("GET", "/models")
    assert caught.value.sent
    assert len(str(caught.value)) <= 200


async def test_a_connection_that_is_refused_was_never_sent() -> None:
    async with FloraSession("sk_test_1", base_url="http://127.0.0.1:9", retry=ONCE) as flora:
        with pytest.raises(APIConnectionError, match="GET /models failed") as caught:
            await flora.request("GET", "/models")
    assert not caught.value.sent


async def test_a_start_that_waits_in_vain_for_a_connection_was_never_sent_and_may_be_tried_again(
    fake: FakeFlora, session_on: OpenSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flora_async")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
        flora = session_on(fake, http_session=http, timeout=1.0, retry=RetryPolicy(attempts=None, initial=0.001))
        fake.inject(Slow(30, where="body"), on="history")
        async with http.get(f"{fake.base_url}/technique-runs", headers={"Authorization": f"Bearer {fake.api_key}"}):
            # That answer holds the only connection.
            start = asyncio.create_task(flora.techniques.runs.create("cctv-cam", inputs=IMAGE))
            while "failed with APITimeoutError on attempt 1" not in caplog.text:
                await asyncio.sleep(0.01)
            assert not fake.runs
        run = await start
    assert [started.run_id for started in fake.runs] == [run.run_id]


async def test_compressed_answers_are_read(raw_answer: Callable[[bytes], Awaitable[FloraSession]]) -> None:
    import gzip  # noqa: PLC0415 - for this test alone

    body = gzip.compress(b'{"models": []}')
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    flora = await raw_answer(head + body)
    assert await flora.request("GET", "/models") == {"models": []}


async def test_a_compressed_bomb_is_stopped_at_the_size_cap(
    raw_answer: Callable[[bytes], Awaitable[FloraSession]],
) -> None:
    import gzip  # noqa: PLC0415 - for this test alone

    body = gzip.compress(b"0" * (ResponseLimits().page * 2))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    flora = await raw_answer(head + body)
    with pytest.raises(DecodeError, match="more than 8,388,608 bytes"):
        await flora.request("GET", "/models")


async def test_an_answer_that_is_cut_after_its_headers_keeps_its_request_id(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    flora = session_on(fake, retry=ONCE, timeout=0.2)
    for fault in (Truncate(), Slow(30, where="body")):
        fake.inject(fault, on="history")
        with pytest.raises(APIConnectionError) as caught:
            await flora.techniques.runs.list()
        assert caught.value.request_id == fake.requests[-1].request_id


async def test_a_server_that_echoes_the_key_does_not_get_it_into_an_error(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Status(400, message=f"bad key {fake.api_key}"), on="history")
    with pytest.raises(APIStatusError, match="bad key") as caught:
        await flora.techniques.runs.list()
    assert fake.api_key not in f"{caught.value} {vars(caught.value)}"


async def test_a_borrowed_sessions_own_headers_do_not_change_what_is_sent(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    async with aiohttp.ClientSession(headers={"Content-Type": "text/plain"}) as http:
        await session_on(fake, http_session=http).techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert fake.requests[0].headers["Content-Type"] == "application/json"


async def test_headers_of_proxies_may_be_long() -> None:
    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(RUN, Content_Security_Policy="x" * 60_000))

    async with raw_flora(serve) as url, FloraSession("sk_test_1", base_url=url) as flora:
        assert (await flora.techniques.runs.create("caption", inputs={"prompt": "x"})).run_id == "run_1"
