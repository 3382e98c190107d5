"""Hosts of files are judged by the addresses that are connected to, and each of their responses has an end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from conftest import SWIFT_RETRY
from hypothesis import given
from hypothesis import strategies as st

from flora_async import APIStatusError, APITimeoutError, DownloadError, FloraSession, RetryPolicy, UntrustedURLError
from flora_async._http.addresses import AddressRefusedError, is_public
from flora_async._http.bodies import File
from flora_async._http.resolver import GuardedResolver
from flora_async.media.content import read_content

KEY = "sk_test_never_to_be_seen"
PUBLIC = ["8.8.8.8", "2606:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "2002:808:808::1"]
REFUSED = {
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.7", "172.16.0.1", "192.168.1.1", "fd00::1", "fec0::1"],
    "link-local": ["169.254.169.254", "fe80::1", "fe80::1%eth0"],
    "shared": ["100.64.0.1"],
    "unspecified": ["0.0.0.0", "::"],  # noqa: S104 - nothing binds to it
    "multicast": ["224.0.0.1", "239.1.1.1", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "192.0.2.1", "2001:db8::1", "3fff::1", "4000::1", "2001::1"],
    "special": ["192.0.0.8", "192.88.99.1", "198.18.0.1", "::ffff:192.88.99.1"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.7", "::127.0.0.1", "::ffff:0:127.0.0.1"],
    "NAT64": ["64:ff9b::a9fe:a9fe", "64:ff9b::127.0.0.1", "64:ff9b:1::8.8.8.8"],
    "6to4": ["2002:7f00:1::1", "2002:a00:7::1"],
}


class Names(AbstractResolver):
    """Resolves names as a table says."""

    def __init__(self, table: Mapping[str, Sequence[str]]) -> None:
        self._table = table

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        del family
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._table[host]
        ]

    async def close(self) -> None: ...


Respond = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def a_file(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 5\r\nConnection: close\r\n\r\nbytes")


@asynccontextmanager
async def listening(respond: Respond = a_file) -> AsyncIterator[tuple[int, list[None]]]:
    """A server on loopback: its port, and one entry for each connection that it gets."""
    connections: list[None] = []
    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(None)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                await respond(reader, writer)
                await writer.drain()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(
        lambda reader, writer: serving.append(asyncio.create_task(serve(reader, writer))), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1], connections
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


@asynccontextmanager
async def session_with(
    table: Mapping[str, Sequence[str]], base_url: str, **options: Any
) -> AsyncIterator[FloraSession]:
    """A session that looks names up in a table."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Names(table))) as http,
        FloraSession(KEY, base_url=base_url, http_session=http, retry=SWIFT_RETRY, **options) as flora,
    ):
        yield flora


def test_public_addresses_are_public() -> None:
    assert [address for address in PUBLIC if not is_public(address)] == []


@pytest.mark.parametrize("kind", REFUSED)
def test_addresses_that_are_not_public_are_found_in_every_form(kind: str) -> None:
    assert [address for address in REFUSED[kind] if is_public(address)] == []


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_every_form(address: Any) -> None:
    packed = int(address)
    forms = [f"::ffff:{address}", f"64:ff9b::{address}", f"2002:{packed >> 16:x}:{packed & 0xFFFF:x}::1"]
    assert {is_public(form) for form in forms} == {is_public(str(address))}


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_public_name_leads_to_no_address_that_is_not(kind: str, tmp_path: Path) -> None:
    async with listening() as (port, connections):
        for address in REFUSED[kind]:
            async with session_with({"media.example": [address]}, "https://flora.example") as flora:
                url = f"https://media.example:{port}/out.png"
                with pytest.raises(
                    UntrustedURLError, match=r"'media.example' resolves to .*, which is not public"
                ) as caught:
                    await flora.download(url, tmp_path / "out.png")
                assert caught.value.url == url
        assert connections == []
    assert list(tmp_path.iterdir()) == []


async def test_only_the_public_addresses_of_a_name_are_connected_to() -> None:
    resolver = GuardedResolver(lambda _, __, address: is_public(address), Names({"mixed": ["10.0.0.7", *PUBLIC]}))
    assert [result["host"] for result in await resolver.resolve("mixed", 443)] == PUBLIC
    await resolver.close()
    resolver = GuardedResolver(lambda _, __, address: is_public(address), Names({"private": ["10.0.0.7", "::1"]}))
    with pytest.raises(AddressRefusedError) as caught:
        await resolver.resolve("private", 443)
    assert caught.value.addresses == ["10.0.0.7", "::1"]


async def test_the_system_is_asked_where_no_session_is_lent() -> None:
    resolver = GuardedResolver(lambda _, __, address: is_public(address))
    with pytest.raises(AddressRefusedError):
        await resolver.resolve("localhost", 443)
    assert isinstance(resolver._resolver, ThreadedResolver)


async def test_a_redirect_to_a_name_with_a_private_address_is_not_followed(tmp_path: Path) -> None:
    async def redirect(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        location = f"https://media.example:{second}/out.png"
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())

    table = {"localhost": ["127.0.0.1"], "media.example": ["127.0.0.1"]}
    async with listening() as (second, connections), listening(redirect) as (first, _):
        async with session_with(table, "http://localhost:1") as flora:
            with pytest.raises(UntrustedURLError, match="not public"):
                await flora.download(f"http://localhost:{first}/out.png", tmp_path / "out.png")
        assert connections == []


async def test_a_file_is_not_stored_at_a_name_with_a_private_address() -> None:
    content = read_content(b"bytes", content_type="image/png")
    file = File(name="x.png", content_type="image/png", size=content.size, open=content.open)
    async with (
        listening() as (port, connections),
        session_with({"storage.example": ["127.0.0.1"]}, "https://flora.example") as flora,
    ):
        with pytest.raises(UntrustedURLError, match="not public"):
            await flora._storage.store("PUT", f"https://storage.example:{port}/x", file)
        assert connections == []


@pytest.mark.parametrize(
    ("base", "options"),
    [
        ("http://localhost:1", {}),
        ("http://flora.corp:{port}", {"allow_http": True}),
        ("https://flora.corp", {"allow_http": True, "trusted_origins": ["http://flora.corp:{port}"]}),
    ],
    ids=["local", "own origin", "trusted origin"],
)
async def test_private_hosts_that_the_caller_trusts_are_connected_to(
    base: str, options: dict[str, Any], tmp_path: Path
) -> None:
    async with listening() as (port, _):
        origins = {name: [each.format(port=port) for each in options[name]] for name in options if "origins" in name}
        table = {"localhost": ["127.0.0.1"], "flora.corp": ["127.0.0.1"]}
        host = "localhost" if "localhost" in base else "flora.corp"
        async with session_with(table, base.format(port=port), **{**options, **origins}) as flora:
            path = await flora.download(f"http://{host}:{port}/out.png", tmp_path / "out.png")
            assert path.read_bytes() == b"bytes"
            other = f"https://{host}:{port + 1 if port < 65535 else 1}/out.png"
            if host == "flora.corp":  # trust is for an origin, not for all ports of its host
                with pytest.raises(UntrustedURLError, match="not public"):
                    await flora.download(other, tmp_path / "other.png")


async def test_a_local_flora_does_not_lead_to_other_private_addresses(tmp_path: Path) -> None:
    async with session_with({"localhost": ["10.0.0.7"]}, "http://127.0.0.1:1") as flora:
        with pytest.raises(UntrustedURLError, match=r"10\.0\.0\.7, which is not public"):
            await flora.download("http://localhost:2/out.png", tmp_path / "out.png")


@pytest.mark.parametrize("by", ["environment", "argument"])
async def test_a_proxy_that_the_caller_chose_may_have_a_private_address(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening() as (port, connections):
        options: dict[str, Any] = {}
        if by == "environment":
            monkeypatch.setenv("http_proxy", f"http://proxy.corp:{port}")
            options["trust_env"] = True
        else:
            options["proxy"] = f"http://proxy.corp:{port}"
        connector = aiohttp.TCPConnector(resolver=Names({"proxy.corp": ["127.0.0.1"]}))
        origin = f"http://by-{by}.corp"
        async with (
            aiohttp.ClientSession(connector=connector, **options) as http,
            FloraSession(KEY, base_url=origin, allow_http=True, http_session=http, retry=SWIFT_RETRY) as flora,
        ):
            path = await flora.download(f"{origin}/out.png", tmp_path / "out.png")
            assert path.read_bytes() == b"bytes"
        assert len(connections) == 1


async def dribbled_head(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def endless_hints(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("respond", [dribbled_head, endless_hints], ids=lambda respond: respond.__name__)
async def test_a_head_that_never_ends_is_given_up(respond: Respond, tmp_path: Path) -> None:
    async with listening(respond) as (port, _):
        options: dict[str, Any] = {"timeout": 0.3, "retry": RetryPolicy(attempts=1)}
        async with FloraSession(KEY, base_url="http://127.0.0.1:1", **options) as flora:
            with pytest.raises(DownloadError) as caught:
                await flora.download(f"http://127.0.0.1:{port}/out.png", tmp_path / "out.png")
            assert isinstance(caught.value.__cause__, APITimeoutError)
    assert list(tmp_path.iterdir()) == []


async def test_a_refusal_whose_body_never_ends_is_a_refusal_all_the_same(tmp_path: Path) -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 60000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with listening(refuse) as (port, _):
        options: dict[str, Any] = {"timeout": 0.3, "retry": RetryPolicy(attempts=1)}
        async with FloraSession(KEY, base_url="http://127.0.0.1:1", **options) as flora:
            with pytest.raises(DownloadError) as caught:
                await flora.download(f"http://127.0.0.1:{port}/out.png", tmp_path / "out.png")
            assert isinstance(caught.value.__cause__, APIStatusError)
            assert caught.value.__cause__.status == 404
