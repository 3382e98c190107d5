"""The file of a journal: what is written is read back, and damage is noticed without a change to the file."""

import asyncio
import gc
import hashlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from forks import forks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flora_async import JournalError, Run, RunRequest
from flora_async.batch.journal import Entry, Unsettled
from flora_async.batch.journal_file import JournalFile
from flora_async.batch.records import encode_entry
from flora_async.batch.rows import Planned
from flora_async.batch.sqlite import SqliteJournal
from flora_async.batch.techniques import plan_technique
from flora_async.models import OutputType, RunOutput, RunStatus
from flora_async.testing import FakeFlora

FINISHED = Run(
    run_id="run_1",
    status=RunStatus.COMPLETED,
    charged_cost=0.05,
    outputs=(RunOutput("o", OutputType.TEXT, "a text"),),
    extra={"seed": 7},
)
IN_FORCE = bytes.fromhex("d9d505f920a163d7")  # how a rollback journal starts that SQLite has to apply
ANY_TEXT = st.text(st.characters(), max_size=40)  # surrogates and NUL as well
ANY_NUMBER = st.floats(allow_nan=True, allow_infinity=True)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | ANY_NUMBER | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "batch.sqlite"


async def planned(key: str = "key", prompt: str = "a red bicycle") -> Planned:
    return await plan_technique(RunRequest({"prompt": prompt}, key=key), key, 0, "caption")


async def write(path: Path, entries: dict[str, Entry], name: str | None = None) -> None:
    journal = await SqliteJournal.open(path, name)
    rows = [await planned(key) for key in entries]
    await asyncio.gather(*(journal.write(row, entry) for row, entry in zip(rows, entries.values(), strict=True)))
    await journal.close()


async def read(path: Path, *keys: str) -> list[Entry | None]:
    journal = await SqliteJournal.open(path, None)
    try:
        return [await journal.find(await planned(key)) for key in keys]
    finally:
        await journal.close()


def state_of(folder: Path) -> dict[str, tuple[int, str]]:
    """Everything in a directory but the locks: when it was changed, and what it holds."""
    return {
        file.name: (file.stat().st_mtime_ns, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in sorted(folder.iterdir())
        if file.suffix != ".lock" and file.is_file()
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=ANY_TEXT.filter(str.strip),
    name=ANY_TEXT,
    run_id=ANY_TEXT.filter(bool),
    text=ANY_TEXT,
    extra=st.dictionaries(ANY_TEXT.map("x-{}".format), ANY_JSON, max_size=3),
    number=st.none() | ANY_NUMBER,
    callback_url=st.none() | ANY_TEXT,
)
def test_every_text_and_every_number_is_read_back_as_it_was_written(  # noqa: PLR0913, PLR0917 - what is drawn
    key: str, name: str, run_id: str, text: str, extra: Any, number: float | None, callback_url: str | None
) -> None:
    async def check() -> None:
        run = evolve(FINISHED, run_id=run_id, error_message=text, extra=extra)
        inputs = [[text, "text", text]]
        entry = Entry("running", 2, run, number, 1.5, inputs, number, callback_url, {text: number})
        row = await planned(key, text)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "batch.sqlite")
            journal = await SqliteJournal.open(path, name)
            assert journal.name == name
            await journal.write(row, entry)
            await journal.close()
            journal = await SqliteJournal.open(path, name)
            found = await journal.find(row)
            ids = await journal.run_ids()
            await journal.close()
        assert repr(found) == repr(entry)  # equal, and NaN is NaN
        assert ids == {run_id}

    asyncio.run(check())


async def test_a_value_of_a_million_characters_is_read_back(path: Path) -> None:
    run = evolve(FINISHED, outputs=(RunOutput("o", OutputType.TEXT, "ä\x00" * 500_000),))
    await write(path, {"key": Entry("finished", 1, run, 0.05)})
    (found,) = await read(path, "key")
    assert found is not None
    assert found.run == run


async def test_ended_runs_without_a_cost_are_known_to_be_unsettled_until_their_cost_is_recorded(path: Path) -> None:
    late = evolve(FINISHED, run_id="run_2", charged_cost=None)
    entries = {
        "known": Entry("finished", 1, FINISHED, 0.05),
        "late": Entry("finished", 1, late, None, 10.0, price=0.02),
        "open": Entry("running", 1, evolve(late, run_id="run_3", status="running")),
        "doubtful": Entry("submitting", 1, None, since=11.0),
        "refused": Entry("planned", 1, None),
    }
    await write(path, entries)
    journal = await SqliteJournal.open(path, None)
    assert await journal.costs() == [("technique:caption", 0.05)]
    assert await journal.unsettled() == [Unsettled("run_2", "technique", "caption", 0.02, 10.0)]
    assert await journal.open_rows() == ["technique:caption"] * 2
    assert await journal.run_ids() == {"run_1", "run_2", "run_3"}
    await journal.settle({"run_2": 0.03})
    assert sorted(cost.usd for cost in await journal.costs()) == [0.03, 0.05]
    assert await journal.unsettled() == []
    await journal.close()
    assert await read(path, *entries) == list(entries.values())


async def test_a_cost_that_became_known_before_a_row_was_processed_stays_known(path: Path) -> None:
    late = Entry("finished", 1, evolve(FINISHED, charged_cost=None), None, 10.0, price=0.02)
    await write(path, {"key": late})
    journal = await SqliteJournal.open(path, None)
    await journal.settle({"run_1": 0.03})
    await journal.write(await planned(), evolve(late, processed={"process": [1, None]}))
    assert await journal.costs() == [("technique:caption", 0.03)]
    assert await journal.unsettled() == []
    await journal.close()
    (found,) = await read(path, "key")
    assert found is not None
    assert found.processed == {"process": [1, None]}


async def test_the_ids_and_costs_of_earlier_attempts_at_a_row_are_kept(path: Path) -> None:
    failed = evolve(FINISHED, run_id="run_0", status="failed")
    await write(path, {"key": Entry("finished", 1, failed, 0.01)})
    await write(path, {"key": Entry("finished", 2, FINISHED, 0.05)})
    journal = await SqliteJournal.open(path, None)
    assert await journal.run_ids() == {"run_0", "run_1"}
    assert sorted(cost.usd for cost in await journal.costs()) == [0.01, 0.05]
    await journal.close()


async def test_rows_that_wait_together_share_a_commit_and_a_cancelled_one_is_written_all_the_same(path: Path) -> None:
    journal = await SqliteJournal.open(path, None)
    rows = [await planned(f"key-{number}") for number in range(60)]
    entry = Entry("submitting", 1, None, since=1.0)
    before = change_counter(path)
    tasks = [asyncio.create_task(journal.write(row, entry)) for row in rows]
    await asyncio.sleep(0)
    tasks[30].cancel()
    await asyncio.wait(tasks)
    assert change_counter(path) == before + 1
    assert tasks[30].cancelled()
    assert [await journal.find(row) for row in rows] == [entry] * 60
    await journal.close()


async def test_few_prepared_statements_are_kept_however_many_sizes_groups_have(path: Path) -> None:
    journal = await SqliteJournal.open(path, None)
    for size in range(1, 20):
        rows = [await planned(f"{size}-{number}") for number in range(size)]
        await asyncio.gather(*(journal.write(row, Entry("planned", 1, None)) for row in rows))
    gc.collect()
    kept = sum(type(each).__name__ == "Statement" for each in gc.get_objects())
    await journal.close()
    assert 1 <= kept <= 8


def change_counter(path: Path) -> int:
    """How many transactions the file has seen (SQLite's file format, 1.3.6)."""
    return int.from_bytes(path.read_bytes()[24:28], "big")


async def test_what_waits_to_be_written_is_written_before_the_journal_is_closed(path: Path) -> None:
    journal = await SqliteJournal.open(path, None)
    rows = [await planned(f"key-{number}") for number in range(250)]
    tasks = [asyncio.create_task(journal.write(row, Entry("planned", 1, None))) for row in rows]
    await asyncio.sleep(0)
    await journal.close()
    await asyncio.gather(*tasks)
    assert None not in await read(path, *(row.key for row in rows))
    with pytest.raises(JournalError, match="closed"):
        await journal.write(rows[0], Entry("planned", 1, None))


async def test_a_clean_end_leaves_one_file_no_thread_and_no_lock(path: Path) -> None:
    await write(path, {"key": Entry("finished", 1, FINISHED, 0.05)})
    assert {file.name for file in path.parent.iterdir()} <= {path.name, f"{path.name}.lock"}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("flora-journal")]
    await write(path, {})
    journal = await SqliteJournal.open(path, None)
    await journal.close()
    await journal.close()
    with pytest.raises(JournalError, match="closed"):
        await journal.write(await planned(), Entry("planned", 1, None))


async def test_a_program_that_reads_the_journal_does_not_get_in_the_way_of_its_end(path: Path) -> None:
    journal = await SqliteJournal.open(path, None)
    await journal.write(await planned(), Entry("planned", 1, None))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN")
        assert database.execute("SELECT key, state FROM rows").fetchall() == [("key", "planned")]
        await journal.close()
    assert await read(path, "key") == [Entry("planned", 1, None)]


async def test_a_record_waits_for_a_program_that_reads_the_journal(path: Path) -> None:
    journal = await SqliteJournal.open(path, None)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN")
        database.execute("SELECT count(*) FROM rows").fetchall()
        writing = asyncio.create_task(journal.write(await planned(), Entry("planned", 1, None)))
        while is_free_to_write(path):
            await asyncio.sleep(0.001)
        assert not writing.done()
    await writing
    await journal.close()
    assert await read(path, "key") == [Entry("planned", 1, None)]


def is_free_to_write(path: Path) -> bool:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True


async def test_opening_cancelled_at_any_turn_leaves_no_thread_and_no_lock(path: Path) -> None:
    await write(path, {"key": Entry("finished", 1, FINISHED, 0.05)})
    for turns in range(6):
        opening = asyncio.create_task(SqliteJournal.open(path, None))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled():  # its thread was quicker
            await opening.result().close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("flora-journal")]
    await write(path, {})


async def test_a_batch_in_the_same_process_is_refused_and_the_lock_stays(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.sqlite"
    link.symlink_to(path)
    first = await SqliteJournal.open(path, None)
    for other in (path, link, tmp_path / "." / path.name, Path(os.path.relpath(path))):
        with pytest.raises(JournalError, match="in use"):
            await SqliteJournal.open(other, None)
        child = open_in_a_child(path)
        assert "in use" in child.stdout
    await first.close()
    assert open_in_a_child(path).stdout == "opened\n"


OPEN = """
import asyncio, sys
from flora_async import JournalError
from flora_async.batch.sqlite import SqliteJournal

async def main():
    try:
        journal = await SqliteJournal.open(sys.argv[1], None)
    except JournalError as error:
        print(error)
    else:
        print("opened")
        await journal.close()

asyncio.run(main())
"""


def open_in_a_child(path: Path, prepare: Callable[[], None] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - this interpreter, and a program of this file
        [sys.executable, "-c", OPEN, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=prepare,
    )


async def test_what_is_not_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "beside.sqlite-journal")
    for place in (*(tmp_path / name for name in ("fifo", "directory", "loop", "beside.sqlite")), Path("/dev/zero")):
        with pytest.raises(JournalError, match="not a regular file"):
            await SqliteJournal.open(place, None)
    assert {file.name for file in tmp_path.iterdir()} == {"fifo", "directory", "loop", "beside.sqlite-journal"}


async def test_a_place_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    names = ["x" * 300, "a\0b", "file/x.sqlite", "file/in/x.sqlite"]
    for place in (Path("/proc/x.sqlite"), Path("/proc/in/x.sqlite"), *(tmp_path / name for name in names)):
        with pytest.raises(JournalError):
            await SqliteJournal.open(place, None)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


async def test_a_full_place_is_noticed_on_opening(path: Path) -> None:
    def let_no_file_grow() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    assert "Journal" in open_in_a_child(path, let_no_file_grow).stdout
    await write(path, {"key": Entry("finished", 1, FINISHED, 0.05)})
    before = {name: content for name, (_, content) in state_of(path.parent).items()}
    assert "cannot be used" in open_in_a_child(path, let_no_file_grow).stdout
    assert {name: content for name, (_, content) in state_of(path.parent).items()} == before
    assert await read(path, "key") == [Entry("finished", 1, FINISHED, 0.05)]


async def test_once_the_place_is_full_no_record_is_written_and_those_before_are_kept(path: Path) -> None:
    long = evolve(FINISHED, outputs=(RunOutput("o", OutputType.TEXT, "long " * 20_000),))
    journal = await SqliteJournal.open(path, None)
    await journal.write(await planned("early"), Entry("finished", 1, FINISHED, 0.05))
    rows = [await planned("late-1"), await planned("late-2")]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))
    try:
        refused = await asyncio.gather(
            *(journal.write(row, Entry("finished", 1, long, 0.05)) for row in rows), return_exceptions=True
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    for error in refused:
        assert isinstance(error, JournalError)
        assert "cannot be used" in str(error)
    # There is room again, but what came of the last transaction is not known.
    with pytest.raises(JournalError):
        await journal.write(await planned("later"), Entry("planned", 1, None))
    await journal.close()
    assert await read(path, "early", "late-1", "late-2", "later") == [
        Entry("finished", 1, FINISHED, 0.05),
        None,
        None,
        None,
    ]


async def test_a_journal_that_is_damaged_while_it_is_in_use_is_an_error_and_no_crash(path: Path) -> None:
    await write(path, {f"key-{number}": Entry("finished", 1, FINISHED, 0.05) for number in range(400)})
    journal = await SqliteJournal.open(path, None)
    os.truncate(path, 8192)
    with pytest.raises(JournalError, match="cannot be used"):
        await journal.find(await planned("key-300"))
    with pytest.raises(JournalError, match="cannot be used"):
        await journal.run_ids()
    await journal.close()


async def test_a_recorded_run_that_cannot_be_read_is_named_by_its_row(path: Path) -> None:
    file = JournalFile.open(str(path), None)
    row = await planned("poster")
    entry = encode_entry(row, Entry("finished", 1, FINISHED, 0.05), "")
    file.append([entry._replace(run=b'{"status": "completed"}')])
    file.close()
    with pytest.raises(JournalError, match="row 'poster'"):
        await read(path, "poster")


async def test_a_journal_without_filelock_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(ImportError, match=r"pip install 'flora-async\[batch\]'"):
        await SqliteJournal.open(path, None)
    assert not list(path.parent.iterdir())


@pytest.fixture
async def whole(path: Path) -> Path:
    """A journal with a history: rows in each state, and one with a long text."""
    long = evolve(FINISHED, run_id="run_long", outputs=(RunOutput("o", OutputType.TEXT, "long " * 2_000),))
    await write(path, {f"key-{number}": Entry("submitting", 1, None, since=1.0) for number in range(30)})
    await write(path, {f"key-{number}": Entry("finished", 1, FINISHED, 0.05) for number in range(20)})
    await write(path, {"long": Entry("finished", 1, long, 0.05)})
    return path


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ("DROP TABLE rows", "changed by another program"),
        ("DELETE FROM rows WHERE seq > 40", "not complete: 40 of 51"),
        ("DELETE FROM rows WHERE seq = 7", "record 7 of 51"),
        ("UPDATE rows SET state = 'planned' WHERE seq = 35", "record 35 of 51"),
        ("UPDATE rows SET run_id = NULL WHERE seq = 35", "changed|damaged"),
        ("UPDATE rows SET state = 'cancelled' WHERE seq = 51", "changed|damaged"),
        ("UPDATE batch SET records = 50", "not complete"),
        ("UPDATE batch SET name = 'other'", "record 1 of 51"),
        ("DELETE FROM batch", "changed by another program"),
        ("CREATE TABLE mine (a)", "changed by another program"),
        ("CREATE TRIGGER mine AFTER INSERT ON rows BEGIN DELETE FROM rows; END", "changed by another program"),
        ("PRAGMA user_version = 3", "newer flora_async"),
        ("PRAGMA user_version = 0", "changed by another program"),
        ("PRAGMA application_id = 7", "not a journal"),
    ],
)
async def test_what_another_program_has_changed_is_refused_and_left_as_it_is(
    whole: Path, edit: str, reason: str
) -> None:
    with closing(sqlite3.connect(whole, isolation_level=None)) as database:
        database.execute(edit)
    before = state_of(whole.parent)
    with pytest.raises(JournalError, match=reason):
        await SqliteJournal.open(whole, None)
    assert state_of(whole.parent) == before


def test_a_damaged_file_is_refused_or_holds_the_same_and_is_left_as_it_is(tmp_path: Path) -> None:
    keys = [f"key-{number}" for number in range(5)]
    entries: list[Entry | None] = [Entry("finished", 1, evolve(FINISHED, run_id=f"run-{key}"), 0.05) for key in keys]
    original = tmp_path / "original.sqlite"
    asyncio.run(write(original, dict(zip(keys, entries, strict=True))))  # type: ignore[arg-type]  # none is None
    content = original.read_bytes()

    @settings(max_examples=150, deadline=None)
    @given(
        start=st.integers(0, len(content) - 1) | st.integers(0, 4096),
        junk=st.binary(min_size=1, max_size=64),
        truncated=st.booleans(),
    )
    def check(start: int, junk: bytes, truncated: bool) -> None:
        damaged = content[:start] if truncated else content[:start] + junk + content[start + len(junk) :]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "batch.sqlite")
            path.write_bytes(damaged)
            before = state_of(path.parent)
            try:
                found = asyncio.run(read(path, *keys))
            except JournalError:
                assert state_of(path.parent) == before
            else:
                assert found == entries

    check()


async def test_a_rollback_journal_of_another_time_is_refused_and_not_applied(whole: Path, tmp_path: Path) -> None:
    hot = tmp_path / "hot"
    with closing(sqlite3.connect(whole, isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN")
        database.execute("UPDATE batch SET records = 0")
        database.execute("UPDATE rows SET run = run || 'x' WHERE seq < 40")  # spilled: its rollback journal is in force
        shutil.copyfile(f"{whole}-journal", hot)
        database.execute("ROLLBACK")
    await write(whole, {"later": Entry("finished", 1, FINISHED, 0.05)})
    shutil.copyfile(hot, f"{whole}-journal")
    before = state_of(whole.parent)
    with pytest.raises(JournalError):
        await SqliteJournal.open(whole, None)
    assert state_of(whole.parent) == before


async def test_a_rollback_journal_without_its_file_is_refused_and_kept(path: Path) -> None:
    Path(f"{path}-journal").write_bytes(IN_FORCE + bytes(504))
    before = state_of(path.parent)
    with pytest.raises(JournalError, match="missing"):
        await SqliteJournal.open(path, None)
    assert state_of(path.parent) == before


DYING = """
import asyncio, os, sqlite3
from flora_async import FloraSession, PollPolicy, RetryPolicy, RunRequest

commits = 0

class Mortal(sqlite3.Connection):
    def execute(self, statement, *values):
        global commits
        if not statement.startswith(("COMMIT", "INSERT INTO rows")):
            return super().execute(statement, *values)
        commits += 1
        if commits == last and phase == "before":
            os._exit(9)
        if commits == last and phase == "within":
            # The transaction is in the file in part: its rollback journal is in force.
            if not self.in_transaction:
                super().execute("BEGIN IMMEDIATE")
                super().execute(statement, *values)
            super().execute("PRAGMA cache_size = 1")
            super().execute("CREATE TABLE spilled (a)")
            super().executemany("INSERT INTO spilled VALUES (zeroblob(5000))", [()] * 20)
            os._exit(9)
        done = super().execute(statement, *values)
        if commits == last and phase == "after":
            os._exit(9)
        return done

connect = sqlite3.connect
sqlite3.connect = lambda *arguments, **options: connect(*arguments, factory=Mortal, **options)
rows = [RunRequest({"prompt": f"row {n}"}, key=f"key-{n}") for n in range(3)]

async def take_rows_through(path):
    async with FloraSession(
        retry=RetryPolicy(initial=0.01, maximum=0.05, settle=0.01), poll=PollPolicy(initial=0.01, maximum=0.02)
    ) as flora:
        for result in await flora.run_all("caption", rows, journal=path, concurrency=2, watch="each"):
            print(result.key, result.run.run_id if result.ok else repr(result.error), flush=True)

def main(*arguments):
    global last, phase
    path, last, phase = arguments
    asyncio.run(take_rows_through(path))
"""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("phase", ["before", "within", "after"])
async def test_a_process_that_dies_at_any_commit_loses_no_row_and_pays_for_none_twice(
    tmp_path: Path, phase: str
) -> None:
    # By replay, FLORA tells the starts apart that one kill has left in doubt together.
    async with FakeFlora(run_seconds=0.01, idempotency="replay") as fake:
        environment = {**os.environ, "FLORA_API_KEY": fake.api_key, "FLORA_BASE_URL": fake.base_url}
        hot = 0
        async with forks(DYING, environment) as fork:
            for last in range(1, 40):
                path = tmp_path / f"{last}.sqlite"
                paid = len(fake.runs)
                code, _ = await fork(str(path), last, phase)
                if code == 0:  # there are no more commits than that
                    assert last > 6
                    break
                assert code == 9
                journal = Path(f"{path}-journal")
                hot += journal.exists() and journal.read_bytes().startswith(IN_FORCE)
                assert set(files_of(path)) <= {path.name, f"{path.name}-journal", f"{path.name}.lock"}
                code, out = await fork(str(path), 0, phase)
                assert code == 0, (last, out)
                results = dict(line.split() for line in out.splitlines())
                runs = fake.runs[paid:]
                assert results == {run.inputs["prompt"].replace("row ", "key-"): run.run_id for run in runs}, last
                assert len(runs) == 3, last
            else:
                pytest.fail("the batch had more commits than were expected")
        assert (hot > 0) == (phase == "within")


def files_of(path: Path) -> list[str]:
    return [file.name for file in path.parent.iterdir() if file.name.startswith(path.name)]
