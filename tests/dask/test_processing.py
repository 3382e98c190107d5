"""Outputs are processed on a cluster: every completed run once, whatever its function does, and no faster than read."""

import asyncio
import gc
import hashlib
import io
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cluster_work import counted, digest, fails_twice, hostile, seen
from conftest import IMAGE
from distributed import Client, Future, LocalCluster
from distributed.scheduler import KilledWorker

from flora_async import DownloadError, FloraSession, InsufficientCreditsError, RunFailedError, RunRequest, SkippedError
from flora_async.batch.journal_reader import JournalReader
from flora_async.dask import ProcessedResult, Processing, process
from flora_async.testing import FakeFlora, FakeTechnique, Status

pytestmark = [
    pytest.mark.xdist_group("dask"),  # one worker, and so one cluster for a module
    pytest.mark.timeout(180),  # on a busy machine it takes a minute until processes have started
]

pytest_plugins = ["cluster_fixtures"]

ROWS = [RunRequest({"prompt": f"row {number}"}, key=f"key-{number}") for number in range(12)]


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


EXPECTED = {f"key-{number}": sha(f"Caption: row {number}") for number in range(12)}


def client_of(address: str) -> Client:
    return Client(address, asynchronous=True)  # type: ignore[no-untyped-call]  # distributed has no types


async def tasks_on(client: Client) -> int:
    return await client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))  # type: ignore[no-any-return, no-untyped-call]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():
        await asyncio.sleep(0.01)


async def nothing_left(client: Client) -> bool:
    return await tasks_on(client) == 0


async def test_each_completed_run_is_processed_on_a_worker_and_nothing_is_left_there(
    flora: FloraSession, dask: Client, cluster: LocalCluster
) -> None:
    async with process(flora.batch("caption", ROWS), dask, digest) as results:
        found = [result async for result in results]
    assert {result.key: result.value for result in found} == EXPECTED
    assert all(result.ok and not result.resumed for result in found)
    assert {result.worker for result in found} <= set(cluster.scheduler_info["workers"])
    assert all(result.seconds is not None and result.seconds > 0 for result in found)
    await until(partial(nothing_left, dask))


# Of the last starts of a session, at most 1,000 of each.
REMEMBERED = {"flora_async.resources._start.SentInputs", "flora_async.resources._open_starts._Settled"}


def alive() -> Counter[str]:
    """How many objects of each of the package's classes there are, apart from those of the local FLORA."""
    gc.collect()
    names = [f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects()]
    return Counter(name for name in names if name.startswith("flora_async.") and ".testing." not in name)


async def test_nothing_of_a_row_is_kept_once_its_result_was_read(
    flora: FloraSession, dask: Client, tmp_path: Path
) -> None:
    kept = []
    for count in (10, 40):
        rows = (RunRequest({"prompt": f"row {number}"}, key=f"key-{number}") for number in range(count))
        batch = flora.batch("caption", rows, journal=tmp_path / f"{count}")
        async with process(batch, dask, digest) as results:
            assert all([result.ok async for result in results])
            await until(partial(nothing_left, dask))
            kept.append(alive())
    assert {name for name, more in (kept[1] - kept[0]).items() if more >= 30} <= REMEMBERED


async def test_an_ordinary_client_works_on_a_running_loop(flora: FloraSession, cluster: LocalCluster) -> None:
    client = await asyncio.to_thread(Client, cluster.scheduler_address)
    try:
        async with process(flora.batch("caption", ROWS), client, digest) as results:
            assert {result.key: result.value async for result in results} == EXPECTED
        async with process(flora.batch("caption", ROWS), client, digest) as results:
            await anext(results)  # and what is left is cancelled
    finally:
        await asyncio.to_thread(client.close)


async def test_a_worker_gets_the_row_without_files_and_its_outputs_while_the_function_runs(
    flora: FloraSession, dask: Client, tmp_path: Path
) -> None:
    row = RunRequest({"input_image": io.BytesIO(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")}, key="a", metadata={"shelf": "B"})
    async with process(flora.batch("cctv-cam", [row], workspace_id="ws_local"), dask, seen) as results:
        (result,) = [result async for result in results]
    assert result.error is None
    assert result.result.run is not None
    value = result.value
    assert value is not None
    assert (value["key"], value["metadata"], value["run"]) == ("a", {"shelf": "B"}, result.result.run.run_id)
    assert list(value["inputs"]) == ["input_image"]
    assert isinstance(value["inputs"]["input_image"], str)
    assert value["exist"]
    assert not Path(value["paths"][0]).exists()
    async with process(flora.batch("cctv-cam", [IMAGE]), dask, seen, save_to=tmp_path / "kept") as results:
        (kept,) = [result async for result in results]
    assert kept.value is not None
    assert {Path(kept.value["paths"][0]).name} < {path.name for path in (tmp_path / "kept").iterdir()}


async def test_an_error_of_the_function_is_that_of_its_row(flora: FloraSession, dask: Client) -> None:
    keys = ["raises", "cannot be unpickled", "exits", "is cancelled", "is cancelled like a task", "returns a lock"]
    keys += ["never ends", "a"]
    rows = [RunRequest({"prompt": key}, key=key) for key in keys]
    async with process(flora.batch("caption", rows), dask, hostile) as results:
        found = {result.key: result async for result in results}
    # What cannot be unpickled comes in its own class or another, by the version of tblib.
    assert "twoparts" in str(found.pop("cannot be unpickled").error)
    assert {key: type(result.error) for key, result in found.items()} == {
        "raises": LookupError,
        "exits": RuntimeError,
        "is cancelled": RuntimeError,
        "is cancelled like a task": RuntimeError,
        "returns a lock": TypeError,
        "never ends": RecursionError,
        "a": type(None),
    }
    error = found["raises"].error
    assert error is not None
    assert error.__notes__[0].startswith("On the worker tcp://127.0.0.1:")
    frames = []
    frame = error.__traceback__
    while frame is not None:
        frames.append(frame.tb_frame.f_code.co_name)
        frame = frame.tb_next
    assert frames[-1] == "hostile"
    assert all(result.result.ok for result in found.values())


async def test_a_row_that_kills_its_workers_does_not_affect_the_others(flora: FloraSession, dask: Client) -> None:
    rows = [RunRequest({"prompt": key}, key=key) for key in ("a", "kills", "b")]
    async with process(flora.batch("caption", rows, concurrency=1), dask, hostile, in_flight=1) as results:
        found = {result.key: result async for result in results}
    assert isinstance(found["kills"].error, KilledWorker)
    assert (found["a"].value, found["b"].value) == ("a", "b")


async def test_dask_calls_a_function_again_that_raised(flora: FloraSession, dask: Client, tmp_path: Path) -> None:
    row = RunRequest({"prompt": "x"}, key="a", metadata={"folder": str(tmp_path)})
    async with process(flora.batch("caption", [row]), dask, fails_twice, retries=2) as results:
        (result,) = [result async for result in results]
    assert result.value == sha("Caption: x")


async def test_rows_that_failed_or_were_skipped_come_with_their_error(
    fake: FakeFlora, flora: FloraSession, dask: Client
) -> None:
    fake.add_technique(FakeTechnique("broken", error_code="model_timeout"))
    rows = [
        RunRequest({"prompt": "a"}, key="broken", technique_id="broken"),
        *(RunRequest({"prompt": key}, key=key) for key in ("fine", "refused", "skipped")),
    ]
    fake.inject(Status(402, code="insufficient_credits"), on="start", after=2, times=None)
    found = {}
    with pytest.raises(InsufficientCreditsError):
        async with process(flora.batch("caption", rows, concurrency=1), dask, digest) as results:
            async for result in results:
                found[result.key] = result
    assert {key: type(result.error) for key, result in found.items()} == {
        "broken": RunFailedError,
        "fine": type(None),
        "refused": InsufficientCreditsError,
        "skipped": SkippedError,
    }


async def test_an_output_that_cannot_be_fetched_is_the_error_of_its_row_and_is_fetched_by_the_next_call(
    fake: FakeFlora, flora: FloraSession, dask: Client, tmp_path: Path
) -> None:
    fake.inject(Status(404), on="media", times=None)
    journal = tmp_path / "journal"
    async with process(flora.batch("cctv-cam", [IMAGE], journal=journal), dask, digest) as results:
        (result,) = [result async for result in results]
    assert isinstance(result.error, DownloadError)
    assert result.result.ok
    fake.heal()
    async with process(flora.batch("cctv-cam", [IMAGE], journal=journal), dask, digest) as results:
        (result,) = [result async for result in results]
    assert result.ok
    assert len(fake.runs) == 1


def held_rows(folder: Path, count: int) -> list[RunRequest]:
    (folder / "hold").touch()
    return [RunRequest({"prompt": f"row {n}"}, key=f"key-{n}", metadata={"folder": str(folder)}) for n in range(count)]


async def test_a_slow_cluster_stops_starts_and_a_slow_consumer_does_too(
    fake: FakeFlora, flora: FloraSession, dask: Client, tmp_path: Path
) -> None:
    rows = held_rows(tmp_path, 40)
    batch = flora.batch("caption", rows, concurrency=4)
    async with process(batch, dask, counted, in_flight=3) as results:
        reading = asyncio.ensure_future(anext(results))

        async def is_full() -> bool:
            return batch.summary.completed >= 3 + 4 and await tasks_on(dask) == 3

        await until(is_full)
        for _ in range(50):
            await asyncio.sleep(0)
        bound = 3 + 4 + 4  # in processing, waiting to be read from the batch, and under way
        assert len(fake.runs) <= bound
        (tmp_path / "hold").unlink()
        first = await reading
        await until(partial(nothing_left, dask))  # processed, and waiting to be read here
        assert len(fake.runs) <= bound + 1
        keys = {first.key} | {result.key async for result in results}
    assert keys == {row.key for row in rows}
    assert len(fake.runs) == 40


async def test_a_task_that_someone_cancels_on_the_cluster_is_submitted_again(
    fake: FakeFlora, flora: FloraSession, dask: Client, tmp_path: Path
) -> None:
    rows = held_rows(tmp_path, 4)
    async with process(flora.batch("caption", rows), dask, counted) as results:
        reading = asyncio.ensure_future(anext(results))

        async def is_full() -> bool:
            return await tasks_on(dask) == 4

        await until(is_full)
        cancelled: list[Future[Any]] = [Future(key, dask) for key in list(dask.futures)]
        await dask.cancel(cancelled)  # type: ignore[no-untyped-call]  # distributed has no types
        await until(is_full)
        (tmp_path / "hold").unlink()
        found = [await reading, *[result async for result in results]]
    assert {result.key: result.value for result in found} == {f"key-{n}": sha(f"Caption: row {n}") for n in range(4)}
    assert len(fake.runs) == 4


@pytest.mark.parametrize("how", ["break", "error", "cancellation"])
async def test_leaving_early_leaves_nothing_on_the_cluster_and_no_task_here(
    flora: FloraSession, dask: Client, tmp_path: Path, how: str
) -> None:
    rows = held_rows(tmp_path, 12)
    tasks = asyncio.all_tasks()

    async def leave() -> None:
        async with process(flora.batch("caption", rows), dask, counted) as results:
            reading = asyncio.ensure_future(anext(results))

            async def is_busy() -> bool:
                return len(list(tmp_path.iterdir())) > 4

            await until(is_busy)
            if how == "error":
                reading.cancel()
                raise LookupError
            if how == "break":
                reading.cancel()
                return
            await reading

    leaving = asyncio.ensure_future(leave())
    if how == "cancellation":
        while len(list(tmp_path.iterdir())) <= 4:
            await asyncio.sleep(0.01)
        leaving.cancel()
    (result,) = await asyncio.gather(leaving, return_exceptions=True)
    assert type(result) is {"break": type(None), "error": LookupError, "cancellation": asyncio.CancelledError}[how]
    (tmp_path / "hold").unlink()
    await until(partial(nothing_left, dask))
    assert {task for task in asyncio.all_tasks() - tasks if "flora" in repr(task.get_coro())} == set()


async def test_several_tasks_share_the_results_and_wait_for_none_after_the_block(
    flora: FloraSession, dask: Client, tmp_path: Path
) -> None:
    async def read(results: Processing[str]) -> list[str]:
        return [result.key async for result in results]

    async with process(flora.batch("caption", ROWS), dask, digest) as results:
        shares = await asyncio.gather(read(results), read(results))
    assert sorted(shares[0] + shares[1]) == sorted(EXPECTED)
    async with process(flora.batch("caption", held_rows(tmp_path, 4)), dask, counted) as results:
        reading = asyncio.ensure_future(read(results))

        async def is_busy() -> bool:
            return await tasks_on(dask) == 4

        await until(is_busy)
    (tmp_path / "hold").unlink()
    with pytest.raises(RuntimeError, match="inside the block"):
        await asyncio.wait_for(reading, 10)


async def test_the_next_call_processes_what_is_missing_and_recalls_the_rest(
    fake: FakeFlora, flora: FloraSession, dask: Client, tmp_path: Path
) -> None:
    journal, folder = tmp_path / "journal", tmp_path / "marks"
    folder.mkdir()
    rows = held_rows(folder, 8)
    (folder / "hold").unlink()
    found: dict[str, ProcessedResult[str]] = {}
    async with process(flora.batch("caption", rows, journal=journal), dask, counted) as results:
        async for result in results:
            found[result.key] = result
            if len(found) == 3:
                break
    calls = [path.name.split(".")[0] for path in folder.iterdir()]
    with JournalReader(str(journal)) as reader:
        recorded = {row.key for row in reader.rows()[0] if row.details.get("processed")}
    assert set(found) <= recorded
    async with process(flora.batch("caption", rows, journal=journal), dask, counted) as results:
        again = {result.key: result async for result in results}
    assert {key for key, result in again.items() if result.resumed} == recorded
    assert {key: result.value for key, result in again.items()} == {
        f"key-{n}": sha(f"Caption: row {n}") for n in range(8)
    }
    calls = [path.name.split(".")[0] for path in folder.iterdir()]
    assert sorted(key for key in calls if key in recorded) == sorted(recorded)
    assert len(fake.runs) == 8
    before = len(calls)
    async with process(flora.batch("caption", rows, journal=journal), dask, counted, name="second") as results:
        assert not any([result.resumed async for result in results])
    assert len(list(folder.iterdir())) == before + 8
    assert len(fake.runs) == 8


async def test_a_value_comes_back_from_the_journal_as_json_makes_it(
    flora: FloraSession, dask: Client, tmp_path: Path
) -> None:
    values: dict[str, Any] = {
        "plain": {"a": [1, None, "ä"]}, "tuple": (1, 2), "path": Path("x"), "nan": float("nan"), "long": "x" * 70_000,
        "none": None,
    }  # fmt: skip
    rows = [RunRequest({"prompt": key}, key=key) for key in values]
    found: dict[str, Any] = {}
    for _ in range(2):
        batch = flora.batch("caption", rows, journal=tmp_path / "journal")
        async with process(batch, dask, lambda row, _: values[row.key]) as results:
            found = {result.key: result.value async for result in results}
    assert found == {
        "plain": {"a": [1, None, "ä"]}, "tuple": [1, 2], "path": None, "nan": None, "long": None, "none": None
    }  # fmt: skip


async def test_a_journal_that_processing_has_written_to_is_one_for_a_batch_too(
    fake: FakeFlora, flora: FloraSession, dask: Client, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    async with process(flora.batch("caption", ROWS, journal=journal), dask, digest) as results:
        async for _ in results:
            pass
    batch = flora.batch("caption", ROWS, journal=journal, max_cost=0.12)
    async with batch:
        assert all([result.resumed async for result in batch])
    assert batch.summary.cost == pytest.approx(0.12)
    assert batch.summary.cost_is_final
    assert (await flora.batch("caption", ROWS, journal=journal).plan()).done == 12
    assert len(fake.runs) == 12


async def test_an_error_of_the_source_comes_after_the_last_result(flora: FloraSession, dask: Client) -> None:
    def broken() -> Any:
        yield from ROWS[:3]
        raise LookupError("page 2")

    async with process(flora.batch("caption", broken()), dask, digest) as results:
        found = []
        with pytest.raises(LookupError, match="page 2"):
            async for result in results:
                found.append(result.key)  # noqa: PERF401 - what came before an error counts
    assert sorted(found) == ["key-0", "key-1", "key-2"]


async def test_what_cannot_work_is_refused_before_anything_is_paid_for(
    fake: FakeFlora, flora: FloraSession, dask: Client, tmp_path: Path
) -> None:
    batch = flora.batch("caption", ROWS)
    async with client_of(dask.scheduler_info()["address"]) as closed:
        pass
    unused = FloraSession(fake.api_key)
    lock = open(tmp_path / "x", "w", encoding="utf-8")  # noqa: ASYNC230, PTH123, SIM115 - closed below
    arguments: Any
    for arguments, options, error in (
        (("batch", dask, digest), {}, TypeError),
        ((batch, "tcp://127.0.0.1:1", digest), {}, TypeError),
        ((batch, closed, digest), {}, ValueError),
        ((batch, dask, "digest"), {}, TypeError),
        ((batch, dask, flora.run), {}, TypeError),
        ((batch, dask, lambda *_: lock.name), {}, TypeError),
        ((batch, dask, lambda *_: FloraSession.run(unused, "caption", {})), {}, TypeError),
        ((batch, dask, digest), {"in_flight": 0}, ValueError),
        ((batch, dask, digest), {"retries": -1}, ValueError),
        ((batch, dask, digest), {"name": " "}, ValueError),
        ((batch, dask, digest), {"save_to": ""}, ValueError),
    ):
        with pytest.raises(error):
            process(*arguments, **options)
    lock.close()
    (tmp_path / "file").touch()
    with pytest.raises(OSError):  # noqa: PT011 - of any kind
        async with process(batch, dask, digest, save_to=tmp_path / "file"):
            pass
    assert fake.runs == ()


async def test_the_key_is_in_nothing_that_goes_to_the_cluster(
    fake: FakeFlora, flora: FloraSession, cluster: LocalCluster
) -> None:
    host, port = cluster.scheduler_address.removeprefix("tcp://").split(":")
    seen_bytes = bytearray()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            seen_bytes.extend(data)
            writer.write(data)
            await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer), return_exceptions=True)

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
        own = server.sockets[0].getsockname()[1]
        async with (
            client_of(f"tcp://127.0.0.1:{own}") as client,
            process(flora.batch("caption", ROWS), client, digest) as results,
        ):
            assert {result.key: result.value async for result in results} == EXPECTED
    assert all(run.run_id.encode() in seen_bytes for run in fake.runs)
    assert fake.api_key.encode() not in seen_bytes
    assert json.dumps(fake.api_key).encode() not in seen_bytes
