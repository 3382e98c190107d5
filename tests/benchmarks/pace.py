"""What share of a hard rate limit a session reaches, and what share of the answers is 429.

    python tests/benchmarks/pace.py [--quick] [--rows N]

A server on loopback accepts N requests a second. 500 rows go through `flora.batch`, 500 runs through a plain `gather`
of `flora.run`, and 500 through a client that knows N and paces itself by it: a token bucket around aiohttp. Everything
runs for real but on virtual time, so that minutes take seconds. The share of N counts from the first request to the
last start, pauses included. Nothing here fails: a benchmark reports.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from limited_flora import LIMITERS, SLUG, LimitedFlora, serving
from virtual_loop import LoopClock, run_virtually

from flora_async import FloraSession, RateLimitError

KEY: Final = "sk_live_benchmark"
INTERVAL: Final = 2.0  # seconds between polls of the client that knows N, as in FLORA's own recipe


class Case(NamedTuple):
    """What limits: requests a second, by which limiter, and the `Retry-After` of a 429; None = no header."""

    limit: float
    limiter: str
    retry_after: float | None


class Paced(NamedTuple):
    """What came of it: the shares of N and of 429, errors for a 429, and virtual seconds until the last start."""

    reached: float
    refused: float
    errors: int
    seconds: float


Way = Callable[[str, float, int], Awaitable[int]]


async def batch(url: str, _: float, rows: int) -> int:
    async with FloraSession(KEY, base_url=url, clock=LoopClock()) as flora:
        results = await flora.run_all(SLUG, [{"prompt": f"row {number}"} for number in range(rows)], concurrency=rows)
    return sum(isinstance(result.error, RateLimitError) for result in results)


async def gather(url: str, _: float, rows: int) -> int:
    async with FloraSession(KEY, base_url=url, clock=LoopClock()) as flora:
        runs = (flora.run(SLUG, inputs={"prompt": f"row {number}"}, timeout=None) for number in range(rows))
        results = await asyncio.gather(*runs, return_exceptions=True)
    return sum(isinstance(result, RateLimitError) for result in results)


async def known(url: str, limit: float, rows: int) -> int:
    """A token bucket at the limit, which the other two have to find."""
    loop = asyncio.get_running_loop()
    next_at = loop.time()
    refused = 0

    async def turn() -> None:
        nonlocal next_at
        at = next_at = max(next_at + 1 / limit, loop.time())
        await asyncio.sleep(at - loop.time())

    async def follow(number: int) -> None:
        nonlocal refused
        body = {"inputs": [{"id": "prompt", "type": "text", "value": f"row {number}"}]}
        await turn()
        async with http.post(f"{url}/techniques/{SLUG}/runs", json=body) as response:
            refused += response.status == 429
            run = await response.json()
        while run.get("status") != "completed":
            await asyncio.sleep(INTERVAL)
            await turn()
            async with http.get(f"{url}/techniques/{SLUG}/runs/{run['run_id']}") as response:
                run = await response.json()

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(follow(number) for number in range(rows)))
    return refused


WAYS: Final[dict[str, Way]] = {"batch": batch, "gather": gather, "limit known": known}


def measure(case: Case, way: Way, rows: int) -> Paced:
    async def main() -> Paced:
        flora = LimitedFlora(LIMITERS[case.limiter](), case.limit, retry_after=case.retry_after)
        async with serving(flora) as url:
            errors = await way(url, case.limit, rows)
        return Paced(flora.reached(), flora.refused_share, errors, flora.last_start_at - flora.first_at)

    return run_virtually(main())


def cases(*, quick: bool) -> Iterator[Case]:
    for limit in (20,) if quick else (5, 20, 50):
        for limiter in LIMITERS:
            for retry_after in (0, 1, 5, None):
                yield Case(limit, limiter, retry_after)


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a script prints


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="20 requests a second only")
    parser.add_argument("--rows", type=int, default=500)
    options = parser.parse_args()
    began = time.perf_counter()
    say("| N | limiter | Retry-After | " + " | ".join(f"{name}: of N, 429" for name in WAYS) + " |")
    say("|" + "---|" * (3 + len(WAYS)))
    for case in cases(quick=options.quick):
        cells = []
        for way in WAYS.values():
            paced = measure(case, way, options.rows)
            errors = f", {paced.errors} errors" if paced.errors else ""
            cells.append(f"{paced.reached:.0%}, {paced.refused:.1%}{errors} ({paced.seconds:.0f} s)")
        asked = "absent" if case.retry_after is None else f"{case.retry_after:g} s"
        say(f"| {case.limit:g} | {case.limiter} | {asked} | {' | '.join(cells)} |")
    say(f"\nmeasured in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
