"""The file of a journal: locked, checked before anything is written, then only appended to. Everything here blocks."""

import os
import sqlite3
import stat
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from attrs import define

from flora_async.batch.journal_format import (
    APPLICATION_ID,
    CHANGED,
    COLUMNS,
    FORMAT,
    IN_USE,
    SCHEMA,
    Refused,
    beside,
    connect,
    create_tables,
    explain,
    image,
    insert,
    size,
)
from flora_async.batch.migration import migrate
from flora_async.batch.records import (
    OPEN,
    SETTLED,
    Record,
    decode_details,
    encode_text,
    first_link,
    link,
    recorded_subject,
    row_id,
)
from flora_async.errors import JournalError

if TYPE_CHECKING:
    from filelock import BaseFileLock

_MAGIC: Final = b"SQLite format 3\x00"
_HEADER_SIZE: Final = 100
_BUSY_TIMEOUT_MS: Final = 60_000  # for a program that reads the file while a record is to be written
_FORMAT_AT: Final = slice(60, 64)
_ID_AT: Final = slice(68, 72)
_READ_AHEAD_BYTES: Final = 1 << 20


@define
class Contents:
    """What a checked journal holds.

    Attributes:
        name: The batch's name, encoded.
        records: How many records there are.
        chain: The checksum of all of them.
        latest: The number of the last record about each row.
        open_rows: The subjects of rows that have been started, or may have, without a recorded end.
    """

    name: bytes
    records: int
    chain: bytes
    latest: dict[bytes, int]
    open_rows: list[str]


class JournalFile:
    """A journal's file, held by one batch at a time. Used by one thread at a time."""

    def __init__(self, lock: "BaseFileLock", database: sqlite3.Connection, contents: Contents) -> None:
        self._lock = lock
        self._database = database
        self._failure: Exception | None = None
        self.contents = contents

    @classmethod
    def open(cls, path: str, name: str | None) -> Self:
        """Open a journal, or create one, with the directories that are missing above it.

        Args:
            path: The file.
            name: The batch's name; None = the one in the journal, or for a new one a name that no other batch has.

        Raises:
            JournalError: The file cannot be used; it is left as it was.
            ImportError: filelock is not installed.
        """
        try:
            place = Path(os.path.realpath(path))
            check_kind(place)
            _make_directory(place.parent)
            lock = _acquire(place)
            try:
                return cls._open_locked(lock, place, name)
            except BaseException:
                lock.release()
                raise
        except Refused as refused:
            raise JournalError(path, str(refused)) from refused.__cause__
        except (OSError, ValueError) as error:
            raise JournalError(path, f"cannot be used: {error}") from error
        except sqlite3.Error as error:
            raise JournalError(path, explain(error)) from error

    @classmethod
    def _open_locked(cls, lock: "BaseFileLock", place: Path, name: str | None) -> Self:
        encoded = None if name is None else encode_text(name)
        if not os.path.lexists(place):
            _create(place, encode_text(str(uuid.uuid4())) if encoded is None else encoded)
        check_kind(place)
        version = check_header(place)
        if version < FORMAT:
            migrate(place)
        contents = check(place)
        if encoded is not None and contents.name != encoded:
            recorded, asked = (text.decode("utf-8", "replace")[:40] for text in (contents.name, encoded))
            raise Refused(f"belongs to the batch {recorded!r}, not {asked!r}")
        database = connect(place)
        try:
            # Keep the emptied rollback journal: creating and removing it takes three times as long as all the rest.
            database.execute("PRAGMA journal_mode = PERSIST")
            database.execute("PRAGMA synchronous = FULL")
            # Notice now, and not with the first row that was paid for, that the file cannot be written. SQLite does not
            # write what stays the same, hence two updates.
            database.execute("BEGIN IMMEDIATE")
            database.execute("UPDATE batch SET records = -1")
            database.execute("UPDATE batch SET records = ?", (contents.records,))
            database.execute("COMMIT")
            database.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
        except BaseException:
            database.close()
            raise
        return cls(lock, database, contents)

    def append(self, records: Sequence[Record]) -> None:
        """Write at most `MAX_INSERTED` records in one transaction; they are on the disk when this returns.

        Raises:
            sqlite3.Error: They are not written, and no others will be.
        """
        if self._failure is not None:
            raise self._failure
        try:
            count, chain = insert(self._database, records, self.contents.records, self.contents.chain)
        except Exception as error:
            self._failure = error
            raise
        for number, record in enumerate(records, self.contents.records + 1):
            if record.state != SETTLED:
                self.contents.latest[row_id(record.key, record.digest)] = number
        self.contents.records, self.contents.chain = count, chain

    def read(self, number: int, ahead: int) -> dict[int, Record]:
        """Read a record, and up to `ahead` others of finished rows around it, which are likely to be needed next."""
        found: dict[int, Record] = {}
        read = 0
        select = f"SELECT seq, {COLUMNS} FROM rows"  # noqa: S608 - the names are ours
        for sequence, *columns in self._database.execute(f"{select} WHERE seq = ?", (number,)):
            found[sequence] = Record(*columns)
        if ahead:
            around = f"{select} WHERE seq >= ? AND state = 'finished' ORDER BY seq LIMIT ?"
            with closing(self._database.execute(around, (number - ahead // 4, ahead))) as rows:
                for sequence, *columns in rows:
                    found[sequence] = Record(*columns)
                    read += len(columns[-1])
                    if read > _READ_AHEAD_BYTES:
                        break
        return found

    def ended_runs(self) -> Iterator[Record]:
        """Iterate over the records of ended runs and late costs, oldest first, without the runs themselves."""
        columns = COLUMNS.replace("run_id, details, run", "run_id, details, ''")
        ended = f"SELECT {columns} FROM rows WHERE state IN ('finished', 'settled') ORDER BY seq"  # noqa: S608 - as above
        return (Record(*row) for row in self._database.execute(ended))

    def run_ids(self) -> Iterator[bytes]:
        """Iterate over the ids of all recorded runs."""
        return (run_id for (run_id,) in self._database.execute("SELECT DISTINCT run_id FROM rows WHERE run_id > ''"))

    def close(self) -> None:
        """Release the file, and after it the lock."""
        try:
            with closing(self._database), suppress(sqlite3.Error):
                # Remove the emptied rollback journal, unless another program is reading: it does no harm.
                self._database.execute("PRAGMA busy_timeout = 0")
                self._database.execute("PRAGMA journal_mode = DELETE")
        finally:
            self._lock.release()


def check(place: Path) -> Contents:
    """Read a whole journal and check it, without changing it.

    Raises:
        Refused: It is damaged, or was changed by another program.
    """
    with image(place) as database:
        return _check_contents(database)


def _check_contents(database: sqlite3.Connection) -> Contents:
    tables = database.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    heads = database.execute("SELECT name, records, chain FROM batch").fetchall() if tables else []
    if [sql for (sql,) in tables] != [statement.encode() for statement in SCHEMA] or len(heads) != 1:
        raise Refused(CHANGED)
    ((name, records, recorded),) = heads
    chain = first_link(name)
    number = 0
    latest: dict[bytes, int] = {}
    unfinished: dict[bytes, Record] = {}
    rows: Iterable[tuple[Any, ...]] = database.execute(f"SELECT seq, chain, {COLUMNS} FROM rows ORDER BY seq")  # noqa: S608 - the names are ours
    for number, (sequence, checksum, *columns) in enumerate(rows, 1):
        record = Record(*columns)
        chain = link(chain, record)
        if sequence != number or checksum != chain:
            raise Refused(f"{CHANGED} (record {number} of {records} is not what was written)")
        if record.state != SETTLED:
            row = row_id(record.key, record.digest)
            latest[row] = number
            if record.state in OPEN:
                unfinished[row] = record
            else:
                unfinished.pop(row, None)
    if number != records or chain != recorded:
        raise Refused(f"is not complete: {number} of {records} records are there; restore a copy, or move it away")
    open_rows = [recorded_subject(decode_details(record)) for record in unfinished.values()]
    return Contents(name, records, chain, latest, open_rows)


def check_kind(place: Path) -> None:
    """Refuse what is not a regular file, because opening it could block."""
    for path in (place, beside(place, "-journal"), beside(place, "-wal"), beside(place, ".lock")):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(mode):
            what = "is" if path == place else f"cannot be used: {path.name[-60:]!r} is"
            raise Refused(f"{what} not a regular file: name another one")


def check_header(place: Path) -> int:
    """Return the format of a journal from its first bytes, so that a foreign file is not even opened as a database."""
    with place.open("rb") as file:
        header = file.read(_HEADER_SIZE)
    if not header.startswith(_MAGIC) or header[_ID_AT] != APPLICATION_ID.to_bytes(4, "big"):
        raise Refused("is not a journal of flora_async: name another file")
    version = int.from_bytes(header[_FORMAT_AT], "big")
    if version > FORMAT:
        raise Refused(f"was written by a newer flora_async (format {version}, not {FORMAT}): upgrade flora_async")
    if version < 1:
        raise Refused(CHANGED)
    if version == FORMAT and size(beside(place, "-wal")):
        raise Refused(f"has a write-ahead log (-wal): it {CHANGED}")
    return version


def _acquire(place: Path) -> "BaseFileLock":
    try:
        from filelock import FileLock, Timeout  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError("A journal needs filelock: pip install 'flora-async[batch]'") from error
    lock = FileLock(beside(place, ".lock"), timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise Refused(IN_USE) from None
    except (OSError, NotImplementedError, RuntimeError) as error:
        raise Refused(f"cannot be locked: {error}") from error
    return lock


def _make_directory(directory: Path) -> None:
    """Create a directory and those above it, so that a crash of the machine cannot lose the way to the journal."""
    if not directory.is_dir():
        _make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        _sync_directory(directory.parent)


def _create(place: Path, name: bytes) -> None:
    """Create a journal, whole or not at all."""
    for suffix in ("-journal", "-wal"):
        if size(beside(place, suffix)):
            raise Refused(f"is missing, but its {suffix[1:]!r} file is there: put the two together again")
    draft = place.with_name(f".{uuid.uuid4().hex}.new")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        with closing(connect(draft)) as database:
            database.execute("PRAGMA journal_mode = MEMORY")  # a draft that a crash leaves behind is of no use
            database.execute("PRAGMA synchronous = FULL")
            database.execute("BEGIN IMMEDIATE")
            create_tables(database, name)
            database.execute("COMMIT")
        if os.path.lexists(place):
            raise Refused("was created by another program just now: name another file")
        draft.rename(place)
    finally:
        draft.unlink(missing_ok=True)
    _sync_directory(place.parent)


def _sync_directory(directory: Path) -> None:
    """Write a new file name to the disk, on systems where directories can be synced."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
