"""The servers that `fan_out.py` talks to, and processes for everything."""

import asyncio
import json
import math
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple

from flora_async.testing import FakeFlora, FakeTechnique

KEY: Final = "sk_live_benchmark"
TECHNIQUE: Final = "poster"
CONTEXT: Final = multiprocessing.get_context("spawn")


class Load(NamedTuple):
    """What an arm has to do. Seconds are FLORA's own, which pass `speed` times as fast here."""

    runs: int
    concurrency: int
    median: float
    sigma: float
    speed: float
    seed: int


class Served(NamedTuple):
    """What a server has seen: requests by kind, its CPU seconds, and the mean and longest run in FLORA's seconds."""

    requests: Counter[str]
    cpu: float
    mean: float
    longest: float


def serve_flora(pipe: Connection, load: Load) -> None:
    """Serve one arm: the base URL is sent once connections are accepted; any answer asks for what was `Served`."""
    asyncio.run(_serve_flora(pipe, load))


async def _serve_flora(pipe: Connection, load: Load) -> None:
    lengths: list[float] = []
    draw = random.Random(load.seed)

    def running() -> float:
        lengths.append(draw.lognormvariate(math.log(load.median), load.sigma))
        return lengths[-1] / load.speed

    technique = FakeTechnique(TECHNIQUE, pending=0, running=running)
    async with FakeFlora(api_key=KEY, techniques=[technique]) as fake:
        cpu = time.process_time()
        pipe.send(fake.base_url)
        await asyncio.to_thread(pipe.recv)
        cpu = time.process_time() - cpu
        requests: Counter[str] = Counter(request.operation for request in fake.requests)
        pipe.send(Served(requests, cpu, sum(lengths) / len(lengths), max(lengths)))


class Completed(asyncio.Protocol):
    """Answers each request with a run of its own that has completed."""

    started = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        if not end or len(rest) < length:
            return
        self._received = rest[length:]
        Completed.started += 1
        number, now = Completed.started, time.time_ns() // 1_000_000
        run = {
            "runId": f"run_{number}",
            "status": "completed",
            "progress": 100,
            "createdAt": now - 25_000 - number % 1000,
            "startedAt": now - 25_000,
            "completedAt": now,
            "chargedCost": 0.05,
            "outputs": [{"outputId": "image", "type": "imageUrl", "url": f"https://example.com/{number}.png"}],
        }
        body = json.dumps(run).encode()
        header = f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(header.encode() + body)


def serve_completed(pipe: Connection) -> None:
    """Serve until the process is ended; the base URL is sent once connections are accepted."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Completed, "127.0.0.1", 0)
        pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1")
        await server.serve_forever()

    asyncio.run(main())


@contextmanager
def server(target: Callable[..., None], *arguments: object) -> Iterator[tuple[str, Connection]]:
    """Give what a server sends first, its base URL, and the pipe to it."""
    mine, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()  # so that a server that cannot start is an error here, not silence
    try:
        yield mine.recv(), mine
    finally:
        process.terminate()
        process.join()


def apart(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in a new process."""
    with ProcessPoolExecutor(1, CONTEXT) as pool:
        return pool.submit(function, *arguments).result()
