"""Requests and delays of a batch against FLORA's own recipe, on virtual time, where a request takes none.

    python tests/benchmarks/fan_out_virtual.py [--rows N] [--concurrency N] [--median S] [--sigma X]

Both ways take the same runs through the same local FLORA, in real code over real sockets: `gather`, with a bare aiohttp
loop that polls each run every 2 s, and a batch that reads the history. Minutes pass in seconds, and nothing depends on
the machine, so the figures are the same everywhere. Nothing here fails: a benchmark reports.
"""

import argparse
import asyncio
import math
import random
import sys
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from virtual_loop import LoopClock, run_virtually

from flora_async import FloraSession
from flora_async.testing import FakeFlora, FakeTechnique

SLUG: Final = "poster"
INTERVAL: Final = 2.0  # seconds, as in FLORA's recipe
LAG: Final = 1.0  # seconds until a new run is in the history


class Load(NamedTuple):
    rows: int
    concurrency: int
    median: float
    sigma: float


class Outcome(NamedTuple):
    """Requests other than starts, and the seconds from the end of each run to its result."""

    requests: int
    delays: list[float]

    def __str__(self) -> str:
        ranked = sorted(self.delays)
        middle, late = ranked[len(ranked) // 2], ranked[int(0.95 * len(ranked))]
        return f"{self.requests:>8,}{fmean(ranked):>9.2f}{middle:>8.2f}{late:>8.2f}"


async def recipe(fake: FakeFlora, clock: LoopClock, load: Load) -> list[float]:
    slots, headers = asyncio.Semaphore(load.concurrency), {"Authorization": f"Bearer {fake.api_key}"}
    url = f"{fake.base_url}/techniques/{SLUG}/runs"

    async def follow(http: aiohttp.ClientSession, prompt: str) -> float:
        async with slots:
            body = {"inputs": [{"id": "prompt", "type": "text", "value": prompt}], "mode": "async"}
            async with http.post(url, json=body) as answer:
                run: dict[str, Any] = await answer.json()
            while run["status"] not in {"completed", "failed"}:
                await asyncio.sleep(INTERVAL)
                async with http.get(f"{url}/{run['runId']}") as answer:
                    run = await answer.json()
            return clock.time() - float(run["completedAt"]) / 1000

    async with aiohttp.ClientSession(headers=headers) as http:
        return await asyncio.gather(*(follow(http, f"row {number}") for number in range(load.rows)))


async def batch(fake: FakeFlora, clock: LoopClock, load: Load) -> list[float]:
    rows = ({"prompt": f"row {number}"} for number in range(load.rows))
    async with (
        FloraSession(fake.api_key, base_url=fake.base_url, clock=clock) as flora,
        flora.batch(SLUG, rows, concurrency=load.concurrency) as results,
    ):
        return [
            clock.time() - result.run.completed_at.timestamp()
            async for result in results
            if result.run is not None and result.run.completed_at is not None
        ]


async def measure(way: Any, load: Load) -> Outcome:
    clock, dice = LoopClock(), random.Random(1)
    async with FakeFlora(clock=clock, history_lag=LAG) as fake:
        mean = math.log(load.median)
        fake.add_technique(FakeTechnique(SLUG, pending=0, running=lambda: dice.lognormvariate(mean, load.sigma)))
        delays = await way(fake, clock, load)
        return Outcome(len(fake.requests) - len(fake.runs), delays)


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--median", type=float, default=60.0, help="seconds that a run takes")
    parser.add_argument("--sigma", type=float, default=0.5, help="their spread, as of a log-normal distribution")
    load = Load(**vars(parser.parse_args()))
    say(f"{'':<20}{'requests':>8}{'delay s':>9}{'p50 s':>8}{'p95 s':>8}")
    recipes = run_virtually(measure(recipe, load))
    say(f"{'gather, every 2 s':<20}{recipes}")
    batches = run_virtually(measure(batch, load))
    say(f"{'a batch':<20}{batches}")
    say(f"{recipes.requests / batches.requests:.1f} times fewer requests, without the starts (goal: 20)")


if __name__ == "__main__":
    main()
