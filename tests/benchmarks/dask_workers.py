"""What a cluster adds to one process, what it costs per row, and whether kills and numbers of rows matter to it.

    python tests/benchmarks/dask_workers.py [speed | overhead | kills | memory] [--rows N]

`speed` has the same rows computed in the calling process and by two workers, in turns; what counts is the median of the
pairs' ratios. On a machine that others use, too, the clock says little: so it also says how much CPU the busiest
process took, which is what the clock would show if each process had a processor of its own. `overhead` compares a batch
by itself with one whose function does nothing. `kills` has 1,000 rows hash a file of 1 MB, and kills a worker twice and
the calling process once. `memory` reports the memory of a calling process after 1,000 to 20,000 rows, with a short log
in Dask's client and with its default. The FLORA, the scheduler and the workers are processes of their own on this
machine. Nothing here fails: a benchmark reports.
"""

import argparse
import asyncio
import hashlib
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

from dask import config
from distributed import Client

from flora_async import FloraSession, PollPolicy, RetryPolicy, RunRequest
from flora_async.dask import CompletedRow, process
from flora_async.testing import FakeFlora, FakeTechnique

HERE: Final = Path(__file__)
KEY: Final = "sk_live_benchmark"
TECHNIQUE: Final = "hashed"
MEGABYTE: Final = b"\x89PNG\r\n\x1a\n" + bytes(1_000_000 - 8)
POLL: Final = PollPolicy(initial=0.02, maximum=0.2)
RETRY: Final = RetryPolicy(settle=0.5)
ROUNDS: Final = 4_000_000
PAIRS: Final = 3
LOG_LENGTHS: Final = (10, 1000)  # of Dask's log of messages, whose default is 1,000


def compute(_: CompletedRow, paths: tuple[Path, ...]) -> int:
    return computed(paths[0])


def computed(path: Path) -> int:
    """Work for one processor, which holds Python's lock: about a quarter of a second."""
    value = path.stat().st_size
    for _ in range(ROUNDS):
        value = (value * 31 + 7) % 1_000_003
    return value


def hash_once(_: CompletedRow, paths: tuple[Path, ...]) -> str:
    return hashlib.sha256(paths[0].read_bytes()).hexdigest()


def nothing(row: CompletedRow, _: tuple[Path, ...]) -> str:
    return row.key


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a script prints


def rows(count: int) -> Iterator[RunRequest]:
    return (RunRequest({"prompt": f"row {number}"}, key=f"key-{number}") for number in range(count))


@asynccontextmanager
async def started(*arguments: str, **options: Any) -> AsyncGenerator[asyncio.subprocess.Process, None]:
    """A process that is ended with the block."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env={**os.environ, "PYTHONPATH": str(HERE.parent)}, **options
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


class Machines:
    """A FLORA, a scheduler and workers, each in a process of its own."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._quiet: dict[str, Any] = {"stdout": asyncio.subprocess.DEVNULL, "stderr": asyncio.subprocess.DEVNULL}
        self.base_url = ""
        self.workers: list[asyncio.subprocess.Process] = []

    async def start(self, kind: str, workers: int = 2) -> None:
        pipes: dict[str, Any] = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        self._flora = await self._stack.enter_async_context(started(str(HERE), "serve", kind, **pipes))
        self.base_url = (await self._line()).decode().strip()
        arguments = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", self.file)
        scheduler = started("-m", "distributed.cli.dask_scheduler", *arguments, **self._quiet)
        await self._stack.enter_async_context(scheduler)
        self.workers = [await self.worker() for _ in range(workers)]

    async def worker(self) -> asyncio.subprocess.Process:
        arguments = ("--scheduler-file", self.file, "--no-nanny", "--nthreads", "1", "--no-dashboard")
        place = ("--local-directory", str(self._folder))
        return await self._stack.enter_async_context(
            started("-m", "distributed.cli.dask_worker", *arguments, *place, **self._quiet)
        )

    async def runs(self) -> int:
        """How many runs FLORA has started, each of which is paid."""
        assert self._flora.stdin is not None
        self._flora.stdin.write(b"\n")
        return int(await self._line())

    async def _line(self) -> bytes:
        assert self._flora.stdout is not None
        return await self._flora.stdout.readline()

    @property
    def file(self) -> str:
        return str(self._folder / "scheduler.json")

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[Client, None]:
        async with Client(scheduler_file=self.file, asynchronous=True) as client:  # type: ignore[no-untyped-call]  # distributed has no types
            yield client

    def flora(self) -> FloraSession:
        return FloraSession(KEY, base_url=self.base_url, poll=POLL, retry=RETRY)


async def serve(kind: str) -> None:
    """The local FLORA: it prints its address, and the number of its runs for each line that it reads."""
    output = "text" if kind == "text" else "imageUrl"
    technique = FakeTechnique(TECHNIQUE, outputs={"output": output}, pending=0, running=0.01)
    async with FakeFlora(api_key=KEY, techniques=[technique], idempotency="replay") as fake:
        if kind != "text":
            fake.produce(TECHNIQUE, outputs={"output": MEGABYTE})
        say(fake.base_url)
        while await asyncio.to_thread(sys.stdin.readline):
            say(str(len(fake.runs)))


@asynccontextmanager
async def machines(kind: str, workers: int = 2) -> AsyncGenerator[tuple[Machines, Path], None]:
    with tempfile.TemporaryDirectory() as name:
        async with AsyncExitStack() as stack:
            made = Machines(stack, Path(name))
            await made.start(kind, workers)
            async with made.client() as client:
                await client.wait_for_workers(workers)  # type: ignore[func-returns-value, misc]  # not of this kind of client
            yield made, Path(name)


async def speed(count: int) -> None:
    async with machines("file") as (made, folder), made.client() as client:

        async def alone() -> None:
            async with made.flora() as flora, flora.batch(TECHNIQUE, rows(count), save_to=folder / "alone") as batch:
                async for result in batch:
                    # In a thread, so that the downloads of other rows go on meanwhile.
                    await asyncio.to_thread(computed, result.files[0])

        async def on_workers() -> None:
            async with (
                made.flora() as flora,
                process(flora.batch(TECHNIQUE, rows(count)), client, compute) as results,
            ):
                async for result in results:
                    assert result.ok, result.error

        walls, cpus = [], []
        for pair in range(PAIRS):
            wall, cpu = {}, {}
            for side in (alone, on_workers) if pair % 2 else (on_workers, alone):
                before = time.perf_counter(), await processor_times(client)
                await side()
                after = time.perf_counter(), await processor_times(client)
                wall[side] = after[0] - before[0]
                cpu[side] = max(end - begin for begin, end in zip(before[1], after[1], strict=True))
            walls.append(wall[alone] / wall[on_workers])
            cpus.append(cpu[alone] / cpu[on_workers])
            say(f"  one process {wall[alone]:.1f} s ({cpu[alone]:.1f} s of CPU)")
            say(f"  two workers {wall[on_workers]:.1f} s ({cpu[on_workers]:.1f} s of CPU in the busiest process)")
    say(f"speed, {count} rows: {median(walls):.2f} times as fast by the clock, {median(cpus):.2f} by CPU")
    say(f"  (goal 1.8; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f})")


async def processor_times(client: Client) -> list[float]:
    """Seconds of CPU that this process and each worker have used."""
    workers = await client.run(time.process_time)
    return [time.process_time(), *(workers[name] for name in sorted(workers))]


async def overhead(count: int) -> None:
    async with machines("text") as (made, _), made.client() as client:

        async def by_itself() -> None:
            async with made.flora() as flora, flora.batch(TECHNIQUE, rows(count), concurrency=64) as batch:
                async for result in batch:
                    assert result.ok, result.error

        async def processed() -> None:
            async with made.flora() as flora:
                batch = flora.batch(TECHNIQUE, rows(count), concurrency=64)
                async with process(batch, client, nothing) as results:
                    async for result in results:
                        assert result.ok, result.error

        costs = []
        for _ in range(3):
            spent = []
            for side in (by_itself, processed):
                began = time.process_time(), time.perf_counter()
                await side()
                spent.append((time.process_time() - began[0], time.perf_counter() - began[1]))
            costs.append((spent[1][0] - spent[0][0]) / count)
            for name, (cpu, wall) in zip(("batch alone", "processed"), spent, strict=True):
                say(f"  {name}: {1000 * cpu / count:.2f} ms of CPU a row here, {count / wall:.0f} rows a second")
    say(f"overhead: {1000 * median(costs):.2f} ms of CPU per row in the calling process")


async def kills(count: int) -> None:
    async with machines("file") as (made, folder):
        workers = made.workers
        caller = ("call", made.base_url, made.file, str(folder / "journal"), str(count))
        pipe: dict[str, Any] = {"stdout": asyncio.subprocess.PIPE}
        began = time.perf_counter()
        async with started(str(HERE), *caller, **pipe) as first:
            await read(first, count // 4)
            workers[0].kill()
            await made.worker()
            await read(first, count // 4)
            first.send_signal(signal.SIGKILL)
        async with started(str(HERE), *caller, **pipe) as second:
            again = await read(second, count // 2 + count // 8)
            workers[1].kill()
            await made.worker()
            again += await read(second, count)
        expected = {f"key-{number} {hashlib.sha256(MEGABYTE).hexdigest()}" for number in range(count)}
        done, resumed = {line.rsplit(" ", 1)[0] for line in again}, sum(line.endswith("True") for line in again)
        say(f"kills: {len(done & expected)} of {count} rows processed, {resumed} of them before the kill;")
        say(f"  {await made.runs()} runs paid for; {time.perf_counter() - began:.0f} s in all")


async def read(child: asyncio.subprocess.Process, count: int) -> list[str]:
    """Up to so many lines of what a process prints."""
    assert child.stdout is not None
    lines: list[str] = []
    while len(lines) < count and (line := await child.stdout.readline()):
        lines.append(line.decode().strip())
    return lines


async def call(base_url: str, scheduler_file: str, journal: str, count: str) -> None:
    """The calling process of `kills`: it prints each row."""
    async with (
        FloraSession(KEY, base_url=base_url, poll=POLL, retry=RETRY) as flora,
        Client(scheduler_file=scheduler_file, asynchronous=True) as client,  # type: ignore[no-untyped-call]  # distributed has no types
    ):
        batch = flora.batch(TECHNIQUE, rows(int(count)), journal=journal)
        async with process(batch, client, hash_once) as results:
            async for result in results:
                say(f"{result.key} {result.value or result.error} {result.resumed}")


async def memory(count: int) -> None:
    async with machines("text") as (made, folder):
        pipe: dict[str, Any] = {"stdout": asyncio.subprocess.PIPE}
        for length in LOG_LENGTHS:
            caller = ("grow", made.base_url, made.file, str(folder / f"{length}"), str(count), str(length))
            async with started(str(HERE), *caller, **pipe) as child:
                say("\n".join(await read(child, 10)))


async def grow(base_url: str, scheduler_file: str, journal: str, count: str, log_length: str) -> None:
    """The calling process of `memory`: it reports the peak of its resident set so far, four times."""
    began, done, total = time.perf_counter(), 0, int(count)
    peaks = []
    config.set({"distributed.admin.low-level-log-length": int(log_length)})
    async with (
        FloraSession(KEY, base_url=base_url, poll=POLL, retry=RETRY) as flora,
        Client(scheduler_file=scheduler_file, asynchronous=True) as client,  # type: ignore[no-untyped-call]  # distributed has no types
    ):
        batch = flora.batch(TECHNIQUE, rows(total), journal=journal, concurrency=64)
        async with process(batch, client, nothing) as results:
            async for result in results:
                done += result.ok
                if done in {total // 20, total // 4, total // 2, total}:
                    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                    peaks.append(f"{peak:.0f} MiB after {done} rows")
        sent = batch.summary.requests
    seconds, size = time.perf_counter() - began, Path(journal).stat().st_size
    say(f"memory, where Dask logs {log_length} messages: {', '.join(peaks)}; journal {size / total:.0f} bytes a row,")
    say(f"  {total / seconds:.0f} rows a second, {1000 * time.process_time() / total:.2f} ms of CPU a row,")
    say(f"  requests {dict(sent)}")


DEFAULT_ROWS: Final = {"speed": 40, "overhead": 1000, "kills": 1000, "memory": 20_000}
REPORTS: Final = {"speed": speed, "overhead": overhead, "kills": kills, "memory": memory}
PROCESSES: Final = {"serve": serve, "call": call, "grow": grow}


def main() -> None:
    if sys.argv[1:2] and sys.argv[1] in PROCESSES:
        asyncio.run(PROCESSES[sys.argv[1]](*sys.argv[2:]))  # type: ignore[operator]
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", nargs="?", choices=REPORTS)
    parser.add_argument("--rows", type=int)
    options = parser.parse_args()
    for name, report in REPORTS.items():
        if options.report in {None, name}:
            asyncio.run(report(options.rows or DEFAULT_ROWS[name]))


if __name__ == "__main__":
    main()
