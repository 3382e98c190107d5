"""Convert a journal of format 1, a table of rows in WAL mode, to the current format. Everything here blocks."""

import json
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

from flora_async.batch.journal import Entry
from flora_async.batch.journal_format import (
    DAMAGED,
    MAX_INSERTED,
    Refused,
    beside,
    connect,
    create_tables,
    image,
    insert,
)
from flora_async.batch.records import Record, encode, encode_earlier_cost, encode_text, first_link
from flora_async.errors import DecodeError
from flora_async.models import Run
from flora_async.models._codec import decode

_ROWS: Final = "SELECT key, digest, state, attempt, idempotency_key, run_id, poll_url, run, cost, since, inputs FROM "
_WAL_HEADER: Final = struct.Struct(">8I")
_FRAME_HEADER: Final = struct.Struct(">6I")
_LITTLE_ENDIAN: Final = 0x377F0682
_BIG_ENDIAN: Final = 0x377F0683
_WORD: Final = 0xFFFFFFFF


def migrate(place: Path) -> None:
    """Convert a journal to the current format in one transaction, after checking it.

    Raises:
        Refused: The journal, or its write-ahead log, is damaged; nothing was changed.
        sqlite3.Error: The journal is in use, or cannot be written to.
    """
    _check_log(beside(place, "-wal"))
    with image(place) as database:
        try:
            name = _name(database)
            for _ in _records(database, "rows"):
                pass
        except (DecodeError, LookupError) as error:
            raise Refused(f"{DAMAGED} ({error})") from error
    with closing(connect(place)) as database:
        database.execute("PRAGMA journal_mode = DELETE")  # merges the write-ahead log into the file
        database.execute("PRAGMA synchronous = EXTRA")
        database.execute("BEGIN EXCLUSIVE")
        try:
            database.execute("ALTER TABLE rows RENAME TO old_rows")
            database.execute("DROP TABLE batch")
            create_tables(database, name)
            count, chain = 0, first_link(name)
            records = _records(database, "old_rows")
            while group := list(islice(records, MAX_INSERTED)):
                count, chain = insert(database, group, count, chain)
            database.execute("DROP TABLE old_rows")
            database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise


def _name(database: sqlite3.Connection) -> bytes:
    ((name,),) = database.execute("SELECT name FROM batch").fetchall()
    return encode_text(name.decode())


def _records(database: sqlite3.Connection, table: str) -> Iterator[Record]:
    """Iterate over the rows as records of the current format."""
    rows: Iterator[tuple[Any, ...]] = database.execute(_ROWS + table)
    for values in rows:
        columns: list[Any] = [value.decode() if isinstance(value, bytes) else value for value in values]
        key, digest, state, attempt, idempotency_key, run_id, poll_url, run, cost, since, inputs = columns
        seen = decode(run.encode(), Run) if run else None
        if seen is None and run_id:
            seen = Run(run_id=run_id, status="submitted", poll_url=poll_url)
        sent = json.loads(inputs) if inputs else None
        is_known = state == "finished" and seen is not None and (seen.is_failed or seen.charged_cost is not None)
        if cost and not is_known:
            yield encode_earlier_cost(key, digest, cost)
        entry = Entry(state, attempt, seen, cost if is_known else None, since, sent)
        yield encode(key, digest, idempotency_key, entry, kind="technique", target=None)


def _check_log(log: Path) -> None:
    """Refuse a write-ahead log with a frame that SQLite would silently skip, together with all after it."""
    try:
        with log.open("rb") as file:
            start = file.read(_WAL_HEADER.size)
            if not start:
                return
            damaged = Refused("has a damaged write-ahead log (-wal): restore a copy of both files, or move both away")
            if len(start) < _WAL_HEADER.size:
                raise damaged
            magic, _, page_size, resets, salt1, salt2, sum1, sum2 = _WAL_HEADER.unpack(start)
            order = {_LITTLE_ENDIAN: "<", _BIG_ENDIAN: ">"}.get(magic)
            if order is None or _checksum(order, start[:24], 0, 0) != (sum1, sum2):
                raise damaged
            size = _FRAME_HEADER.size + page_size
            is_current = True
            while len(frame := file.read(size)) == size:  # one that is cut short was never committed
                *_, frame_salt1, frame_salt2, found1, found2 = _FRAME_HEADER.unpack(frame[: _FRAME_HEADER.size])
                if is_current and (frame_salt1, frame_salt2) == (salt1, salt2):
                    sum1, sum2 = _checksum(order, frame[:8] + frame[_FRAME_HEADER.size :], sum1, sum2)
                    if (sum1, sum2) != (found1, found2):
                        raise damaged
                # With each reset of the log its first salt grows by one, and frames from before it may be left over.
                elif 1 <= (salt1 - frame_salt1) & _WORD <= resets:
                    is_current = False
                else:
                    raise damaged
    except FileNotFoundError:
        return


def _checksum(order: str, data: bytes, sum1: int, sum2: int) -> tuple[int, int]:
    """Continue the checksum of a write-ahead log (SQLite's file format, 4.2)."""
    words: tuple[Any, ...] = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        sum1 = (sum1 + first + sum2) & _WORD
        sum2 = (sum2 + second + sum1) & _WORD
    return sum1, sum2
