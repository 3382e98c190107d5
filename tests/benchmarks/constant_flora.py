"""The server that `poll_cost.py` polls: constant bytes for every GET, as fast as asyncio can."""

import asyncio
import gc
import json
import socket
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any, Final

RUN_ID: Final = "run_0f8fad5bd9cb469fa16570867728950e"  # the one run that every answer is about
TECHNIQUE: Final = "cctv-cam"
# Runs whose id starts with this are completed at their last look; all others run for ever.
ENDING: Final = "run_ending"
LOOKS: Final = 3


class FloraProtocol(asyncio.Protocol):
    def __init__(self, running: bytes, completed: bytes, looks: Counter[bytes]) -> None:
        self._running = running
        self._completed = completed
        self._looks = looks
        self._rest = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for request in requests:
            run_id = request.split(b" ", 2)[1].rpartition(b"/")[2]
            self._transport.write(self._completed if self._is_last_look(run_id) else self._running)

    def _is_last_look(self, run_id: bytes) -> bool:
        if not run_id.startswith(ENDING.encode()):
            return False
        self._looks[run_id] += 1
        return self._looks[run_id] == LOOKS


def base_url(port: int) -> str:
    return f"http://127.0.0.1:{port}/api/v1"


def answer(port: int, status: str) -> bytes:
    run = {
        "runId": RUN_ID,
        "status": status,
        "progress": 42.5,
        "createdAt": 1767225600123,
        "startedAt": 1767225602456,
        "pollUrl": f"{base_url(port)}/techniques/{TECHNIQUE}/runs/{RUN_ID}",
    }
    body = json.dumps(run).encode()
    head = (
        "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nrequest-id: req_7c9e6679f0ae4bb0b5d0a1f1a1b2c3d4\r\n"
        "Cache-Control: private, no-store\r\nConnection: keep-alive\r\nServer: flora\r\n\r\n"
    )
    return head.encode() + body


def serve(ready: Connection) -> None:
    """Serve until the process is ended; the port is sent once connections are accepted."""

    async def main() -> None:
        listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        port = listening.getsockname()[1]
        running, completed = answer(port, "running"), answer(port, "completed")
        looks: Counter[bytes] = Counter()
        server = await asyncio.get_running_loop().create_server(
            lambda: FloraProtocol(running, completed, looks), sock=listening
        )
        ready.send(port)
        await server.serve_forever()

    gc.disable()
    asyncio.run(main())
