"""A small and quick FLORA with a hard rate limit, which counts what it accepts and refuses."""

import asyncio
import json
import math
import random
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

SLUG: Final = "poster"
_TECHNIQUE: Final = {
    "technique_id": "tech_1",
    "slug": SLUG,
    "name": "Poster",
    "inputs": [{"id": "prompt", "name": "Prompt", "type": "text"}],
    "outputs": [],
}


class Limiter(Protocol):
    """Decides about each request; the limit, in requests a second, may change in between."""

    def accepts(self, now: float, limit: float) -> bool: ...


class FixedWindow:
    """Counts within each whole second."""

    def __init__(self) -> None:
        self._window, self._count = -1, 0

    def accepts(self, now: float, limit: float) -> bool:
        if self._window != int(now):
            self._window, self._count = int(now), 0
        if self._count >= limit:
            return False
        self._count += 1
        return True


class SlidingWindow:
    """Counts within the second before each request."""

    def __init__(self) -> None:
        self._accepted: deque[float] = deque()

    def accepts(self, now: float, limit: float) -> bool:
        while self._accepted and now - self._accepted[0] >= 1 - 1e-9:
            self._accepted.popleft()
        if len(self._accepted) >= limit:
            return False
        self._accepted.append(now)
        return True


class TokenBucket:
    """Holds the tokens of one second."""

    def __init__(self) -> None:
        self._tokens, self._at = math.inf, 0.0

    def accepts(self, now: float, limit: float) -> bool:
        self._tokens = min(self._tokens + (now - self._at) * limit, limit)
        self._at = now
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True


LIMITERS: Final[dict[str, Callable[[], Limiter]]] = {
    "fixed window": FixedWindow,
    "sliding window": SlidingWindow,
    "token bucket": TokenBucket,
}


class LimitedFlora:
    """Technique runs behind a limit, on the time of the running loop.

    Args:
        limiter: What limits.
        limit: Requests a second, or a function of the seconds since the first request.
        retry_after: The header of a 429; None = there is none.
        median: Seconds that a run takes.
        sigma: Their spread, as of a log-normal distribution.
        latency: Seconds until a request is answered.
    """

    def __init__(  # noqa: PLR0913 - the parts of a measurement
        self,
        limiter: Limiter,
        limit: float | Callable[[float], float],
        *,
        retry_after: float | None,
        median: float = 5.0,
        sigma: float = 0.2,
        latency: float = 0.05,
    ) -> None:
        self._limiter = limiter
        self._limit = limit if callable(limit) else lambda _: limit
        self._retry_after = retry_after
        self._median, self._sigma, self.latency = median, sigma, latency
        self._draw = random.Random(1)
        self._runs: list[tuple[float, float]] = []  # when each was started, and when it ends
        self.accepted: list[tuple[float, str]] = []
        self.refused: list[tuple[float, str]] = []

    @property
    def first_at(self) -> float:
        return min(self.accepted + self.refused)[0]

    @property
    def last_start_at(self) -> float:
        return max(moment for moment, kind in self.accepted if kind == "start")

    def reached(self, since: float = 0.0, until: float = math.inf) -> float:
        """The share of the limit that was accepted, from `since` seconds after the first request to the last start."""
        began, ended = self.first_at + since, min(self.last_start_at, self.first_at + until)
        accepted = sum(began <= moment <= ended for moment, _ in self.accepted)
        steps = 1000
        mean = sum(self._limit((began - self.first_at) + (ended - began) * (i + 0.5) / steps) for i in range(steps))
        return accepted / (mean / steps * (ended - began))

    @property
    def refused_share(self) -> float:
        return len(self.refused) / (len(self.accepted) + len(self.refused))

    @property
    def requests(self) -> Counter[str]:
        return Counter(kind for _, kind in self.accepted)

    def answer(self, method: str, target: str) -> tuple[int, dict[str, Any]]:
        now = asyncio.get_running_loop().time()
        parts = urlsplit(target)
        kind = "start" if method == "POST" else "history" if parts.path.endswith("/technique-runs") else "poll"
        elapsed = now - self.first_at if self.accepted or self.refused else 0.0
        if not self._limiter.accepts(now, self._limit(elapsed)):
            self.refused.append((now, kind))
            return 429, {"error": {"code": "rate_limited", "message": "Too many requests."}}
        self.accepted.append((now, kind))
        if kind == "start":
            self._runs.append((now, now + self._draw.lognormvariate(math.log(self._median), self._sigma)))
            return 201, self._run(len(self._runs) - 1, now)
        if kind == "history":
            return 200, self._page({name: values[0] for name, values in parse_qs(parts.query).items()}, now)
        if "/runs/" in parts.path:
            return 200, self._run(int(parts.path.rpartition("_")[2]), now)
        return 200, _TECHNIQUE

    def _page(self, query: dict[str, str], now: float) -> dict[str, Any]:
        end = int(query.get("cursor", len(self._runs)))
        begin = max(end - int(query.get("limit", 20)), 0)
        runs = [
            {**self._run(number, now), "technique_run_id": f"tr_{number}", "technique": {"technique_id": "tech_1"}}
            for number in range(end - 1, begin - 1, -1)
        ]
        return {"technique_runs": runs, "meta": {"next_cursor": str(begin) if begin else None}}

    def _run(self, number: int, now: float) -> dict[str, Any]:
        created, ends = self._runs[number]
        run = {"run_id": f"run_{number}", "status": "running", "progress": 0, "created_at": 1_780_000_000 + created}
        if now < ends:
            return run
        outputs = [{"output_id": "image", "type": "imageUrl", "url": f"https://example.com/{number}.png"}]
        return {**run, "status": "completed", "progress": 100, "outputs": outputs, "charged_cost": 0.01}

    def headers(self, status: int) -> str:
        limited = status == 429 and self._retry_after is not None
        return f"Retry-After: {self._retry_after:g}\r\n" if limited else ""


class _Connection(asyncio.Protocol):
    """Answers the requests of one connection, one after the other."""

    def __init__(self, flora: LimitedFlora) -> None:
        self._flora = flora
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if not end or len(rest) < length:
            return
        self._received = rest[length:]
        method, target, _ = head.decode().split(" ", 2)
        status, payload = self._flora.answer(method, target)
        body = json.dumps(payload).encode()
        lines = (
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nrequest-id: req_1\r\n"
            f"{self._flora.headers(status)}Content-Length: {len(body)}\r\n\r\n"
        )
        asyncio.get_running_loop().call_later(self._flora.latency, self._write, lines.encode() + body)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


@asynccontextmanager
async def serving(flora: LimitedFlora) -> AsyncGenerator[str, None]:
    """The base URL of the server."""
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(flora), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"
    finally:
        server.close()
