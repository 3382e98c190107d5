"""A server socket on loopback that closes without leaving tasks or connections behind."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

HOST: Final = "127.0.0.1"

_SHUTDOWN_TIMEOUT = 0.1


class Listener:
    """A server that can be opened again at the same address.

    Args:
        serve: Answers a request.
        port: The port, 0 for a free one.
        max_bytes: The maximum size of a request body.
    """

    def __init__(
        self, serve: Callable[[web.Request], Awaitable[web.StreamResponse]], port: int, max_bytes: int
    ) -> None:
        self._serve = serve
        self._port = port
        self._max_bytes = max_bytes
        self._runner: web.AppRunner | None = None
        self._handlers: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether it accepts connections."""
        return self._runner is not None

    async def open(self) -> str:
        """Accept connections and return the origin.

        Raises:
            OSError: The port is in use.
        """
        app = web.Application(client_max_size=self._max_bytes)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_shutdown.append(self._cancel_handlers)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self._port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = runner.addresses[0][1]
        return f"http://{HOST}:{self._port}"

    async def close(self) -> None:
        """Close every connection and cancel the requests on them."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _cancel_handlers(self, _: web.Application) -> None:
        # aiohttp would wait for these handlers, and it loses track of those whose client has disconnected.
        handlers = list(self._handlers)
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._handlers.add(request.task)
        try:
            return await self._serve(request)
        finally:
            self._handlers.discard(request.task)
