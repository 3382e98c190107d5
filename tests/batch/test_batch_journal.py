"""The journal: whatever happens to the process, every row is done exactly once, and no other file is touched."""

import asyncio
import os
import random
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from conftest import UNRESOLVED, OpenSession

from flora_async import (
    BudgetExceededError,
    FloraSession,
    JournalError,
    RetryPolicy,
    RunFailedError,
    RunRequest,
    SubmissionUnknownError,
)
from flora_async.batch import write_report
from flora_async.batch.sqlite import SqliteJournal
from flora_async.batch.techniques import plan_technique
from flora_async.batch.watchers import Watch
from flora_async.testing import Drop, FakeFlora, FakeTechnique, RecordedRequest, Status

ROWS = [RunRequest({"prompt": f"row {number}"}, key=f"key-{number}") for number in range(12)]

CHILD = """
import asyncio, sys
from flora_async import FloraSession, PollPolicy, RetryPolicy, RunRequest

rows = [RunRequest({"prompt": f"row {n}"}, key=f"key-{n}") for n in range(int(sys.argv[2]))]

async def main():
    async with FloraSession(
        retry=RetryPolicy(initial=0.01, maximum=0.05, settle=0.1), poll=PollPolicy(initial=0.01, maximum=0.05)
    ) as flora:
        results = await flora.run_all("caption", rows, journal=sys.argv[1], concurrency=8)
        for result in results:
            print(result.key, result.run.run_id if result.ok else result.error)

asyncio.run(main())
"""


def starts(fake: FakeFlora) -> list[RecordedRequest]:
    return [request for request in fake.requests if request.operation == "start"]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "batch.sqlite"


@pytest.mark.parametrize("watch", ["each", "list"])
async def test_a_second_call_takes_finished_rows_from_the_journal(
    fake: FakeFlora, flora: FloraSession, journal: Path, watch: Watch
) -> None:
    first = await flora.run_all("caption", ROWS, journal=journal, watch=watch)
    requests = len(fake.requests)
    second = await flora.run_all("caption", ROWS, journal=journal, watch=watch)
    assert [result.run for result in second] == [result.run for result in first]
    assert all(result.ok and result.resumed for result in second)
    assert not any(result.resumed for result in first)
    assert (len(fake.runs), len(fake.requests)) == (12, requests)


async def test_rows_can_be_added_removed_and_moved_between_calls(
    fake: FakeFlora, flora: FloraSession, journal: Path
) -> None:
    await flora.run_all("caption", ROWS[:6], journal=journal)
    results = await flora.run_all(
        "caption", [*reversed(ROWS[3:]), RunRequest({"prompt": "new"}, key="new")], journal=journal
    )
    assert all(result.ok for result in results)
    assert sum(result.resumed for result in results) == 3
    assert len(fake.runs) == 13


async def test_a_row_whose_inputs_have_changed_is_a_new_row(
    fake: FakeFlora, flora: FloraSession, journal: Path
) -> None:
    await flora.run_all("caption", [RunRequest({"prompt": "old"}, key="a")], journal=journal)
    (result,) = await flora.run_all("caption", [RunRequest({"prompt": "new"}, key="a")], journal=journal)
    assert not result.resumed
    assert [run.inputs["prompt"] for run in fake.runs] == ["old", "new"]


async def test_leaving_early_is_gone_on_with_by_the_poll_url_and_nothing_is_started_again(
    fake: FakeFlora, flora: FloraSession, journal: Path
) -> None:
    fake.add_technique(FakeTechnique("endless", running=float("inf")))
    async with flora.batch("endless", ROWS, journal=journal, concurrency=12) as batch:
        reading = asyncio.ensure_future(anext(batch))
        while len(batch.summary.in_flight) < 12:
            await asyncio.sleep(0.001)
        reading.cancel()
        await asyncio.wait([reading])
    for run in fake.runs:
        fake.finish(run.run_id)
    results = await flora.run_all("endless", ROWS, journal=journal)
    assert all(result.ok and result.resumed for result in results)
    assert len(fake.runs) == 12


async def test_a_start_in_doubt_is_sent_again_under_its_key_by_the_next_call(
    fake: FakeFlora, flora: FloraSession, session_on: OpenSession, journal: Path
) -> None:
    fake.inject(Status(504, acts=True), on="start")
    first = await session_on(fake, retry=UNRESOLVED).run_all("caption", ROWS, journal=journal)
    (doubtful,) = [result for result in first if not result.ok]
    assert isinstance(doubtful.error, SubmissionUnknownError)
    second = await flora.run_all("caption", ROWS, journal=journal)
    assert all(result.ok for result in second)
    assert len(fake.runs) == 12


async def test_failed_runs_stay_done_unless_more_attempts_are_allowed(
    fake: FakeFlora, flora: FloraSession, journal: Path
) -> None:
    fake.add_technique(FakeTechnique("flaky", error_code="model_timeout"))
    for _ in range(2):
        (result,) = await flora.run_all("flaky", ROWS[:1], journal=journal)
        assert isinstance(result.error, RunFailedError)
    assert len(fake.runs) == 1
    fake.add_technique(FakeTechnique("flaky"))
    (result,) = await flora.run_all("flaky", ROWS[:1], journal=journal, run_attempts=2)
    assert result.ok
    assert result.attempts == len(fake.runs) == 2


async def test_a_budget_counts_what_earlier_calls_have_spent(
    fake: FakeFlora, flora: FloraSession, journal: Path
) -> None:
    fake.add_technique(FakeTechnique("priced", run_cost=0.1))
    first = await flora.run_all("priced", ROWS, journal=journal, max_cost=0.5)
    second = await flora.run_all("priced", ROWS, journal=journal, max_cost=0.75)
    assert [sum(result.ok for result in results) for results in (first, second)] == [5, 7]
    assert sum(isinstance(result.error, BudgetExceededError) for result in second) == 5
    assert len(fake.runs) == 7


async def test_each_step_is_in_the_file_before_the_next_is_taken(
    fake: FakeFlora, flora: FloraSession, journal: Path
) -> None:
    fake.inject(Status(400), on="start")
    await flora.run_all("caption", ROWS[:2], journal=journal, concurrency=1)
    with sqlite3.connect(journal) as database:
        rows = dict(database.execute("SELECT key, state FROM rows").fetchall())
        keys = {key for (key,) in database.execute("SELECT idempotency_key FROM rows").fetchall()}
    database.close()
    assert rows == {"key-0": "planned", "key-1": "finished"}
    assert keys == {request.json["idempotency_key"] for request in fake.requests if request.operation == "start"}


async def test_what_an_earlier_call_has_started_is_reserved_for_before_anything_else_is(
    fake: FakeFlora, flora: FloraSession, session_on: OpenSession, journal: Path
) -> None:
    fake.add_technique(FakeTechnique("priced", run_cost=1.0))
    fake.inject(Status(504, acts=True), on="start")
    await session_on(fake, retry=UNRESOLVED).run_all("priced", ROWS[:1], journal=journal)
    rows = [ROWS[1], ROWS[0]]
    new, old = await flora.run_all("priced", rows, journal=journal, max_cost=1.0)
    assert isinstance(new.error, BudgetExceededError)
    assert old.ok
    assert len(fake.runs) == 1


@pytest.mark.parametrize("later", [-7200.0, 60.0, float("nan"), float("inf")])
async def test_a_start_in_doubt_is_not_sent_again_unless_flora_is_sure_to_know_its_key(
    fake: FakeFlora, flora: FloraSession, session_on: OpenSession, journal: Path, later: float
) -> None:
    fake.inject(Status(504, acts=True), on="start")
    await session_on(fake, retry=UNRESOLVED).run_all("caption", ROWS[:1], journal=journal)
    row = await plan_technique(ROWS[0], "key-0", 0, "caption")
    record = await SqliteJournal.open(journal, None)
    entry = await record.find(row)
    assert entry is not None
    assert entry.since is not None
    await record.write(row, evolve(entry, since=entry.since + later))
    await record.close()
    (result,) = await flora.run_all("caption", ROWS[:1], journal=journal)
    assert isinstance(result.error, SubmissionUnknownError)
    assert len(fake.runs) == len(starts(fake)) == 1


async def test_a_start_in_doubt_is_left_in_doubt_where_nothing_may_be_sent_again(
    fake: FakeFlora, session_on: OpenSession, journal: Path
) -> None:
    flora = session_on(fake, retry=RetryPolicy(settle=None))
    fake.inject(Status(504, acts=True), on="start")
    for _ in range(2):
        (result,) = await flora.run_all("caption", ROWS[:1], journal=journal)
        assert isinstance(result.error, SubmissionUnknownError)
    assert len(starts(fake)) == 1


async def test_a_refusal_of_a_start_in_doubt_leaves_it_in_doubt(
    fake: FakeFlora, session_on: OpenSession, flora: FloraSession, journal: Path
) -> None:
    fake.inject(Status(504, acts=True), on="start")
    fake.inject(Status(402), on="start")
    for session in (session_on(fake, retry=UNRESOLVED), flora):
        (result,) = await session.run_all("caption", ROWS[:1], journal=journal)
        assert isinstance(result.error, SubmissionUnknownError)
    (result,) = await flora.run_all("caption", ROWS[:1], journal=journal)
    assert result.ok
    assert len(fake.runs) == 1


async def test_two_batches_on_one_journal_at_once_are_refused(flora: FloraSession, journal: Path) -> None:
    async with flora.batch("caption", ROWS, journal=journal):
        with pytest.raises(JournalError, match="in use by another process") as caught:
            await flora.run_all("caption", ROWS, journal=journal)
    assert caught.value.journal == str(journal)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a database", b"SQLite format 3\x00" + b"\x00" * 500, os.urandom(5000), "foreign", "damaged"],
    ids=["empty", "text", "header alone", "noise", "foreign", "damaged"],
)
async def test_a_foreign_or_damaged_file_is_refused_and_left_as_it_is(
    fake: FakeFlora, flora: FloraSession, journal: Path, content: Any
) -> None:
    if content == "foreign":
        with sqlite3.connect(journal) as database:
            database.execute("CREATE TABLE mine (a)")
        database.close()
    elif content == "damaged":
        await flora.run_all("caption", ROWS, journal=journal)
        whole = journal.read_bytes()
        journal.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
        fake.requests.clear()
    else:
        journal.write_bytes(content)
    before = journal.read_bytes()
    with pytest.raises(JournalError):
        await flora.run_all("caption", ROWS, journal=journal)
    assert journal.read_bytes() == before
    assert not fake.requests


async def test_a_journal_of_another_batch_is_refused(flora: FloraSession, journal: Path) -> None:
    await flora.run_all("caption", ROWS[:1], journal=journal, name="spring")
    with pytest.raises(JournalError, match="spring"):
        await flora.run_all("caption", ROWS[:1], journal=journal, name="autumn")
    assert (await flora.run_all("caption", ROWS[:1], journal=journal))[0].resumed


async def test_a_journal_that_cannot_be_made_is_an_error_before_anything_is_spent(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    with pytest.raises(JournalError, match="not a regular file"):
        await flora.run_all("caption", ROWS, journal=tmp_path)
    assert not fake.requests
    assert not list(tmp_path.iterdir())


async def test_missing_directories_are_created_for_the_journal_the_outputs_and_the_report_alike(
    flora: FloraSession, tmp_path: Path
) -> None:
    places = {name: tmp_path / name / "of" / "spring" for name in ("journal", "outputs", "report")}
    options: dict[str, Any] = {"journal": places["journal"] / "batch.sqlite", "save_to": places["outputs"]}
    assert (await flora.batch("caption", ROWS[:1], **options).plan()).cost
    assert not list(tmp_path.iterdir())  # a plan changes nothing
    (result,) = await flora.run_all("caption", ROWS[:1], **options)
    await write_report([result], places["report"] / "report.html")
    assert options["journal"].is_file()
    assert (places["report"] / "report.html").is_file()
    assert set(result.files) < set(places["outputs"].iterdir())  # beside the side-car
    assert (await flora.run_all("caption", ROWS[:1], **options))[0].resumed


async def test_a_conflict_over_a_key_of_our_own_finds_the_run_and_starts_nothing(
    session_on: OpenSession, journal: Path
) -> None:
    async with FakeFlora(idempotency="suppress") as fake:
        fake.inject(Drop(acts=True), on="start", times=1)
        (first,) = await session_on(fake, retry=UNRESOLVED).run_all("caption", ROWS[:1], journal=journal)
        assert isinstance(first.error, SubmissionUnknownError)
        (second,) = await session_on(fake).run_all("caption", ROWS[:1], journal=journal)
        assert second.run is not None
        assert second.run.adopted
        assert [run.run_id for run in fake.runs] == [second.run.run_id]


@pytest.mark.timeout(180)
async def test_a_process_killed_at_any_instant_and_started_again_does_every_row_once(tmp_path: Path) -> None:
    dice = random.Random(20)
    journal, count = tmp_path / "batch.sqlite", 60
    # By replay, FLORA tells the starts apart that one kill has left in doubt together.
    async with FakeFlora(run_seconds=0.3, idempotency="replay") as fake:
        environment = {**os.environ, "FLORA_API_KEY": fake.api_key, "FLORA_BASE_URL": fake.base_url}

        async def start() -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-c", CHILD, str(journal), str(count), env=environment, stdout=asyncio.subprocess.PIPE
            )

        killed = 0
        while killed < 10 and sum(run.status == "completed" for run in fake.runs) < count:
            child = await start()
            # An instant at random: so many more requests than FLORA has seen now, or so long after they began.
            goal = len(fake.requests) + dice.randrange(12)
            while len(fake.requests) < goal and child.returncode is None:
                await asyncio.sleep(0.001)
            await asyncio.sleep(dice.random() * 0.02)
            if child.returncode is None:
                child.send_signal(signal.SIGKILL)
                killed += 1
            await child.communicate()
        child = await start()
        out, _ = await child.communicate()
        assert child.returncode == 0
        assert killed >= 5
        assert len(fake.runs) == count
        assert dict(line.split() for line in out.decode().splitlines()) == {
            run.inputs["prompt"].replace("row ", "key-"): run.run_id for run in fake.runs
        }
