"""How fast files come and go, beside bare aiohttp, and that memory does not grow with them.

    python tests/benchmarks/media.py [--quick] [--size MIB] [--pairs N]

A server in another process streams and swallows. The two sides take turns, each pair in the other order, and what
counts is the median of the pairs' ratios: noise of the machine that lasts longer than a pair falls on both alike. The
bare sides are what people write without a library: an `iter_chunked` loop, and a `FormData` with an open file. Nothing
here fails: a benchmark reports.
"""

import argparse
import asyncio
import gc
import os
import platform
import shutil
import tempfile
import time
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import aiohttp
from fan_out_servers import KEY, apart, server
from media_servers import FIELDS, WORKSPACE, serve

from flora_async import FloraSession

GOAL: Final = 0.9
FLAT: Final = 1.1
MIB: Final = 1024 * 1024
MEGABYTE: Final = 1_000_000
BARE, FLORA = "bare aiohttp", "flora_async"
DOWNLOAD, UPLOAD = WAYS = ("download", "upload")


class Cost(NamedTuple):
    """Of one transfer, in seconds."""

    wall: float
    cpu: float


class Files(NamedTuple):
    """What is transferred one after the other: how many bytes, how many times."""

    size: int
    times: int


class Peak(NamedTuple):
    """Of transfers, in bytes: growth of the peak resident set, and Python's own allocations."""

    resident: int
    traced: int


Transfer = Callable[[], Awaitable[object]]


class Client:
    """Both sides of both comparisons."""

    def __init__(self, flora: FloraSession, bare: aiohttp.ClientSession, origin: str, folder: Path, size: int) -> None:
        self.flora = flora
        self.bare = bare
        self.origin = origin
        self.size = size
        self.sent = folder / "sent.mp4"
        self.received = folder / "received.mp4"
        with self.sent.open("wb") as file:
            file.truncate(size)

    def sides(self, way: str) -> dict[str, Transfer]:
        if way == DOWNLOAD:
            return {BARE: self.download_bare, FLORA: self.download}
        return {BARE: self.upload_bare, FLORA: self.upload}

    async def download(self) -> None:
        await self.flora.download(f"{self.origin}/files/{self.size}", self.received, max_bytes=None)

    async def download_bare(self) -> None:
        async with self.bare.get(f"{self.origin}/files/{self.size}") as response:
            response.raise_for_status()
            with self.received.open("wb") as file:
                async for chunk in response.content.iter_chunked(MIB):
                    file.write(chunk)

    async def upload(self) -> None:
        asset = await self.flora.assets.upload(self.sent, workspace_id=WORKSPACE, content_type="video/mp4")
        self.check(asset.size_bytes)

    async def upload_bare(self) -> None:
        with self.sent.open("rb") as file:
            form = aiohttp.FormData(FIELDS)
            form.add_field("file", file, filename=self.sent.name, content_type="video/mp4")
            async with self.bare.post(f"{self.origin}/storage/bare", data=form) as response:
                response.raise_for_status()
                self.check(await response.json())

    def settle(self) -> None:
        """Check what came, and remove it."""
        if self.received.exists():
            self.check(self.received.stat().st_size)
            self.received.unlink()

    def check(self, size: int | None) -> None:
        if size != self.size:
            raise ValueError(f"{size} bytes arrived, not {self.size}")


@asynccontextmanager
async def connect(origin: str, folder: Path, size: int) -> AsyncGenerator[Client, None]:
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with (
        FloraSession(KEY, base_url=f"{origin}/api/v1") as flora,
        aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as bare,
    ):
        yield Client(flora, bare, origin, folder, size)


async def take_turns(client: Client, way: str, pairs: int) -> dict[str, list[Cost]]:
    sides = client.sides(way)
    costs: dict[str, list[Cost]] = {name: [] for name in sides}
    for turn in range(-1, pairs):  # the first one fills the caches
        for name in reversed(sides) if turn % 2 else sides:
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            await sides[name]()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            client.settle()
            if turn >= 0:
                costs[name].append(Cost(wall, cpu))
    return costs


def peak_of(origin: str, folder: Path, files: Files, way: str, side: str) -> Peak:
    """What transfers need, one after the other in a process of their own, and again while allocations are traced."""

    async def main() -> Peak:
        async with connect(origin, folder, files.size) as client:
            transfer = client.sides(way)[side]
            gc.collect()
            before = peak_resident()
            for _ in range(files.times):
                await transfer()
                client.settle()
            resident = peak_resident() - before
            gc.collect()
            tracemalloc.start()
            for _ in range(files.times):
                await transfer()
                client.settle()
            return Peak(resident, tracemalloc.get_traced_memory()[1])

    return asyncio.run(main())


def peak_resident() -> int:
    with suppress(OSError):  # only where there is a /proc
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    return 0


def say(line: str = "") -> None:
    print(line, flush=True)  # noqa: T201 - a script prints


def verdict(*, met: bool) -> str:
    return "met" if met else "MISSED"


def report_speed(title: str, costs: Mapping[str, Sequence[Cost]], size: int) -> None:
    say(f"\n{title}")
    say(f"  {'':<14}{'MB/s':>8}{'CPU s':>8}{'speed ratio':>13}{'lowest-highest':>16}{'CPU ratio':>11}")
    bare = costs[BARE]
    for name, mine in costs.items():
        speed = size / median(cost.wall for cost in mine) / MEGABYTE
        line = f"  {name:<14}{speed:>8.0f}{median(cost.cpu for cost in mine):>8.2f}"
        if mine is not bare:
            ratios = [base.wall / cost.wall for cost, base in zip(mine, bare, strict=True)]
            cpu = median(cost.cpu / base.cpu for cost, base in zip(mine, bare, strict=True))
            ratio, spread = median(ratios), f"{min(ratios):.2f}-{max(ratios):.2f}"
            line += f"{ratio:>13.2f}{spread:>16}{cpu:>11.2f}  goal {GOAL}: {verdict(met=ratio >= GOAL)}"
        say(line)


async def report_speeds(origin: str, folder: Path, size: int, pairs: int) -> None:
    async with connect(origin, folder, size) as client:
        for way in WAYS:
            costs = await take_turns(client, way, pairs)
            report_speed(f"A file of {size // MIB:,} MiB, {way} ({pairs} pairs)", costs, size)


def report_memory(origin: str, folder: Path, sizes: Sequence[int]) -> None:
    for way in WAYS:
        say(f"\nPeak of memory over {sizes[-1] // MIB:,} MiB of {way}, in MiB, by the size of the files")
        names = [f"{kind}, {size // MIB:,} MiB" for kind in ("traced", "resident") for size in sizes]
        say(f"  {'':<14}" + "".join(f"{name:>20}" for name in names) + f"{'traced growth':>15}")
        for side in (BARE, FLORA):
            # As many bytes for each size: with every piece the peak has another chance to rise.
            peaks = [apart(peak_of, origin, folder, Files(size, sizes[-1] // size), way, side) for size in sizes]
            numbers = [peak.traced for peak in peaks] + [peak.resident for peak in peaks]
            line = f"  {side:<14}" + "".join(f"{number / MIB:>20.1f}" for number in numbers)
            growth = peaks[-1].traced / peaks[0].traced
            goal = f"  goal {FLAT}: {verdict(met=growth <= FLAT)}" if side == FLORA else ""
            say(f"{line}{growth:>15.2f}{goal}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="7 pairs of 64 MiB")
    parser.add_argument("--size", type=int, metavar="MIB", help="of the file (default: 1024, or 64 with --quick)")
    parser.add_argument("--pairs", type=int, help="transfers of each side (default: 3, or 7 with --quick)")
    options = parser.parse_args()
    size = (options.size or (64 if options.quick else 1024)) * MIB
    pairs = options.pairs or (7 if options.quick else 3)
    say(
        f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}, {os.cpu_count()} CPUs, {platform.system()}"
        f" {platform.machine()}"
    )
    with tempfile.TemporaryDirectory() as name, server(serve) as (origin, _):
        folder = Path(name)
        if shutil.disk_usage(folder).free < 2 * size:
            parser.error(f"{name} has no room for a file of {size // MIB:,} MiB: name a smaller --size, or set TMPDIR")
        asyncio.run(report_speeds(origin, folder, size, pairs))
        report_memory(origin, folder, (min(64 * MIB, size // 4), size))


if __name__ == "__main__":
    main()
