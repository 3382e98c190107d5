"""Reading a journal changes nothing, and needs neither its lock nor the right to write it."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve
from test_journal_file import FINISHED, IN_FORCE, state_of, write
from test_journal_migration import EARLIER_COSTS, ENTRIES, old_journal

from flora_async import JournalError
from flora_async.batch.journal import Entry
from flora_async.batch.journal_reader import JournalReader
from flora_async.batch.sqlite import SqliteJournal

# A process that dies after it has spilled half of a commit into the file.
COMMITTING = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN")
database.execute("UPDATE rows SET run = run || 'x'")
os._exit(9)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "batch.sqlite"


async def test_each_row_is_read_with_its_last_record_and_the_cost_of_all_its_runs(path: Path) -> None:
    retried = [evolve(FINISHED, run_id=f"run_{number}", charged_cost=None) for number in (1, 2)]
    await write(path, {"a": Entry("finished", 1, retried[0])}, "spring")
    await write(path, {"b": Entry("submitting", 1, None, since=1.0)})
    await write(path, {"a": Entry("finished", 2, retried[1], 0.05)})
    journal = await SqliteJournal.open(path, None)
    await journal.settle({"run_1": 0.02})
    await journal.close()
    with JournalReader(str(path)) as reader:
        rows, costs = reader.rows()
        records = list(reader.records())
    assert reader.name == "spring"
    assert [(row.key, row.state, row.run_id, row.is_open) for row in rows] == [
        ("a", "finished", "run_2", False),
        ("b", "submitting", "", True),
    ]
    assert costs == {rows[0].number: pytest.approx(0.07)}
    assert [record.number for record in records] == list(range(1, len(reader) + 1)) == [1, 2, 3, 4]


def test_an_interrupted_commit_is_rolled_back_in_the_copy_only(path: Path) -> None:
    asyncio.run(write(path, {f"key-{number}": Entry("finished", 1, FINISHED, 0.05) for number in range(50)}))
    subprocess.run([sys.executable, "-c", COMMITTING, str(path)], check=False)  # noqa: S603 - our own code
    assert Path(f"{path}-journal").read_bytes().startswith(IN_FORCE)
    before = state_of(path.parent)
    with JournalReader(str(path)) as reader:
        assert [(record.run or {})["outputs"][0]["url"] for record in reader.records()] == ["a text"] * 50
    assert state_of(path.parent) == before


async def test_a_journal_that_may_only_be_read_in_a_directory_that_may_only_be_read_is_read(path: Path) -> None:
    await write(path, {"key": Entry("finished", 1, FINISHED, 0.05)})
    before = state_of(path.parent)
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        with JournalReader(str(path)) as reader:
            assert len(reader) == 1
    finally:
        path.parent.chmod(0o700)
    assert state_of(path.parent) == before


@pytest.mark.parametrize("crashed", [False, True])
def test_a_journal_of_an_older_format_is_read_and_stays_of_that_format(tmp_path: Path, *, crashed: bool) -> None:
    path = old_journal(tmp_path, crashed=crashed)
    before = state_of(tmp_path)
    with JournalReader(str(path)) as reader:
        rows, costs = reader.rows()
    assert reader.format == 1
    assert {row.key: row.state for row in rows} == {key: entry.state for key, entry in ENTRIES.items()}
    assert {row.key: costs[row.number] for row in rows if row.number in costs} == pytest.approx(
        {"done": 0.05, "failed": 0.0} | EARLIER_COSTS
    )
    assert state_of(tmp_path) == before


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ("UPDATE rows SET state = 'planned' WHERE seq = 3", "record 3 of 5"),
        ("DELETE FROM rows WHERE seq = 5", "not complete: 4 of 5"),
        ("PRAGMA user_version = 3", "newer flora_async"),
        ("PRAGMA application_id = 7", "not a journal"),
    ],
)
async def test_a_journal_that_was_changed_is_refused_and_left_as_it_is(path: Path, edit: str, reason: str) -> None:
    await write(path, {f"key-{number}": Entry("finished", 1, FINISHED, 0.05) for number in range(5)})
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(edit)
    before = state_of(path.parent)
    with pytest.raises(JournalError, match=reason):
        JournalReader(str(path))
    assert state_of(path.parent) == before


async def test_a_program_that_holds_the_file_for_itself_is_an_error_soon(path: Path) -> None:
    await write(path, {"key": Entry("finished", 1, FINISHED, 0.05)})
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalError, match="in use"):
            JournalReader(str(path))
