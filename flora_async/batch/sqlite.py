"""The journal in an SQLite file; imported only when one is asked for."""

import asyncio
import json
import os
import sqlite3
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from flora_async.batch.journal import Entry
from flora_async.batch.rows import Planned
from flora_async.errors import DecodeError, JournalError
from flora_async.models import Run, RunInput
from flora_async.models._codec import decode, to_dict

if TYPE_CHECKING:
    import aiosqlite

_APPLICATION_ID: Final = 0x464C5241  # "FLRA", where SQLite's header has room for whose file it is
_VERSION: Final = 1
_HEADER: Final = b"SQLite format 3\x00"
_ID_AT: Final = slice(68, 72)
_SCHEMA: Final = """
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


class SqliteJournal:
    """A journal in an SQLite file, held by one process at a time.

    Args:
        path: The file.
        database: The open connection.
        name: What the batch is called.
    """

    def __init__(self, path: str, database: "aiosqlite.Connection", name: str) -> None:
        self._path = path
        self._database = database
        self.name = name

    @classmethod
    async def open(cls, path: str | os.PathLike[str], name: str | None) -> Self:
        """Open a journal, or make a new one.

        Args:
            path: The file.
            name: What the batch is called; None = what the journal says, or for a new one a name no other batch has.

        Raises:
            JournalError: The file is in use, damaged, no journal, or that of another batch. It is left as it was.
            ImportError: aiosqlite is not installed.
        """
        try:
            import aiosqlite  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ImportError("A journal needs aiosqlite: pip install 'flora-async[batch]'") from error
        file = os.fspath(path)
        await asyncio.to_thread(_make, Path(file), str(uuid.uuid4()) if name is None else name)
        await asyncio.to_thread(_check_header, Path(file))
        database = await aiosqlite.connect(file, isolation_level=None, timeout=0)
        try:
            # Held until the process ends, however it ends: a second process finds the file locked.
            await database.execute("PRAGMA locking_mode = EXCLUSIVE")
            await database.execute("BEGIN EXCLUSIVE")
            await database.execute("COMMIT")
            found = await (await database.execute("PRAGMA quick_check(1)")).fetchone()
            if found is None or found[0] != "ok":
                raise JournalError(file, "is damaged: restore a copy, or move it away to begin anew")  # noqa: TRY301 - closed below
            await database.execute("PRAGMA journal_mode = WAL")
            await database.execute("PRAGMA synchronous = FULL")
            row = await (await database.execute("SELECT name FROM batch")).fetchone()
            recorded = str(row[0]) if row else ""
            if name is not None and recorded != name:
                raise JournalError(file, f"belongs to the batch {recorded[:40]!r}, not {name[:40]!r}")  # noqa: TRY301 - closed below
        except sqlite3.Error as error:
            await database.close()
            raise _journal_error(file, error) from error
        except BaseException:
            await database.close()
            raise
        return cls(file, database, recorded)

    async def find(self, row: Planned) -> Entry | None:
        """What is known of a row; None = nothing."""
        found = await self._ask(
            "SELECT state, attempt, run_id, poll_url, run, cost, since, inputs FROM rows WHERE key = ? AND digest = ?",
            (row.key, row.digest),
        )
        if not found:
            return None
        state, attempt, run_id, poll_url, run, cost, since, inputs = found[0]
        try:
            seen = decode(run.encode(), Run) if run else None
            sent = tuple(RunInput(*item) for item in json.loads(inputs)) if inputs else None
        except (DecodeError, ValueError, TypeError) as error:
            raise JournalError(self._path, f"holds a run that cannot be read: row {row.key!r:.40}") from error
        if seen is None and run_id:
            seen = Run(run_id=run_id, status="submitted", poll_url=poll_url)
        return Entry(state, attempt, seen, cost, since, sent)

    async def write(self, row: Planned, entry: Entry) -> None:
        """Write down how far a row is; it is on the disk when this returns."""
        run = entry.run
        await self._ask(
            "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.key,
                row.digest,
                entry.state,
                entry.attempt,
                row.idempotency_key(self.name, entry.attempt),
                run.run_id if run else None,
                run.poll_url if run else None,
                json.dumps(to_dict(run)) if run and entry.state == "finished" else None,
                entry.cost,
                entry.since,
                json.dumps([(item.id, item.type, item.value) for item in entry.inputs]) if entry.inputs else None,
            ),
        )

    async def costs(self) -> list[float]:
        """What the runs of earlier processes have cost, in USD."""
        return [float(cost) for (cost,) in await self._ask("SELECT cost FROM rows WHERE cost > 0", ())]

    async def open_rows(self) -> int:
        """How many rows earlier processes have started, or may have, without seeing the end."""
        ((count,),) = await self._ask("SELECT count(*) FROM rows WHERE state IN ('submitting', 'running')", ())
        return int(count)

    async def close(self) -> None:
        """Let go of the file."""
        await self._database.close()

    async def _ask(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return [tuple(row) for row in await self._database.execute_fetchall(statement, values)]
        except sqlite3.Error as error:
            raise _journal_error(self._path, error) from error


def _make(path: Path, name: str) -> None:
    """Make a new journal, whole or not at all: a crash leaves no half of one, and no other file is overwritten."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}.new")
    try:
        with sqlite3.connect(draft, isolation_level=None) as database:
            database.executescript(f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_VERSION};")
            database.executescript(_SCHEMA)
            database.execute("INSERT INTO batch VALUES (?)", (name,))
        database.close()
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was faster; who may have it is settled by the lock
    except (OSError, sqlite3.Error) as error:
        raise JournalError(str(path), f"cannot be made: {error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _check_header(path: Path) -> None:
    """Look at the file's first bytes alone, so that a foreign file is not touched, not even by opening it."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise JournalError(str(path), f"cannot be read: {error}") from error
    if not header.startswith(_HEADER) or header[_ID_AT] != _APPLICATION_ID.to_bytes(4, "big"):
        raise JournalError(str(path), "is no journal of flora_async: name another file")


def _journal_error(path: str, error: sqlite3.Error) -> JournalError:
    if "locked" in str(error):
        return JournalError(path, "is in use by another process: wait for it, or name another file")
    return JournalError(path, f"is damaged or cannot be used: {error}")
