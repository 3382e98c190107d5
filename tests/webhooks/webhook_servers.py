"""Real servers of both kinds that serve a webhook receiver."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from aiohttp import web
from uvicorn_server import served_by_uvicorn

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
    async with served_by_uvicorn(receiver) as origin:
        yield f"{origin}/flora"


SERVERS: dict[str, Serve] = {"aiohttp": on_aiohttp, "uvicorn": on_uvicorn}
