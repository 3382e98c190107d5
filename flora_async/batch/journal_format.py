"""The database format of a journal: its tables, how it is opened, and how records are added to it.

The file is a log. A checksum links each record to all records before it, and the last checksum is stored separately,
together with the number of records. So an edit, a missing record or a half-applied rollback is noticed.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from flora_async.batch.records import Record, first_link, link

FORMAT: Final = 2
APPLICATION_ID: Final = 0x464C5241  # "FLRA", in the field of SQLite's header for the application
SCHEMA: Final = (
    "CREATE TABLE batch (name TEXT NOT NULL, records INTEGER NOT NULL, chain BLOB NOT NULL)",
    (
        "CREATE TABLE rows (seq INTEGER PRIMARY KEY, key TEXT NOT NULL, digest TEXT NOT NULL, state TEXT NOT NULL,"
        " idempotency_key TEXT NOT NULL, run_id TEXT, details TEXT NOT NULL, chain BLOB NOT NULL,"
        " run TEXT)"
    ),
    # A trigger, so that a group of records is one statement: a thread waits for the GIL at each statement.
    "CREATE TRIGGER written AFTER INSERT ON rows BEGIN UPDATE batch SET records = NEW.seq, chain = NEW.chain; END",
)
COLUMNS: Final = "key, digest, state, idempotency_key, run_id, details, run"
MAX_INSERTED: Final = 100
"""The most records that go into one statement: SQLite may be built for 999 values."""
_VALUES: Final = (
    "(?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), ?,"
    " CAST(? AS TEXT))"
)
_ROLLBACK: Final = bytes.fromhex("d9d505f920a163d7")  # the beginning of a rollback journal that has to be applied
_BUSY_SECONDS: Final = 2.0  # for a program that has the file open
# Each number of records is a statement of its own, and one of 100 takes 250 KB once it is prepared.
_MAX_STATEMENTS: Final = 4

DAMAGED: Final = "is damaged: restore a copy, or move it away to start over"
CHANGED: Final = "was changed by another program: restore a copy, or move it away to start over"
IN_USE: Final = "is in use by another process or batch: wait for it to end, or name another file"


class Refused(Exception):  # noqa: N818 - a reason on its way to a JournalError, never seen outside
    """Why a file is not used as a journal."""


def connect(place: Path, mode: str = "mode=rw") -> sqlite3.Connection:
    """Open a database that exists; text comes as bytes, as it may not be UTF-8."""
    database = sqlite3.connect(
        f"{place.as_uri()}?{mode}",
        uri=True,
        isolation_level=None,
        timeout=_BUSY_SECONDS,
        check_same_thread=False,
        cached_statements=_MAX_STATEMENTS,
    )
    database.text_factory = bytes
    return database


def create_tables(database: sqlite3.Connection, name: bytes) -> None:
    """Create the tables of an empty journal within the open transaction."""
    for statement in SCHEMA:
        database.execute(statement)
    database.execute("INSERT INTO batch VALUES (CAST(? AS TEXT), 0, ?)", (name, first_link(name)))
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {FORMAT}")


def insert(database: sqlite3.Connection, records: Sequence[Record], count: int, chain: bytes) -> tuple[int, bytes]:
    """Insert at most `MAX_INSERTED` records behind the first `count`; return the new number and checksum."""
    values: list[int | bytes] = []
    for record in records:
        count, chain = count + 1, link(chain, record)
        *columns, run = record
        values += (count, *columns, chain, run)
    database.execute(f"INSERT INTO rows VALUES {', '.join([_VALUES] * len(records))}", values)  # noqa: S608 - only marks
    return count, chain


@contextmanager
def image(place: Path) -> Iterator[sqlite3.Connection]:
    """Open a database as it will be once SQLite has recovered it, without changing its files.

    Raises:
        Refused: SQLite cannot read it.
    """
    sidecars = [beside(place, "-wal")] if size(beside(place, "-wal")) else []
    if _starts_with(beside(place, "-journal"), _ROLLBACK):
        sidecars.append(beside(place, "-journal"))
    with tempfile.TemporaryDirectory(prefix="flora-journal-") as folder:
        mode = "mode=ro&immutable=1"
        if sidecars:
            mode = "mode=rw"
            for source in (place, *sidecars):
                shutil.copyfile(source, Path(folder, "copy" + source.name.removeprefix(place.name)))
            place = Path(folder, "copy")
        try:
            with closing(connect(place, mode)) as database:
                problem = database.execute("PRAGMA integrity_check(1)").fetchone()
                if problem is None or problem[0] != b"ok":
                    raise Refused(DAMAGED)
                yield database
        except (sqlite3.Error, TypeError, ValueError, OverflowError) as error:
            raise Refused(f"{DAMAGED} ({error})") from error


def beside(place: Path, suffix: str) -> Path:
    """Return the path of a file that SQLite keeps beside a database."""
    return place.with_name(place.name + suffix)


def _starts_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except FileNotFoundError:
        return False


def size(path: Path) -> int:
    """Return the size of a file in bytes; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def explain(error: sqlite3.Error) -> str:
    """Say why the file cannot be used."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return IN_USE
    return f"cannot be used: {error}"
