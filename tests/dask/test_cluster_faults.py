"""Workers, the scheduler, the connection and the calling process may end at any time: no run is paid for twice."""

import asyncio
import hashlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from cluster_work import HERE, counted, daemon, digest, scheduler, worker
from conftest import OpenSession
from distributed import Client, LocalCluster

from flora_async import ClusterLostError, FloraSession, RunRequest
from flora_async.dask import process
from flora_async.testing import FakeFlora, FakeTechnique

pytestmark = [
    pytest.mark.xdist_group("dask"),  # one worker, and so one cluster for a module
    pytest.mark.timeout(180),  # on a busy machine it takes a minute until processes have started
]

ROWS = 120
MEGABYTE = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(b"\x89PNG\r\n\x1a\n" + MEGABYTE).hexdigest()

# The calling process: it prints each row when it is done.
CALLER = """
import asyncio, sys
from distributed import Client, LocalCluster
from flora_async import FloraSession, PollPolicy, RetryPolicy, RunRequest
from flora_async.dask import process
from cluster_work import counted

address, journal, save_to, marks, count = sys.argv[1:]
rows = (
    RunRequest({"prompt": f"row {n}"}, key=f"key-{n}", metadata={"folder": marks}) for n in range(int(count))
)

async def main():
    retry = RetryPolicy(initial=0.01, maximum=0.05, settle=0.1)
    async with FloraSession(retry=retry, poll=PollPolicy(initial=0.01, maximum=0.05)) as flora:
        async with Client(address, asynchronous=True) as client:
            batch = flora.batch("hashed", rows, journal=journal, concurrency=8)
            async with process(batch, client, counted, save_to=save_to, in_flight=16) as results:
                async for result in results:
                    print(result.key, result.value if result.ok else repr(result.error), flush=True)

asyncio.run(main())
"""


@pytest.fixture
async def hashed() -> AsyncIterator[FakeFlora]:
    """A FLORA whose technique `hashed` makes files of 1 MB; by replay, it tells apart starts that a kill left open."""
    technique = FakeTechnique("hashed", outputs={"image": "imageUrl"}, running=0.005)
    async with FakeFlora(techniques=[technique], idempotency="replay") as fake:
        fake.produce("hashed", outputs={"image": b"\x89PNG\r\n\x1a\n" + MEGABYTE})
        yield fake


@pytest.fixture
def flora(hashed: FakeFlora, session_on: OpenSession) -> FloraSession:
    return session_on(hashed)


def connect(address: str) -> Any:  # not what its methods are typed as: those of an asynchronous client are awaited
    return Client(address, asynchronous=True)  # type: ignore[no-untyped-call]  # distributed has no types


@pytest.fixture
async def address(stack: AsyncExitStack, tmp_path: Path) -> str:
    """A scheduler in a process of its own."""
    await stack.enter_async_context(daemon(*scheduler(tmp_path)))
    file = str(tmp_path / "scheduler.json")
    async with Client(scheduler_file=file, asynchronous=True) as client:  # type: ignore[no-untyped-call]  # distributed has no types
        return str(client.scheduler_info()["address"])


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as entered:
        yield entered


async def lines(process: asyncio.subprocess.Process, count: int) -> list[str]:
    assert process.stdout is not None
    return [(await process.stdout.readline()).decode().strip() for _ in range(count)]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
async def test_workers_and_the_caller_are_killed_and_every_row_is_processed_and_paid_for_once(
    hashed: FakeFlora, stack: AsyncExitStack, address: str, tmp_path: Path
) -> None:
    (marks := tmp_path / "marks").mkdir()
    saved = tmp_path / "saved"
    first, second = [await stack.enter_async_context(daemon(*worker(tmp_path))) for _ in range(2)]

    async def call() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CALLER, address, str(tmp_path / "journal")),
            *(str(saved), str(marks), str(ROWS)),
            env={**os.environ, "FLORA_API_KEY": hashed.api_key, "FLORA_BASE_URL": hashed.base_url,
                 "PYTHONPATH": str(HERE)},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip

    caller = await call()
    done = await lines(caller, 20)
    first.kill()
    await stack.enter_async_context(daemon(*worker(tmp_path)))
    done += await lines(caller, 20)
    caller.send_signal(signal.SIGKILL)
    rest, _ = await caller.communicate()
    done += rest.decode().splitlines()

    caller = await call()
    again = await lines(caller, 50)
    second.kill()
    rest, _ = await caller.communicate()
    again += rest.decode().splitlines()
    assert caller.returncode == 0
    assert sorted(again) == sorted(f"key-{number} {DIGEST}" for number in range(ROWS))
    assert set(done) <= set(again)

    assert len(hashed.runs) == ROWS
    # Whatever was handed over by the first call was not processed again; what a killed process held was.
    calls = Counter(path.name.split(".")[0] for path in marks.iterdir())
    assert calls.total() < ROWS + 16 + 2 * 4
    # A killed process may leave a part of a file, under a hidden name.
    names = {path.name for path in saved.iterdir() if path.name[0] != "."}
    assert names == {f"{run_name}{end}" for run_name, end in expected_names(hashed)}
    assert all((saved / name).stat().st_size == len(MEGABYTE) + 8 for name in names if name.endswith(".png"))


def expected_names(fake: FakeFlora) -> list[tuple[str, str]]:
    rows = {run.run_id: f"key-{str(run.inputs['prompt']).split()[1]}-{run.run_id}" for run in fake.runs}
    return [(name, end) for name in rows.values() for end in (".json", "-image.png")]


async def test_a_lost_scheduler_ends_starts_and_every_paid_run_is_handed_over(
    hashed: FakeFlora, flora: FloraSession, stack: AsyncExitStack, tmp_path: Path
) -> None:
    (marks := tmp_path / "marks").mkdir()
    (marks / "hold").touch()
    dying = await stack.enter_async_context(daemon(*scheduler(tmp_path)))
    await stack.enter_async_context(daemon(*worker(tmp_path)))
    rows = [RunRequest({"prompt": str(n)}, key=f"key-{n}", metadata={"folder": str(marks)}) for n in range(30)]
    client = Client(scheduler_file=str(tmp_path / "scheduler.json"), asynchronous=True)  # type: ignore[no-untyped-call]  # distributed has no types
    found = []
    async with client:
        client._timeout = 0.2  # how long it tries to connect again
        with pytest.raises(ClusterLostError):
            async with process(
                flora.batch("hashed", rows, concurrency=4, journal=tmp_path / "journal"), client, counted, in_flight=8
            ) as results:
                reading = asyncio.ensure_future(anext(results))
                while not list(marks.glob("key-*")):
                    await asyncio.sleep(0.01)
                dying.kill()
                found = [await reading, *[result async for result in results]]
    assert all(isinstance(result.error, ClusterLostError) for result in found if result.result.ok)
    assert {result.result.run.run_id for result in found if result.result.run} == {run.run_id for run in hashed.runs}
    assert len(hashed.runs) < 30
    assert len(hashed.runs) >= 8


async def test_a_connection_that_is_lost_ends_the_batch_although_the_client_connects_again(
    hashed: FakeFlora, flora: FloraSession, stack: AsyncExitStack, address: str, tmp_path: Path
) -> None:
    (marks := tmp_path / "marks").mkdir()
    (marks / "hold").touch()
    await stack.enter_async_context(daemon(*worker(tmp_path)))
    rows = [RunRequest({"prompt": str(n)}, key=f"key-{n}", metadata={"folder": str(marks)}) for n in range(20)]
    async with connect(address) as client:
        found = []
        with pytest.raises(ClusterLostError):
            async with process(flora.batch("hashed", rows, concurrency=2), client, counted, in_flight=4) as results:
                reading = asyncio.ensure_future(anext(results))
                while not list(marks.glob("key-*")):
                    await asyncio.sleep(0.01)
                client.scheduler_comm.comm.abort()
                (marks / "hold").unlink()
                found = [await reading, *[result async for result in results]]
    lost = [result for result in found if isinstance(result.error, ClusterLostError)]
    assert lost
    assert all(result.ok or result in lost or result.result.skipped for result in found)
    assert {result.result.run.run_id for result in found if result.result.run} == {run.run_id for run in hashed.runs}
    assert len(hashed.runs) < 20


async def test_workers_that_come_late_and_go_early_process_everything(
    hashed: FakeFlora, flora: FloraSession, stack: AsyncExitStack, address: str, tmp_path: Path
) -> None:
    rows = [RunRequest({"prompt": str(n)}, key=f"key-{n}") for n in range(40)]
    async with connect(address) as client:

        async def come_and_go() -> None:
            await stack.enter_async_context(daemon(*worker(tmp_path)))
            await client.wait_for_workers(1)
            await stack.enter_async_context(daemon(*worker(tmp_path)))
            await client.wait_for_workers(2)
            await client.retire_workers(workers=[next(iter(client.scheduler_info()["workers"]))])

        coming = asyncio.ensure_future(come_and_go())  # there is no worker at first: nothing is paid for
        async with process(flora.batch("hashed", rows), client, digest) as results:
            found = {result.key: result.value async for result in results}
        await coming
    assert found == {f"key-{n}": DIGEST for n in range(40)}
    assert len(hashed.runs) == 40


async def test_an_adaptive_cluster_grows_from_nothing_for_a_batch(hashed: FakeFlora, flora: FloraSession) -> None:
    size: dict[str, Any] = {"n_workers": 0, "threads_per_worker": 2}
    address: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    rows = [RunRequest({"prompt": str(n)}, key=f"key-{n}") for n in range(8)]
    cluster: Any  # on a loop of its own: on one with eager tasks, Dask's clusters do not work
    with LocalCluster(**size, **address) as cluster:  # type: ignore[no-untyped-call]  # distributed has no types
        cluster.adapt(minimum=0, maximum=2, interval="50ms")
        async with (
            connect(cluster.scheduler_address) as client,
            process(flora.batch("hashed", rows), client, digest) as results,
        ):
            assert {result.value async for result in results} == {DIGEST}
    assert len(hashed.runs) == 8
