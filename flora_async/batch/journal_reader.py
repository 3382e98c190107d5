"""Read a journal without changing it, also while a batch writes to it. Everything here blocks."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from attrs import frozen

from flora_async.batch.journal_file import Contents, check, check_header, check_kind
from flora_async.batch.journal_format import COLUMNS, FORMAT, Refused, beside, connect, explain
from flora_async.batch.migration import migrate
from flora_async.batch.records import OPEN, SETTLED, Record, decode_details, decode_run, decode_text
from flora_async.errors import JournalError

_UNFINISHED_COMMIT: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})
"""What SQLite reports where a commit was interrupted: it would have to roll it back, which a reader does not."""


@frozen(kw_only=True)
class JournalRecord:
    """One record of a journal: what a batch knew of a row at one moment, or a cost that became known later.

    Attributes:
        number: Its number, from 1.
        key: The key of the row; "" for the cost of a run.
        digest: A hash of everything that the row sends; "" as above.
        state: `planned`, `submitting`, `running`, `finished`, or `settled` for a cost.
        idempotency_key: The key of the attempt; "" for a cost.
        run_id: The run; "" where it is not known.
        details: What else was recorded: attempt, technique, cost, price, since, inputs, callback_url.
        run: The run as last seen, as plain data; None where it is not known.
    """

    number: int
    key: str
    digest: str
    state: str
    idempotency_key: str
    run_id: str
    details: dict[str, Any]
    run: dict[str, Any] | None

    @property
    def is_open(self) -> bool:
        """Whether the row has been started, or may have, without a recorded end."""
        return self.state.encode() in OPEN


class JournalReader:
    """A checked copy of a journal, taken in one moment, for `with`.

    The journal is read under SQLite's lock for readers, so a batch that writes to it waits until it is copied. Not one
    byte of it changes, and it need not be writable. A commit that a crash has interrupted is rolled back in the copy
    only, and a journal of an older format is converted there. SQLite's locks belong to a process: do not use this in
    the process of a batch that has the journal open.

    Args:
        path: The file.

    Raises:
        JournalError: The file is not a journal, is damaged, or was changed by another program.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        with ExitStack() as stack:
            try:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flora-journal-")))
                copy, self.format = _copy(Path(os.path.realpath(path)), folder)
                self._contents: Contents = check(copy)
                self._database = stack.enter_context(closing(connect(copy, "mode=ro&immutable=1")))
                self.name = decode_text(self._contents.name)
            except Refused as refused:
                raise JournalError(path, str(refused)) from refused.__cause__
            except (OSError, ValueError) as error:
                raise JournalError(path, f"cannot be read: {error}") from error
            except sqlite3.Error as error:
                raise JournalError(path, explain(error)) from error
            self._resources = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._resources.close()

    def __len__(self) -> int:
        """Return the number of records."""
        return self._contents.records

    def records(self) -> Iterator[JournalRecord]:
        """Iterate over all records, oldest first.

        Raises:
            JournalError: A record cannot be read.
        """
        select = f"SELECT seq, {COLUMNS} FROM rows ORDER BY seq"  # noqa: S608 - the names are ours
        for number, *columns in self._database.execute(select):
            try:
                record = _decode(number, Record(*columns))
            except ValueError as error:
                raise JournalError(self._path, f"holds a record that cannot be read: number {number}") from error
            yield record

    def rows(self) -> tuple[list[JournalRecord], dict[int, float]]:
        """Return the last record of each row in the order of their first ones, and the cost of each by its number.

        A cost is that of all runs of the row as far as it is known, in USD.
        """
        latest: dict[tuple[str, str], JournalRecord] = {}
        row_of_run: dict[str, tuple[str, str]] = {}
        run_costs: dict[str, float] = {}
        costs: dict[tuple[str, str], float] = {}
        for record in self.records():
            row, cost = (record.key, record.digest), record.details.get("cost")
            if record.state.encode() != SETTLED:
                latest[row] = record
                row_of_run[record.run_id] = row
            if isinstance(cost, int | float):
                if record.run_id:
                    run_costs[record.run_id] = cost
                else:
                    costs[row] = costs.get(row, 0.0) + cost
        for run_id, cost in run_costs.items():
            row = row_of_run.get(run_id, ("", ""))
            costs[row] = costs.get(row, 0.0) + cost
        return list(latest.values()), {latest[row].number: cost for row, cost in costs.items() if row in latest}


def _copy(place: Path, folder: Path) -> tuple[Path, int]:
    """Copy a journal as it is at one moment, in the current format; also return the format that it had."""
    check_kind(place)
    if not place.exists():
        raise Refused("does not exist")
    version = check_header(place)
    copy = folder / "copy"
    if version == FORMAT:
        try:
            with closing(connect(place, "mode=ro")) as source, closing(connect(copy, "mode=rwc")) as target:
                source.execute("BEGIN")
                source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # takes the lock, or ends
                target.execute("PRAGMA synchronous = OFF")
                source.backup(target)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _UNFINISHED_COMMIT:
                raise
            copy.unlink(missing_ok=True)
        else:
            return copy, version
    shutil.copyfile(place, copy)
    for suffix in ("-journal", "-wal"):
        if beside(place, suffix).exists():
            shutil.copyfile(beside(place, suffix), beside(copy, suffix))
    if version < FORMAT:
        migrate(copy)
    else:
        with closing(connect(copy)) as database:
            database.execute("PRAGMA journal_mode = DELETE")
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return copy, version


def _decode(number: int, record: Record) -> JournalRecord:
    return JournalRecord(
        number=number,
        key=decode_text(record.key),
        digest=record.digest.decode(),
        state=record.state.decode(),
        idempotency_key=record.idempotency_key.decode(),
        run_id=decode_text(record.run_id),
        details=decode_details(record),
        run=decode_run(record),
    )
