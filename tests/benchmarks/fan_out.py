"""What a thousand runs cost to follow: by plain `gather`, by a batch run by run, and by a batch all together.

    python tests/benchmarks/fan_out.py [--quick] [--plot FILE] [--concurrency N] [--median S] [--sigma X] [--speed X]

Each arm runs in a process of its own, against a `FakeFlora` in another, with the same run lengths in the same order.
Time passes `--speed` times as fast as at FLORA for the runs and for every policy alike; seconds of delays and wall time
are FLORA's. Then the memory of a batch over few and over many rows. Nothing here fails: a benchmark reports.
"""

import argparse
import asyncio
import gc
import os
import platform
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple

import aiohttp
from fan_out_servers import KEY, TECHNIQUE, Load, Served, apart, serve_completed, serve_flora, server

from flora_async import FloraSession, PollPolicy, Run

GATHER, EACH, LIST = ARMS = ("gather, every 2 s", "batch, each", "batch, list")
GOAL: Final = 20
FLAT: Final = 1.1
INTERVAL: Final = 2.0  # seconds between polls, as in FLORA's own recipe
TOGETHER: Final = 1.6  # seconds from one reading of the history to the next, as in a batch
MIB: Final = 1024 * 1024


class Followed(NamedTuple):
    """What an arm took: process CPU in seconds, growth of the peak resident set in bytes, and, in FLORA's seconds, the
    time from the end of each run to its result, and the wall time."""

    cpu: float
    peak: int
    delays: Sequence[float]
    wall: float


class Arm(NamedTuple):
    followed: Followed
    served: Served

    @property
    def starts(self) -> int:
        return self.served.requests["start"]

    @property
    def looks(self) -> int:
        return self.total - self.starts

    @property
    def total(self) -> int:
        return self.served.requests.total()

    @property
    def delay(self) -> float:
        return fmean(self.followed.delays)

    @property
    def p50(self) -> float:
        return self._quantile(0.5)

    @property
    def p95(self) -> float:
        return self._quantile(0.95)

    def _quantile(self, share: float) -> float:
        return sorted(self.followed.delays)[int(share * len(self.followed.delays))]


Note = Callable[[float], None]
"""Called with the Unix time in seconds at which a run ended, once its result is there."""


async def gather(url: str, load: Load, note: Note) -> None:
    """One task per run, a semaphore, and a loop around GET and sleep."""
    places = asyncio.Semaphore(load.concurrency)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:

        async def follow(row: Mapping[str, str]) -> Any:
            inputs = [{"id": name, "type": "text", "value": value} for name, value in row.items()]
            async with places:
                body = {"inputs": inputs, "mode": "async"}
                async with http.post(f"{url}/techniques/{TECHNIQUE}/runs", json=body) as response:
                    run = await response.json()
                while run["status"] not in {"completed", "failed"}:
                    await asyncio.sleep(INTERVAL / load.speed)
                    async with http.get(run["pollUrl"]) as response:
                        run = await response.json()
            note(run["completedAt"] / 1000)
            return run

        await asyncio.gather(*(follow(row) for row in rows(load.runs)))


async def each(url: str, load: Load, note: Note) -> None:
    """The default policy."""
    await batch(url, load, note, "each", PollPolicy())


async def together(url: str, load: Load, note: Note) -> None:
    """The default policy, whose maximum is more than the time between polls, and so has to give way to it here."""
    await batch(url, load, note, "list", PollPolicy(maximum=TOGETHER))


async def batch(url: str, load: Load, note: Note, watch: Any, poll: PollPolicy) -> None:
    assert poll.maximum
    assert poll.timeout
    swift = PollPolicy(
        initial=poll.initial / load.speed, maximum=poll.maximum / load.speed, timeout=poll.timeout / load.speed
    )
    async with (
        FloraSession(KEY, base_url=url, poll=swift) as flora,
        flora.batch(TECHNIQUE, rows(load.runs), concurrency=load.concurrency, watch=watch) as results,
    ):
        async for result in results:
            run = result.run
            if not isinstance(run, Run) or run.completed_at is None:
                raise TypeError(f"row {result.key} has no completed run: {result.error!r}")
            note(run.completed_at.timestamp())


WAYS: Final = {GATHER: gather, EACH: each, LIST: together}


def rows(count: int) -> Iterator[dict[str, str]]:
    for number in range(count):
        yield {"prompt": f"A poster for market {number}"}


def follow(url: str, name: str, load: Load) -> Followed:
    delays: list[float] = []

    def note(ended: float) -> None:
        delays.append((time.time() - ended) * load.speed)

    before, cpu, wall = peak_resident(), time.process_time(), time.perf_counter()
    asyncio.run(WAYS[name](url, load, note))
    wall = (time.perf_counter() - wall) * load.speed
    return Followed(time.process_time() - cpu, peak_resident() - before, delays, wall)


def memory(url: str, count: int) -> tuple[int, float]:
    """The peak of traced memory in bytes and the CPU in seconds of a batch over so many rows."""

    async def main() -> tuple[int, float]:
        async with FloraSession(KEY, base_url=url) as flora:

            async def take(count: int) -> None:
                async with flora.batch(TECHNIQUE, rows(count)) as results:
                    async for result in results:
                        assert result.ok, result.error

            await take(200)  # loads what is loaded with the first rows
            tracemalloc.start()
            await take(2_000)  # fills the pools and caches, of which the largest is of the last 1,000 runs
            gc.collect()
            tracemalloc.reset_peak()
            cpu = time.process_time()
            await take(count)
            return tracemalloc.get_traced_memory()[1], time.process_time() - cpu

    return asyncio.run(main())


def peak_resident() -> int:
    with suppress(OSError):  # only where there is a /proc
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    return 0


def measure(name: str, load: Load) -> Arm:
    with server(serve_flora, load) as (url, pipe):
        followed = apart(follow, url, name, load)
        pipe.send(None)
        return Arm(followed, pipe.recv())


def say(line: str = "") -> None:
    print(line, flush=True)  # noqa: T201 - a script prints


def verdict(*, met: bool) -> str:
    return "met" if met else "MISSED"


def report_arms(load: Load) -> dict[str, Arm]:
    say(
        f"\n{load.runs:,} runs of log-normal length, median {load.median:g} s, sigma {load.sigma:g};"
        f" at most {load.concurrency} at once; time passes {load.speed:g} times as fast"
    )
    say(
        f"  {'':<20}{'starts':>7}{'polls':>8}{'total':>8}{'CPU s':>8}{'peak MiB':>10}"
        f"{'delay s':>9}{'p50 s':>7}{'p95 s':>7}{'wall s':>8}{'server CPU':>12}"
    )
    arms: dict[str, Arm] = {}
    for name in ARMS:
        arm = arms[name] = measure(name, load)
        mine, served = arm.followed, arm.served
        busy = served.cpu * load.speed / mine.wall
        say(
            f"  {name:<20}{arm.starts:>7,}{arm.looks:>8,}{arm.total:>8,}{mine.cpu:>8.1f}{mine.peak / MIB:>10.1f}"
            f"{arm.delay:>9.2f}{arm.p50:>7.2f}{arm.p95:>7.2f}{mine.wall:>8.0f}{busy:>12.0%}"
        )
    bare, listed = arms[GATHER], arms[LIST]
    looks, total = bare.looks / listed.looks, bare.total / listed.total
    say(f"  A run took {bare.served.mean:.0f} s on average, {bare.served.longest:.0f} s at most. Last against first:")
    say(f"  {'fewer requests':<20}{looks:>7.1f} times  goal {GOAL}, all but the starts: {verdict(met=looks >= GOAL)}")
    say(f"  {'':<20}{total:>7.1f} times  with the starts, which are the same in all")
    news = {"mean": (listed.delay, bare.delay), "median": (listed.p50, bare.p50), "95 %": (listed.p95, bare.p95)}
    for name, (ours, theirs) in news.items():
        say(f"  {f'later news, {name}':<20}{ours - theirs:>+7.2f} s      goal 0: {verdict(met=ours <= theirs)}")
    return arms


def report_memory(counts: Sequence[int]) -> None:
    say("\nPeak of traced memory over a batch whose runs end at once, at most 16 at a time")
    peaks = []
    with server(serve_completed) as (url, _):
        for count in counts:
            peak, cpu = apart(memory, url, count)
            peaks.append(peak)
            say(f"  {f'{count:,} rows':<20}{peak / 1024:>9.0f} KiB{cpu:>9.1f} CPU s")
    growth = peaks[-1] / peaks[0]
    a_row = (peaks[-1] - peaks[0]) / (counts[-1] - counts[0])
    say(f"  {'growth':<20}{growth:>9.2f} times, {a_row:.1f} bytes a row  goal {FLAT}: {verdict(met=growth <= FLAT)}")


def draw(arms: Mapping[str, Arm], load: Load, file: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - only for who draws

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    blue, orange, grey = "#0072B2", "#E69F00", "#555555"  # told apart by everybody (Okabe and Ito, 2008)
    names = [name.replace(", ", ",\n") for name in ARMS]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), dpi=100, layout="constrained")
    starts, looks = [arm.starts for arm in arms.values()], [arm.looks for arm in arms.values()]
    left.bar(names, looks, width=0.6, color=blue, label="polls")
    left.bar(names, starts, width=0.6, bottom=looks, color=orange, label="starts")
    for number, arm in enumerate(arms.values()):
        left.annotate(f"{arm.total:,}", (number, arm.total), (0, 4), textcoords="offset points", ha="center")
    left.set_title("Requests sent", loc="left", weight="bold")
    left.yaxis.set_major_formatter("{x:,.0f}")
    means, late = [arm.delay for arm in arms.values()], [arm.p95 for arm in arms.values()]
    for shift, label, heights, colour in ((-0.19, "mean", means, blue), (0.19, "95 of 100 within", late, grey)):
        places = [number + shift for number in range(len(arms))]
        right.bar(places, heights, width=0.36, color=colour, label=label)
        for place, height in zip(places, heights, strict=True):
            right.annotate(f"{height:.2f}", (place, height), (0, 4), textcoords="offset points", ha="center")
    right.set_xticks(range(len(arms)), names)
    right.set_title("Seconds from a run's end to its result", loc="left", weight="bold")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="x", length=0)
        axes.margins(y=0.12)
        axes.legend(frameon=False)
    figure.suptitle(f"{load.runs:,} runs, median {load.median:g} s, at most {load.concurrency} at once")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="200 runs, and 200 and 2,000 rows")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the requests and delays (needs matplotlib)")
    parser.add_argument("--concurrency", type=int, default=100, help="runs at once (default: %(default)s)")
    parser.add_argument("--median", type=float, default=60.0, help="run length in seconds (default: %(default)s)")
    parser.add_argument(
        "--sigma", type=float, default=0.5, help="of the logarithm of run lengths (default: %(default)s)"
    )
    parser.add_argument("--speed", type=float, default=8.0, help="how much faster time is (default: %(default)s)")
    options = parser.parse_args()
    load = Load(
        runs=200 if options.quick else 1_000,
        concurrency=options.concurrency,
        median=options.median,
        sigma=options.sigma,
        speed=options.speed,
        seed=1,
    )
    say(
        f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}, {os.cpu_count()} CPUs, {platform.system()}"
        f" {platform.machine()}"
    )
    arms = report_arms(load)
    if options.plot is not None:
        draw(arms, load, options.plot)
    report_memory((200, 2_000) if options.quick else (1_000, 100_000))


if __name__ == "__main__":
    main()
