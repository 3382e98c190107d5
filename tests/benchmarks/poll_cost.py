"""What a poll costs beyond a bare aiohttp GET with `json.loads`, and what a waiting run holds in memory.

    python tests/benchmarks/poll_cost.py [--quick] [--repeats N] [--polls N] [--gc]

A server in another process answers every poll with one constant run, so that the process time of this one is the
client's alone. The arms of a comparison take turns, each round in another order, and what counts is the median of the
rounds' ratios: noise of the machine that lasts longer than a round falls on both sides alike. Both sides use the same
kind of connector, cookie jar and timeout. Nothing here fails: a benchmark reports.
"""

import argparse
import asyncio
import gc
import json
import math
import multiprocessing
import os
import platform
import random
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import aiohttp
from attrs import evolve
from constant_flora import ENDING, LOOKS, RUN_ID, TECHNIQUE, base_url, serve

from flora_async import FloraSession, PollPolicy, Run, RunStatus

CPU_GOAL: Final = 1.25
MEMORY_GOAL: Final = 6 * 1024
KEY: Final = "sk_live_benchmark"
CONNECTIONS: Final = 100
JITTER: Final = 0.5
SLEEP, LOOP, WAIT, LOOKED = KINDS = (
    "bare sleep",
    "bare loop, polled once",
    "wait, not yet polled",
    "wait, polled once",
)
AN_HOUR: Final = PollPolicy(initial=3600, maximum=3600, jitter=0, timeout=None)
CONTEXT: Final = multiprocessing.get_context("spawn")


class Cost(NamedTuple):
    """Of one poll, in microseconds."""

    cpu: float
    wall: float


Poll = Callable[[], Awaitable[object]]
Arm = Callable[[], Awaitable[int]]
"""Makes some polls and says how many."""


async def take_turns(
    arms: Mapping[str, Arm], repeats: int, *, warm_up: bool = True, collect: bool
) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {name: [] for name in arms}
    for turn in range(-1 if warm_up else 0, repeats):
        names = list(arms)
        shift = turn % len(names)
        names = names[shift:] + names[:shift]
        for name in reversed(names) if turn % 2 else names:
            gc.collect()
            gc.freeze()
            if not collect:
                gc.disable()
            cpu, wall = time.process_time(), time.perf_counter()
            polls = await arms[name]()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            gc.enable()
            gc.unfreeze()
            if turn >= 0:
                costs[name].append(Cost(cpu / polls * 1e6, wall / polls * 1e6))
    return costs


def repeated(poll: Poll, polls: int, at_once: int) -> Arm:
    async def worker() -> None:
        for _ in range(polls // at_once):
            await poll()

    async def arm() -> int:
        if at_once == 1:
            await worker()
        else:
            await asyncio.gather(*(worker() for _ in range(at_once)))
        return polls // at_once * at_once

    return arm


class Client:
    """Both sides of every comparison, connected to one server."""

    def __init__(self, flora: FloraSession, bare: aiohttp.ClientSession, url: str) -> None:
        self.flora = flora
        self.bare = bare
        self.url = f"{url}/techniques/{TECHNIQUE}/runs"
        self.headers = {"Authorization": f"Bearer {KEY}"}
        self.timeout = aiohttp.ClientTimeout(total=60, sock_connect=30)
        self._batches = 0

    async def get(self, url: str) -> Any:
        async with self.bare.get(url, headers=self.headers, timeout=self.timeout) as response:
            return json.loads(await response.read())

    def polls(self) -> dict[str, Poll]:
        poll = self.flora._poller.poll_of(f"{self.url}/{RUN_ID}")
        return {
            "bare": lambda: self.get(f"{self.url}/{RUN_ID}"),
            "retrieve": lambda: self.flora.techniques.runs.retrieve(RUN_ID, technique_id=TECHNIQUE),
            "poll": lambda: poll(math.inf),
        }

    def waits(self, count: int, pause: float) -> dict[str, Arm]:
        policy = PollPolicy(initial=pause, multiplier=1, maximum=pause, jitter=JITTER, timeout=None)

        async def loop(url: str) -> None:
            run: Any = {}
            while run.get("status") not in {"completed", "failed"}:
                await asyncio.sleep(pause * (1 + JITTER * (2 * random.random() - 1)))
                run = await self.get(url)

        def urls() -> list[str]:
            self._batches += 1
            return [f"{self.url}/{ENDING}_{self._batches}_{number}" for number in range(count)]

        async def bare() -> int:
            await asyncio.gather(*(loop(url) for url in urls()))
            return count * LOOKS

        async def waits() -> int:
            runs = [Run(run_id=RUN_ID, status=RunStatus.PENDING, poll_url=url) for url in urls()]
            await asyncio.gather(*(self.flora.wait_for_run(run, poll=policy) for run in runs))
            return count * LOOKS

        return {"bare": bare, "wait_for_run": waits}

    async def asleep(self, kind: str, urls: Sequence[str]) -> list["asyncio.Task[Any]"]:
        """Start one sleeper of a kind for each URL, and return once all are asleep."""
        all_looked, looks = asyncio.Event(), 0

        def looked(_: object) -> None:
            nonlocal looks
            looks += 1
            if looks == len(urls):
                all_looked.set()

        async def loop(url: str) -> None:
            while True:
                run = await self.get(url)
                looked(run)
                await asyncio.sleep(3600)

        run = Run(run_id=RUN_ID, status=RunStatus.RUNNING)
        kinds: dict[str, Callable[[str], Any]] = {
            SLEEP: lambda _: asyncio.sleep(3600),
            LOOP: loop,
            WAIT: lambda url: self.flora.wait_for_run(evolve(run, poll_url=url), poll=AN_HOUR),
            LOOKED: lambda url: self.flora.wait_for_run(url, poll=AN_HOUR, on_update=looked),
        }
        tasks = [asyncio.create_task(kinds[kind](url)) for url in urls]
        if kind in {LOOP, LOOKED}:
            await all_looked.wait()
        await asyncio.sleep(0.5)
        return tasks


async def connect(stack: AsyncExitStack, port: int) -> Client:
    flora = await stack.enter_async_context(
        FloraSession(KEY, base_url=base_url(port), max_connections=CONNECTIONS, timeout=60)
    )
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    bare = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    return Client(flora, await stack.enter_async_context(bare), base_url(port))


def memory_of(port: int, kind: str, count: int, *, trace: bool) -> float:
    """Bytes per sleeper in a process of its own: traced allocations, or else growth of the resident set."""

    async def main() -> float:
        async with AsyncExitStack() as stack:
            client = await connect(stack, port)
            urls = [f"{client.url}/run_{number}" for number in range(count)]
            for poll in client.polls().values():  # fills the pools and caches
                await repeated(poll, 2 * CONNECTIONS, CONNECTIONS)()
            gc.collect()
            if trace:
                tracemalloc.start()
            before = held(trace=trace)
            tasks = await client.asleep(kind, urls)
            gc.collect()
            grown = held(trace=trace) - before
            tracemalloc.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return grown / count

    return asyncio.run(main())


def held(*, trace: bool) -> int:
    if trace:
        return tracemalloc.get_traced_memory()[0]
    with suppress(OSError):  # only where there is a /proc
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def say(line: str = "") -> None:
    print(line, flush=True)  # noqa: T201 - a script prints


def verdict(value: float, goal: float) -> str:
    return "met" if value <= goal else "MISSED"


def report_costs(title: str, costs: Mapping[str, Sequence[Cost]]) -> None:
    say(f"\n{title}")
    say(f"  {'':<14}{'CPU µs':>9}{'wall µs':>9}{'CPU ratio':>11}{'quartiles':>14}{'wall ratio':>12}")
    bare = costs["bare"]
    for name, mine in costs.items():
        cpu, wall = median(cost.cpu for cost in mine), median(cost.wall for cost in mine)
        line = f"  {name:<14}{cpu:>9.1f}{wall:>9.1f}"
        if mine is not bare:
            ratios = sorted(cost.cpu / base.cpu for cost, base in zip(mine, bare, strict=True))
            ratio, last = median(ratios), len(ratios) - 1
            walls = median(cost.wall / base.wall for cost, base in zip(mine, bare, strict=True))
            middle = f"{ratios[last // 4]:.2f}-{ratios[last - last // 4]:.2f}"
            line += f"{ratio:>11.3f}{middle:>14}{walls:>12.3f}  goal {CPU_GOAL}: {verdict(ratio, CPU_GOAL)}"
        say(line)


async def report_cpu(port: int, options: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        client = await connect(stack, port)
        for at_once in (1, 50):
            arms = {name: repeated(poll, options.polls, at_once) for name, poll in client.polls().items()}
            costs = await take_turns(arms, options.repeats, collect=options.gc)
            report_costs(f"A poll, {at_once} at once ({options.repeats} rounds of {options.polls})", costs)
        for count in (1_000,) if options.quick else (1_000, 10_000):
            pause = count / 2_500
            repeats = max(options.repeats // (14 if count > 1_000 else 5), 2)
            costs = await take_turns(client.waits(count, pause), repeats, warm_up=False, collect=options.gc)
            report_costs(f"A poll of {count:,} waits, each every {pause:g} s ({repeats} rounds of {LOOKS})", costs)


def report_memory(port: int, options: argparse.Namespace) -> None:
    for count in (1_000,) if options.quick else (1_000, 10_000):
        say(f"\nMemory of each of {count:,} sleepers, its task and what it last saw included")
        say(f"  {'':<30}{'traced bytes':>13}{'resident bytes':>16}")
        for kind in KINDS:
            traced, resident = (measure_apart(port, kind, count, trace=trace) for trace in (True, False))
            goal = "" if kind.startswith("bare") else f"  goal {MEMORY_GOAL}: {verdict(traced, MEMORY_GOAL)}"
            say(f"  {kind:<30}{traced:>13.0f}{resident:>16.0f}{goal}")


def measure_apart(port: int, kind: str, count: int, *, trace: bool) -> float:
    with ProcessPoolExecutor(1, CONTEXT) as pool:
        return pool.submit(memory_of, port, kind, count, trace=trace).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=41, help="rounds of each comparison (default: %(default)s)")
    parser.add_argument("--polls", type=int, default=200, help="polls of each arm in a round (default: %(default)s)")
    parser.add_argument("--gc", action="store_true", help="leave the garbage collector on in both arms")
    parser.add_argument("--quick", action="store_true", help="9 rounds and 1,000 waits only")
    options = parser.parse_args()
    options.repeats = 9 if options.quick else options.repeats
    say(
        f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}, {os.cpu_count()} CPUs, {platform.system()}"
        f" {platform.machine()}; garbage collector {'on' if options.gc else 'off'}"
    )
    receiver, sender = CONTEXT.Pipe(duplex=False)
    server = CONTEXT.Process(target=serve, args=(sender,), daemon=True)
    server.start()
    sender.close()  # so that a server that cannot start is an error here, not silence
    try:
        port = receiver.recv()
        asyncio.run(report_cpu(port, options))
        report_memory(port, options)
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
