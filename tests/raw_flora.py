"""A server that answers with any bytes, on loopback, for what `FakeFlora` is too well-behaved to do."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

RUN = {"run_id": "run_1", "status": "completed"}
Serve = Callable[[bytes, bytes, asyncio.StreamWriter], Awaitable[None]]


def answer(body: Any, status: int = 200, **headers: str) -> bytes:
    """A response as bytes; header names are written with underscores."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {
        "Content-Length": str(len(content)),
        "request-id": "req_1",
        **{k.replace("_", "-"): headers[k] for k in headers},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + content


@asynccontextmanager
async def raw_flora(serve: Serve) -> AsyncGenerator[str, None]:
    """The base URL of a server that calls `serve` with the head and body of each request, and the writer."""
    writers: list[asyncio.StreamWriter] = []
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if task := asyncio.current_task():
            tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
                await serve(head, await reader.readexactly(int(length or 0)), writer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
        if tasks:
            await asyncio.wait(tasks, timeout=1)
