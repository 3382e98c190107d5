"""The journal in an SQLite file; imported only when one is used."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, Self, TypeVar

from flora_async._threads import DaemonThreads, finish
from flora_async.batch.journal import Cost, Entry, Unsettled
from flora_async.batch.journal_file import JournalFile
from flora_async.batch.journal_format import MAX_INSERTED, explain
from flora_async.batch.records import (
    FINISHED,
    SETTLED,
    Record,
    decode_details,
    decode_entry,
    decode_text,
    decode_unsettled,
    encode_cost,
    encode_entry,
    encode_text,
    recorded_subject,
    row_id,
)
from flora_async.batch.rows import Planned
from flora_async.errors import DecodeError, JournalError

if TYPE_CHECKING:
    from concurrent.futures import Future

ResultT = TypeVar("ResultT")

_MAX_READ_AHEAD: Final = 512


class SqliteJournal:
    """A journal in an SQLite file, held by one batch at a time.

    The file is used by one thread. Records that wait for it are written together, in one transaction.

    Args:
        path: The file, as the caller named it.
        file: The open file.
        thread: The thread that uses it.
    """

    def __init__(self, path: str, file: JournalFile, thread: DaemonThreads) -> None:
        self._path = path
        self._file = file
        self._thread = thread
        self.name = decode_text(file.contents.name)
        self._waiting: list[tuple[Record, asyncio.Future[None]]] = []
        self._is_writing = False
        self._is_closed = False
        self._ended: dict[bytes, Cost | Unsettled] | None = None
        self._ahead: dict[int, Record] = {}
        self._read_ahead = 0
        self._fetched = 0

    @classmethod
    async def open(cls, path: str | os.PathLike[str], name: str | None) -> Self:
        """Open a journal, or create one.

        Args:
            path: The file; its lock is kept in a file beside it, with `.lock` added to its name.
            name: The batch's name; None = the one in the journal, or for a new one a name that no other batch has.

        Raises:
            JournalError: The file is in use, damaged, of a newer version, not a journal, or that of another batch. It
                is left as it was.
            ImportError: filelock is not installed.
        """
        named = os.fspath(path)
        thread = DaemonThreads(1, "flora-journal")
        opening = thread.submit(JournalFile.open, named, name)
        try:
            return cls(named, await finish(asyncio.wrap_future(opening)), thread)
        except BaseException:
            thread.submit(_close_opened, opening)
            thread.shutdown(wait=opening.done())
            raise

    async def find(self, row: Planned) -> Entry | None:
        """Return what is recorded about a row; None = nothing."""
        number = self._file.contents.latest.get(row_id(encode_text(row.key), row.digest.encode()))
        if number is None:
            return None
        record = self._ahead.pop(number, None)
        if record is None:
            # Rows mostly come in the order of their records, so read more ahead for as long as it is used.
            was_used = len(self._ahead) * 2 <= self._fetched
            self._read_ahead = min(_MAX_READ_AHEAD, self._read_ahead * 2 + 1) if was_used else self._read_ahead // 2
            self._ahead = await self._ask(partial(self._file.read, number, self._read_ahead))
            self._fetched = len(self._ahead)
            record = self._ahead.pop(number)
        try:
            return decode_entry(record)
        except (DecodeError, ValueError) as error:
            raise JournalError(self._path, f"holds a run that cannot be read: row {row.key!r:.40}") from error

    async def write(self, row: Planned, entry: Entry) -> None:
        """Record the state of a row; it is on the disk when this returns, and will be even if this is cancelled."""
        await self._append(encode_entry(row, entry, self.name))

    async def settle(self, costs: Mapping[str, float]) -> None:
        """Record costs in USD that became known after their runs had ended, by run id."""
        if costs:
            await asyncio.gather(*(self._append(encode_cost(run_id, cost)) for run_id, cost in costs.items()))

    async def costs(self) -> list[Cost]:
        """Return the known costs of the recorded runs."""
        ended = await self._read_ended()
        return [cost for cost in ended.values() if isinstance(cost, Cost)]

    async def unsettled(self) -> list[Unsettled]:
        """Return the recorded runs that have ended without a known cost."""
        ended = await self._read_ended()
        return [run for run in ended.values() if isinstance(run, Unsettled)]

    async def open_rows(self) -> list[str]:
        """Return the subjects of rows that earlier processes have started, or may have, without seeing the end."""
        return list(self._file.contents.open_rows)

    async def run_ids(self) -> frozenset[str]:
        """Return the ids of all recorded runs."""
        return await self._ask(lambda: frozenset(map(decode_text, self._file.run_ids())))

    async def close(self) -> None:
        """Write the waiting records and release the file, completely even if this is cancelled."""
        if self._is_closed:
            return
        self._is_closed = True
        while self._waiting:
            self._write_waiting()
        closing = asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        try:
            await finish(closing)
        except sqlite3.Error as error:
            raise JournalError(self._path, explain(error)) from error
        finally:
            self._thread.shutdown(wait=closing.done())

    async def _read_ended(self) -> dict[bytes, Cost | Unsettled]:
        """Return the cost of each ended run by its id; of runs without an id, the sum for each row."""
        if self._ended is None:
            self._ended = await self._ask(partial(_costs_of, self._file))
        return self._ended

    async def _ask(self, question: Callable[[], ResultT]) -> ResultT:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, question)
        except sqlite3.Error as error:
            raise JournalError(self._path, explain(error)) from error

    async def _append(self, record: Record) -> None:
        if self._is_closed:
            raise JournalError(self._path, "is closed: the batch has ended")
        self._ended = None
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        self._waiting.append((record, written))
        if not self._is_writing:
            self._is_writing = True
            loop.call_soon(self._write_waiting)  # once all rows that are ready now have added their records
        await written

    def _write_waiting(self) -> None:
        group, self._waiting = self._waiting[:MAX_INSERTED], self._waiting[MAX_INSERTED:]
        self._is_writing = bool(group)
        if group:
            records = [record for record, _ in group]
            writing = asyncio.get_running_loop().run_in_executor(self._thread, self._file.append, records)
            writing.add_done_callback(partial(self._written, group))

    def _written(self, group: list[tuple[Record, "asyncio.Future[None]"]], writing: "asyncio.Future[None]") -> None:
        error = writing.exception()
        for _, written in group:
            if written.done():
                continue
            if error is None:
                written.set_result(None)
            else:
                reason = explain(error) if isinstance(error, sqlite3.Error) else f"cannot be written: {error!r}"
                refused = JournalError(self._path, reason)  # one for each row, as each carries its own run
                refused.__cause__ = error
                written.set_exception(refused)
        if self._is_closed:
            self._is_writing = False
        else:
            self._write_waiting()


def _close_opened(opening: "Future[JournalFile]") -> None:
    if opening.exception() is None:
        opening.result().close()


def _costs_of(file: JournalFile) -> dict[bytes, Cost | Unsettled]:
    ended: dict[bytes, Cost | Unsettled] = {}
    for record in file.ended_runs():
        details = decode_details(record)
        cost = details.get("cost")
        if cost is not None:
            known = ended.get(record.run_id) if record.state == SETTLED else None
            subject = known.subject if known is not None else recorded_subject(details)
            ended[record.run_id or record.digest + record.key] = Cost(subject, float(cost))
        elif record.state == FINISHED:
            ended.setdefault(record.run_id, decode_unsettled(record))  # or its cost is known by now
    return ended
