"""A plain HTTP client for the tests of the local FLORA."""

import asyncio
import json
from typing import Any

import aiohttp

from flora_async.testing import FakeFlora, Fault

TEXT = {"id": "prompt", "type": "text", "value": "a cat"}


def start_body(prompt: str = "a cat", **more: Any) -> dict[str, Any]:
    return {"inputs": [{"id": "prompt", "type": "text", "value": prompt}], "mode": "async", **more}


class Client:
    """A plain HTTP client of one server, which sends the key to the API only."""

    def __init__(self, fake: FakeFlora, http: aiohttp.ClientSession) -> None:
        self.fake = fake
        self.http = http

    async def send(self, method: str, path: str, **options: Any) -> tuple[aiohttp.ClientResponse, Any]:
        url = path if path.startswith("http") else self.fake.base_url + path
        headers = {"Authorization": f"Bearer {self.fake.api_key}"} if url.startswith(self.fake.origin) else {}
        headers |= options.pop("headers", {})
        async with self.http.request(method, url, headers=headers, **options) as response:
            body = await response.read()
            return response, json.loads(body) if response.content_type == "application/json" and body else body

    async def get(self, path: str, **options: Any) -> tuple[aiohttp.ClientResponse, Any]:
        return await self.send("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> tuple[aiohttp.ClientResponse, Any]:
        return await self.send("POST", path, json={} if body is None else body, **options)

    async def start(self, technique: str = "caption", **options: Any) -> tuple[aiohttp.ClientResponse, Any]:
        options = options if "data" in options else {"json": start_body(), **options}
        return await self.send("POST", f"/techniques/{technique}/runs", **options)


class Watched:
    """A fault with events for the arrival of its request and the end of its handler."""

    def __init__(self, fault: Fault | None, *, after_client_disconnects: bool = False) -> None:
        self.fault = fault
        self.after_client_disconnects = after_client_disconnects
        self.arrived = asyncio.Event()
        self.served = asyncio.Event()

    async def serve(self, exchange: Any) -> Any:
        self.arrived.set()
        try:
            while self.after_client_disconnects and exchange.request.transport is not None:
                await asyncio.sleep(0)
            return await self.fault.serve(exchange) if self.fault else exchange.send(exchange.act())
        finally:
            self.served.set()
