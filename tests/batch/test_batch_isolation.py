"""One row's failure is that row's, and whatever ends a batch, the results that are there are handed over."""

import asyncio
import io
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from conftest import OpenSession

from flora_async import (
    APIConnectionError,
    BatchInterruptedError,
    BatchResult,
    BatchSummary,
    FloraSession,
    NotFoundError,
    PollPolicy,
    RetryPolicy,
    RunFailedError,
    RunRequest,
    SessionClosedError,
    SkippedError,
    SubmissionUnknownError,
    WaitTimeoutError,
)
from flora_async.batch import Row
from flora_async.testing import FakeFlora, FakeTechnique, Replace, Slow, Status, VirtualClock

NEVER = float("inf")


def prompts(count: int) -> list[Row]:
    return [{"prompt": f"row {number}"} for number in range(count)]


@attrs.frozen
class Altered:
    """An answer of the server in which some fields are others."""

    fields: dict[str, Any]

    async def serve(self, exchange: Any) -> Any:
        answer = exchange.act()
        body = json.dumps(json.loads(answer.body) | self.fields).encode()
        return exchange.send(attrs.evolve(answer, body=body))


class BrokenFile(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise EOFError(f"{size} bytes of a damaged archive")


class BrokenRequest(dict[str, str]):
    def items(self) -> Any:
        raise ArithmeticError("an exception that nobody foresaw")


@pytest.mark.parametrize("inputs", [{"prompt": BrokenFile(b"x")}, BrokenRequest(prompt="x")], ids=["file", "mapping"])
async def test_an_unforeseen_exception_of_a_row_is_its_result_and_is_logged(
    flora: FloraSession, caplog: pytest.LogCaptureFixture, inputs: Any
) -> None:
    rows: list[Row] = [{"prompt": "a"}, RunRequest(inputs, key="odd"), {"prompt": "b"}]
    first, odd, last = await flora.run_all("caption", rows)
    assert (first.ok, odd.ok, last.ok) == (True, False, True)
    assert isinstance(odd.error, EOFError | ArithmeticError)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "'odd'" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is odd.error


@pytest.mark.parametrize("watch", ["each", "list"])
async def test_two_starts_that_flora_gives_the_same_run_are_two_results(
    fake: FakeFlora, flora: FloraSession, watch: Any
) -> None:
    fake.add_technique(FakeTechnique("endless", running=NEVER))
    twin = await flora.techniques.runs.create("endless", inputs={"prompt": "x"})
    fake.inject(Replace({"run_id": twin.run_id, "status": "pending"}), on="start", times=None)
    job = asyncio.create_task(flora.run_all("endless", prompts(6), watch=watch, concurrency=6))
    while not any(request.operation == "poll" for request in fake.requests):
        await asyncio.sleep(0.001)
    fake.finish(twin.run_id)
    results = await job
    assert [result.error for result in results] == [None] * 6


async def test_half_characters_in_keys_and_inputs_cost_no_row(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    half = "caf\udce9"  # a file name as os.listdir gives it
    results = await flora.run_all("caption", [RunRequest({"prompt": "x"}, key=half), *prompts(1)], save_to=tmp_path)
    assert [result.ok for result in results] == [True, True]
    assert len({path for result in results for path in result.files}) == 2
    assert len(fake.runs) == 2


async def test_a_run_whose_poll_url_may_not_be_followed_is_followed_by_its_id(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.inject(Altered({"poll_url": "https://elsewhere.example/run"}), on="start", times=None)
    for watch in ("each", "auto"):
        results = await flora.run_all("caption", prompts(3), watch=watch)
        assert all(result.ok for result in results)


def broken_source() -> Iterator[Row]:
    yield from prompts(3)
    raise LookupError("the source's own")


async def test_run_all_raises_a_broken_source_with_the_results_so_far(fake: FakeFlora, flora: FloraSession) -> None:
    with pytest.raises(BatchInterruptedError, match=r"LookupError: the source's own.*3 results") as caught:
        await flora.run_all("caption", broken_source())
    assert isinstance(caught.value.__cause__, LookupError)
    assert [(result.index, result.ok) for result in caught.value.results] == [(0, True), (1, True), (2, True)]
    assert len(fake.runs) == 3


async def test_a_source_whose_own_work_was_cancelled_ends_the_batch_with_the_results_so_far(
    flora: FloraSession,
) -> None:
    async def source() -> AsyncIterator[dict[str, str]]:
        yield {"prompt": "a"}
        reading = asyncio.create_task(asyncio.sleep(3600))
        reading.cancel()
        await reading

    with pytest.raises(BatchInterruptedError, match="was cancelled") as caught:
        await flora.run_all("caption", source())
    assert [result.ok for result in caught.value.results] == [True]


async def test_run_all_raises_a_broken_listener_with_the_results_so_far(flora: FloraSession) -> None:
    def listen(summary: BatchSummary) -> None:
        if summary.completed >= 2:
            raise LookupError("the listener's own")

    with pytest.raises(BatchInterruptedError) as caught:
        await flora.run_all("caption", prompts(10), concurrency=2, on_progress=listen)
    assert isinstance(caught.value.__cause__, LookupError)
    assert len(caught.value.results) >= 2
    assert all(result.ok for result in caught.value.results)


async def test_a_cancelled_listener_does_not_take_the_result_with_it(flora: FloraSession) -> None:
    is_called = asyncio.Event()

    async def listen(_: BatchSummary) -> None:
        is_called.set()
        await asyncio.Event().wait()

    async with flora.batch("caption", prompts(1), on_progress=listen) as batch:
        waiting = asyncio.ensure_future(anext(batch))
        await is_called.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await anext(batch)).ok


@pytest.mark.parametrize("check", [True, False])
async def test_a_misspelt_technique_stops_the_batch_before_anything_is_spent(
    fake: FakeFlora, flora: FloraSession, check: bool
) -> None:
    results: list[BatchResult] = []
    with pytest.raises(NotFoundError):
        async with flora.batch("captoin", prompts(20), concurrency=2, check=check) as batch:
            results += [result async for result in batch]
    assert len(results) == 20
    assert sum(isinstance(result.error, NotFoundError) for result in results) <= 2
    assert all(isinstance(result.error, NotFoundError | SkippedError) for result in results)
    assert not fake.runs


@pytest.mark.parametrize("check", [True, False])
async def test_a_misspelt_technique_of_one_row_is_that_rows_error(
    fake: FakeFlora, flora: FloraSession, check: bool
) -> None:
    rows: list[Row] = [RunRequest({"prompt": "x"}, technique_id="captoin"), *prompts(3)]
    bad, *good = await flora.run_all("caption", rows, check=check)
    assert isinstance(bad.error, NotFoundError)
    assert all(result.ok for result in good)
    assert len(fake.runs) == 3


async def test_a_file_that_meets_a_404_does_not_stop_the_batch(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    fake.inject(Status(404), on="asset", times=None)
    bad, good = await flora.run_all("cctv-cam", [{"input_image": photo}, {"input_image": "https://example.com/a.png"}])
    assert not bad.ok
    assert good.ok


async def test_pages_without_end_do_not_outlast_the_deadline_of_a_run(fake: FakeFlora, session_on: OpenSession) -> None:
    fake.add_technique(FakeTechnique("endless", running=NEVER))
    flora = session_on(fake, poll=PollPolicy(initial=0.01, maximum=0.05, timeout=0.5))
    job = asyncio.create_task(flora.run_all("endless", prompts(6), watch="list"))
    while len(fake.runs) < 6:
        await asyncio.sleep(0.001)
    for number in range(5_000):  # more than could be read in the time: others' runs, newer than ours, on and on
        page = {"technique_runs": [], "meta": {"next_cursor": f"c{number}"}}
        fake.inject(Replace(page), on="history", times=1)
    results = await job
    assert all(isinstance(result.error, WaitTimeoutError) and result.run for result in results)
    assert sum(request.operation == "history" for request in fake.requests) < 500


async def test_a_page_that_does_not_end_does_not_outlast_the_deadline_of_a_run(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    fake.add_technique(FakeTechnique("endless", running=NEVER))
    fake.inject(Slow(3600), on="history", times=None)
    flora = session_on(fake, timeout=None, poll=PollPolicy(initial=0.01, maximum=0.05, timeout=0.3))
    results = await flora.run_all("endless", prompts(6), watch="list")
    assert all(isinstance(result.error, WaitTimeoutError) and result.run for result in results)


async def test_leaving_early_logs_the_ids_of_runs_that_continue(
    fake: FakeFlora, flora: FloraSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flora_async")
    fake.add_technique(FakeTechnique("endless", running=NEVER))
    async with flora.batch("endless", prompts(3)) as batch:
        reading = asyncio.ensure_future(anext(batch))
        while len(batch.summary.in_flight) < 3:
            await asyncio.sleep(0.001)
        reading.cancel()
        await asyncio.wait([reading])
    (line,) = [record.getMessage() for record in caplog.records if "still running" in record.getMessage()]
    assert all(run.run_id in line for run in fake.runs)


async def test_a_source_that_fails_to_close_leaves_no_task_behind(flora: FloraSession) -> None:
    async def source() -> AsyncIterator[Row]:
        try:
            while True:
                yield {"prompt": "x"}
        finally:
            raise LookupError("on closing")

    with pytest.raises(LookupError, match="closing"):
        async with flora.batch("caption", source()) as batch:
            await anext(batch)
    assert not [task for task in asyncio.all_tasks() if "flora_async/batch" in repr(task)]


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def test_an_outage_pauses_a_batch_and_costs_no_row(closed_port: int, caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeFlora(port=closed_port)
    retry = RetryPolicy(attempts=2, initial=0.001, maximum=0.01, outage=30)
    async with FloraSession(fake.api_key, base_url=f"http://127.0.0.1:{closed_port}/api/v1", retry=retry) as flora:
        job = asyncio.create_task(flora.run_all("caption", prompts(40), check=False))
        while not any("cannot be reached" in record.getMessage() for record in caplog.records):
            await asyncio.sleep(0.001)
        async with fake:
            assert [result.error for result in await job] == [None] * 40
    assert len(fake.runs) == 40


async def test_an_outage_that_lasts_too_long_stops_the_batch(closed_port: int) -> None:
    retry = RetryPolicy(attempts=2, initial=0.001, maximum=0.01, outage=0.05)
    flora = FloraSession("sk_test_1", base_url=f"http://127.0.0.1:{closed_port}/api/v1", retry=retry)
    results: list[BatchResult] = []
    with pytest.raises(APIConnectionError):
        async with flora, flora.batch("caption", prompts(40), check=False, concurrency=4) as batch:
            results += [result async for result in batch]
    assert len(results) == 40
    assert 1 <= sum(isinstance(result.error, APIConnectionError) for result in results) <= 4 + 1
    assert all(result.skipped or isinstance(result.error, APIConnectionError) for result in results)


async def test_a_session_closed_under_a_batch_ends_it_with_every_run_or_key_on_a_result(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.add_technique(FakeTechnique("endless", running=NEVER))
    rows: list[Row] = [*prompts(3), *[RunRequest({"prompt": "x"}, technique_id="endless")] * 4, *prompts(20)]
    results: list[BatchResult] = []
    batch = flora.batch("caption", rows, concurrency=7)
    with pytest.raises(SessionClosedError):
        async with batch:
            async for result in batch:
                results.append(result)
                if len(results) == 3:
                    while len(batch.summary.in_flight) < 4:
                        await asyncio.sleep(0.001)
                    await flora.close()
    assert len(results) == 27
    run_ids = {result.run.run_id for result in results if result.run}
    keys = {result.error.idempotency_key for result in results if isinstance(result.error, SubmissionUnknownError)}
    assert [run for run in fake.runs if run.run_id not in run_ids and run.idempotency_key not in keys] == []
    errors = (SkippedError, SessionClosedError, SubmissionUnknownError)
    assert all(result.ok or isinstance(result.error, errors) for result in results)


@pytest.mark.parametrize(
    ("code", "message", "runs"),
    [
        ("GENERATION_PROVIDER_TIMEOUT", "the provider did not answer", 3),
        ("GENERATION_DOWNSTREAM_SERVICE_ERROR", "the provider is busy", 3),
        ("GPU_PROVIDER_ERROR", "blocked by the safety system", 1),
        ("GENERATION_INVALID_PARAMS", "no such size", 1),
        ("GENERATION_NOT_PAID", "no credits", 1),
        ("SOMETHING_NEW", "who knows", 1),
    ],
)
async def test_a_failed_run_is_run_again_as_its_failure_advises(
    session_on: OpenSession, clock: VirtualClock, code: str, message: str, runs: int
) -> None:
    async with FakeFlora(clock=clock) as fake:
        fake.add_technique(FakeTechnique("failing", error_code=code, error_message=message))
        flora = session_on(fake, clock=clock)
        (result,) = await flora.run_all("failing", prompts(1), run_attempts=3)
        assert isinstance(result.error, RunFailedError)
        assert len(fake.runs) == result.attempts == runs
        first, *_, last = fake.runs if runs > 1 else [*fake.runs, *fake.runs]
        waited = last.created - first.created
        assert waited >= 7.5 if code == "GENERATION_DOWNSTREAM_SERVICE_ERROR" else waited < 2


@pytest.mark.parametrize("watch", ["each", "list"])
async def test_the_log_tells_the_end_of_each_run(
    fake: FakeFlora, flora: FloraSession, caplog: pytest.LogCaptureFixture, watch: Any
) -> None:
    caplog.set_level(logging.INFO, "flora_async")
    await flora.run_all("caption", prompts(6), watch=watch)
    lines = [record.getMessage() for record in caplog.records if " ended: completed" in record.getMessage()]
    assert sorted(line.split()[1] for line in lines) == sorted(run.run_id for run in fake.runs)


class BrokenClock(VirtualClock):
    """Breaks in the pauses between two readings of the history."""

    async def sleep(self, seconds: float) -> None:
        if abs(seconds - 0.0123) < 1e-6:
            raise ArithmeticError("an exception that nobody foresaw")
        await super().sleep(seconds)


async def test_an_unforeseen_exception_of_the_shared_watcher_costs_no_run(
    session_on: OpenSession, caplog: pytest.LogCaptureFixture
) -> None:
    clock = BrokenClock()
    async with FakeFlora(clock=clock) as fake:
        flora = session_on(fake, clock=clock, poll=PollPolicy(initial=0.0123, maximum=1.0))
        results = await flora.run_all("caption", prompts(12), watch="list")
        assert [result.error for result in results] == [None] * 12
    assert any(isinstance(r.exc_info[1], ArithmeticError) for r in caplog.records if r.exc_info)


async def test_a_start_in_doubt_does_not_adopt_the_run_of_another_row_of_an_earlier_process(
    session_on: OpenSession, tmp_path: Path
) -> None:
    rows = [RunRequest({"prompt": f"row {number}"}, key=f"key-{number}") for number in range(3)]
    async with FakeFlora(idempotency="suppress") as fake:
        unresolved = session_on(fake, retry=RetryPolicy(attempts=1, resolve=False, settle=None))
        fake.inject(Status(504, acts=True), on="start", after=1)
        first = await unresolved.run_all("caption", rows, journal=tmp_path / "j", concurrency=1)
        (lost,) = [result for result in first if not result.ok]
        assert isinstance(lost.error, SubmissionUnknownError)
        second = await session_on(fake).run_all("caption", rows, journal=tmp_path / "j")
        assert all(result.ok and result.run for result in second)
        assert [result.run.adopted for result in second if result.run] == [result is lost for result in first]
        texts = [result.outputs[0].text for result in second]
        assert texts == [f"Caption: row {number}" for number in range(3)]
        assert len(fake.runs) == 3


async def test_a_row_that_was_never_started_counts_no_attempt(fake: FakeFlora, flora: FloraSession) -> None:
    refused, malformed = await flora.run_all("caption", [{"promt": "x"}, {"prompt": 1}])  # type: ignore[dict-item]  # wrong on purpose
    assert (refused.status, refused.attempts, malformed.attempts) == ("not_started", 0, 0)
    assert fake.runs == ()
