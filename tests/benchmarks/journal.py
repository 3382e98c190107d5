"""What a journal costs a batch, and how long it takes to resume one; side by side with another checkout.

    python tests/benchmarks/journal.py [--quick] [--other DIRECTORY]

Each figure comes from a process of its own, against a server in another whose runs have completed when the start is
answered. The sides take turns. Nothing here fails: a benchmark reports.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
from fan_out_servers import serve_completed, server

from flora_async import FloraSession, Run, RunOutput, RunRequest
from flora_async.batch.journal import Entry
from flora_async.batch.techniques import plan_technique

KEY: Final = "sk_live_benchmark"
CONCURRENCY: Final = 64
WRITTEN_AT_ONCE: Final = 1_000


def row(number: int) -> RunRequest:
    return RunRequest({"prompt": f"a poster for market {number}, in the style of the season"}, key=f"market-{number}")


class Counted(sqlite3.Connection):
    """A connection that counts what it commits."""

    commits = 0

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        # Both formats write a record, or a group of them, by one statement outside of any transaction.
        Counted.commits += statement.startswith(("COMMIT", "INSERT"))
        return super().execute(statement, *values)


def count_commits() -> None:
    """Count what is committed on every connection from now on."""
    module: Any = sqlite3
    module.connect = partial(module.connect, factory=Counted)


async def pace(loop_stalls: list[float]) -> None:
    """Note the longest that the loop was held."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        loop_stalls[0] = max(loop_stalls[0], time.perf_counter() - before - 0.001)


async def take(url: str, journal: str | None, rows: int) -> dict[str, float]:
    """Take rows through a batch."""
    if journal is not None:
        count_commits()
    stalls = [0.0]
    async with FloraSession(KEY, base_url=url) as flora:
        pacing = asyncio.create_task(pace(stalls))
        began, cpu, stored = time.perf_counter(), time.process_time(), stored_bytes()
        resumed, left = 0, rows
        batch = flora.batch("poster", map(row, range(rows)), journal=journal, concurrency=CONCURRENCY, check=False)
        async with batch:
            async for result in batch:
                resumed += result.resumed
                if not result.ok:
                    raise SystemExit(f"a row failed: {result.error!r}")
                left -= 1
                if not left:  # without the minute for costs that this server never confirms
                    break
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        pacing.cancel()
    return {
        "seconds": seconds,
        "cpu": cpu,
        "resumed": resumed,
        "commits": Counted.commits,
        "stored": stored_bytes() - stored,
        "file": Path(journal).stat().st_size if journal else 0,
        "stall": stalls[0],
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


async def fill(journal: str, rows: int) -> dict[str, float]:
    """Write a journal of finished rows, each with the records that a batch writes."""
    from flora_async.batch.sqlite import SqliteJournal  # noqa: PLC0415 - for journals only

    file = await SqliteJournal.open(journal, None)
    database = getattr(file, "_database", None)
    if database is not None:  # format 1: one transaction rather than one for each row
        await database.execute("BEGIN")
    for first in range(0, rows, WRITTEN_AT_ONCE):
        numbers = range(first, min(first + WRITTEN_AT_ONCE, rows))
        planned = [await plan_technique(row(number), f"market-{number}", number, "poster") for number in numbers]
        outputs = [RunOutput("image", "imageUrl", f"https://example.com/{number}.png") for number in numbers]
        ended = [
            Run(run_id=f"run_{number}", status="completed", progress=100, charged_cost=0.05, outputs=(output,))
            for number, output in zip(numbers, outputs, strict=True)
        ]
        started = [Run(run_id=run.run_id, status="running") for run in ended]
        now = time.time()
        await asyncio.gather(*(file.write(one, Entry("submitting", 1, None, since=now)) for one in planned))
        await asyncio.gather(
            *(file.write(one, Entry("running", 1, run)) for one, run in zip(planned, started, strict=True))
        )
        await asyncio.gather(
            *(file.write(one, Entry("finished", 1, run, 0.05)) for one, run in zip(planned, ended, strict=True))
        )
    if database is not None:
        await database.execute("COMMIT")
    await file.close()
    return {}


def stored_bytes() -> int:
    """Bytes that this process has sent to the disk; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


def apart(package: str, *arguments: str) -> dict[str, float]:
    """Measure in a process of its own, with the package of that checkout."""
    environment = {**os.environ, "PYTHONPATH": package}
    done = subprocess.run(  # noqa: S603 - this script and a checkout of the user's
        [sys.executable, __file__, "--child", *arguments], env=environment, stdout=subprocess.PIPE, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def say(line: str = "") -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def report_writing(url: str, sides: dict[str, str], rows: int, repeats: int) -> None:
    say(f"{rows:,} rows through a fast server, {CONCURRENCY} at once; the median of {repeats} turns")
    say(f"{'':24}{'rows/s':>9}{'CPU s':>8}{'commits':>9}{'MB to disk':>12}{'file MB':>9}{'loop held ms':>14}")
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(repeats):
        for side, package in sides.items():
            with tempfile.TemporaryDirectory() as folder:
                found.setdefault(f"{side}, no journal", []).append(apart(package, "take", url, "", str(rows)))
                journal = str(Path(folder, "journal.sqlite"))
                found.setdefault(f"{side}, journal", []).append(apart(package, "take", url, journal, str(rows)))
    for arm, turns in found.items():
        middle = {name: median(turn[name] for turn in turns) for name in turns[0]}
        say(
            f"{arm:24}{rows / middle['seconds']:9,.0f}{middle['cpu']:8.1f}{middle['commits']:9,.0f}"
            f"{middle['stored'] / 1e6:12.1f}{middle['file'] / 1e6:9.1f}{middle['stall'] * 1e3:14.0f}"
        )


def report_resuming(url: str, sides: dict[str, str], rows: int) -> None:
    say(f"resuming {rows:,} finished rows")
    say(f"{'':24}{'s':>9}{'CPU s':>8}{'peak MB':>9}{'file MB':>9}{'loop held ms':>14}")
    for side, package in sides.items():
        with tempfile.TemporaryDirectory() as folder:
            journal = str(Path(folder, "journal.sqlite"))
            apart(package, "fill", "", journal, str(rows))
            found = apart(package, "take", url, journal, str(rows))
        if found["resumed"] != rows:
            raise SystemExit(f"only {found['resumed']} rows were resumed")
        say(
            f"{side:24}{found['seconds']:9.1f}{found['cpu']:8.1f}{found['peak'] / 1e6:9.0f}{found['file'] / 1e6:9.1f}"
            f"{found['stall'] * 1e3:14.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="1,000 and 10,000 rows rather than 5,000 and 100,000")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each side (default: %(default)s)")
    parser.add_argument("--other", type=Path, metavar="DIRECTORY", help="another checkout to measure as well")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        what, url, journal, rows = options.child
        measured = fill(journal, int(rows)) if what == "fill" else take(url, journal or None, int(rows))
        sys.stdout.write(json.dumps(asyncio.run(measured)))
        return
    sides = {"this": str(Path(__file__).parents[2])}
    if options.other is not None:
        sides["other"] = str(options.other.resolve())
    say(
        f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}, SQLite {sqlite3.sqlite_version},"
        f" {os.cpu_count()} CPUs, {platform.system()} {platform.machine()}"
    )
    with server(serve_completed) as (url, _):
        report_writing(url, sides, 1_000 if options.quick else 5_000, options.repeats)
        report_resuming(url, sides, 10_000 if options.quick else 100_000)


if __name__ == "__main__":
    main()
