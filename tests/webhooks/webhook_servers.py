"""Real servers of both kinds that serve a webhook receiver."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import uvicorn
from aiohttp import web

from flora_async.webhooks import WebhookReceiver

Serve = Callable[[WebhookReceiver], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def on_aiohttp(receiver: WebhookReceiver) -> AsyncIterator[str]:
    app = web.Application()
    app.add_subapp("/flora", receiver.aiohttp_app())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/flora"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def on_uvicorn(receiver: WebhookReceiver) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(receiver, port=0, lifespan="on", log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.001)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/flora"
    finally:
        server.should_exit = True
        await serving


SERVERS: dict[str, Serve] = {"aiohttp": on_aiohttp, "uvicorn": on_uvicorn}
