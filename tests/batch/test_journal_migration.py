"""Journals of format 1 are brought to the present format; a damaged one is refused and left as it is."""

import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_journal_file import planned, state_of

from flora_async import JournalError, Run, to_dict
from flora_async.batch.journal import Entry, Unsettled
from flora_async.batch.sqlite import SqliteJournal
from flora_async.models import RunStatus

SCHEMA = """
PRAGMA application_id = 1179406913;
PRAGMA user_version = 1;
CREATE TABLE batch (name TEXT NOT NULL);
CREATE TABLE rows (
    key TEXT NOT NULL,
    digest TEXT NOT NULL,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 1,
    idempotency_key TEXT,
    run_id TEXT,
    poll_url TEXT,
    run TEXT,
    cost REAL NOT NULL DEFAULT 0,
    since REAL,
    inputs TEXT,
    PRIMARY KEY (key, digest)
) WITHOUT ROWID;
"""
COMPLETED = Run(run_id="run_a", status=RunStatus.COMPLETED, charged_cost=0.05, error_message="ä\x00\n")
LATE = Run(run_id="run_b", status=RunStatus.COMPLETED)
FAILED = Run(run_id="run_c", status=RunStatus.FAILED, error_code="model_timeout")
RUNNING = Run(run_id="run_d", status="submitted", poll_url="https://app.flora.ai/api/v1/runs/run_d")
ENTRIES = {
    "done": Entry("finished", 1, COMPLETED, 0.05),
    "late": Entry("finished", 2, LATE, None),
    "failed": Entry("finished", 1, FAILED, 0.0),
    "running": Entry("running", 2, RUNNING, None, 4.0),
    "doubtful": Entry("submitting", 1, None, None, 5.0, [["prompt", "text", "a red bicycle"]]),
    "planned": Entry("planned", 1, None),
}
EARLIER_COSTS = {"late": 0.01, "running": 0.02}  # of attempts whose ids format 1 did not keep


async def fill(database: sqlite3.Connection) -> None:
    """Write what `flora_async` 0.1 wrote, in its way."""
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("INSERT INTO batch VALUES ('spring')")
    for key, entry in ENTRIES.items():
        row, run = await planned(key), entry.run
        values: tuple[Any, ...] = (
            key,
            row.digest,
            entry.state,
            entry.attempt,
            row.idempotency_key("spring", entry.attempt),
            run.run_id if run else None,
            run.poll_url if run else None,
            json.dumps(to_dict(run)) if run and entry.state == "finished" else None,
            (entry.cost or 0.0) + EARLIER_COSTS.get(key, 0.0),
            entry.since,
            json.dumps(entry.sent) if entry.sent else None,
        )
        database.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def old_journal(folder: Path, *, crashed: bool) -> Path:
    """A journal of format 1, closed or as a process leaves it that was killed: its rows in a write-ahead log."""
    made, path = folder / "made.sqlite", folder / "batch.sqlite"
    with closing(sqlite3.connect(made, isolation_level=None)) as database:
        database.executescript(SCHEMA)
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        asyncio.run(fill(database))
        if crashed:
            shutil.copyfile(made, path)
            shutil.copyfile(f"{made}-wal", f"{path}-wal")
    if not crashed:
        made.rename(path)
    made.unlink(missing_ok=True)
    return path


async def read(path: Path) -> tuple[dict[str, Entry | None], list[float], list[Unsettled], int, frozenset[str]]:
    journal = await SqliteJournal.open(path, "spring")
    try:
        entries = {key: await journal.find(await planned(key)) for key in ENTRIES}
        costs = sorted(cost.usd for cost in await journal.costs())
        return entries, costs, await journal.unsettled(), len(await journal.open_rows()), await journal.run_ids()
    finally:
        await journal.close()


EXPECTED = (
    ENTRIES,
    [0.0, 0.01, 0.02, 0.05],
    [Unsettled("run_b", "technique", None, None, None)],
    2,
    frozenset({"run_a", "run_b", "run_c", "run_d"}),
)


@pytest.fixture(scope="module", params=[False, True], ids=["closed", "crashed"])
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return old_journal(tmp_path_factory.mktemp("old"), crashed=request.param)


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return old_journal(tmp_path_factory.mktemp("crashed"), crashed=True)


def copies(path: Path, folder: Path) -> Iterator[Path]:
    for file in path.parent.glob(f"{path.name}*"):
        yield Path(shutil.copy(file, folder))


def test_an_older_journal_is_read_as_it_was_and_from_then_on_in_the_present_format(old: Path, tmp_path: Path) -> None:
    path = next(copy for copy in sorted(copies(old, tmp_path)) if copy.name == old.name)
    for _ in range(2):
        assert asyncio.run(read(path)) == EXPECTED
        assert int.from_bytes(path.read_bytes()[60:64], "big") == 2
    assert not Path(f"{path}-wal").exists()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_write_ahead_log_is_refused_or_holds_the_same_and_is_left_as_it_is(
    crashed: Path, data: st.DataObject
) -> None:
    content = Path(f"{crashed}-wal").read_bytes()
    frame = 24 + 4096  # the header of a frame, and a page
    start = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 10).map(lambda n: 32 + n * frame))
    junk = data.draw(st.binary(min_size=1, max_size=32))
    with tempfile.TemporaryDirectory() as folder:
        for copy in copies(crashed, Path(folder)):
            if copy.suffix.endswith("-wal"):
                copy.write_bytes(content[:start] + junk + content[start + len(junk) :])
        before = state_of(Path(folder))
        try:
            found = asyncio.run(read(Path(folder, crashed.name)))
        except JournalError:
            assert state_of(Path(folder)) == before
        else:
            assert found == EXPECTED


def test_an_older_journal_whose_rows_cannot_be_read_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = old_journal(tmp_path, crashed=False)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE rows SET run = '{' WHERE run IS NOT NULL")
    before = state_of(tmp_path)
    with pytest.raises(JournalError, match="damaged"):
        asyncio.run(read(path))
    assert state_of(tmp_path) == before


def test_an_older_journal_in_use_by_an_older_program_is_refused(tmp_path: Path) -> None:
    path = old_journal(tmp_path, crashed=False)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("BEGIN EXCLUSIVE")
        database.execute("COMMIT")
        with pytest.raises(JournalError, match="in use"):
            asyncio.run(read(path))
    assert asyncio.run(read(path)) == EXPECTED
