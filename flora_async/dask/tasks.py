"""What is done on a worker: fetch the outputs of a run, and call the function. Everything here blocks."""

import asyncio
import json
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Final, NamedTuple

from attrs import evolve, frozen
from distributed import get_worker
from distributed.protocol.pickle import dumps

from flora_async._http.setup import keyless_storage
from flora_async._http.storage import StorageSettings
from flora_async.batch.row_runner import EndedRow
from flora_async.batch.rows import Planned, RunRequest
from flora_async.batch.saving import saver
from flora_async.dask.results import CompletedRow
from flora_async.media.destinations import check_writable
from flora_async.models import Run

Function = Callable[[CompletedRow, tuple[Path, ...]], Any]

_MAX_FRAMES: Final = 100
_MAX_RECORDED: Final = 64 * 1024  # characters of JSON; a journal is for results, not for files


@frozen
class Work:
    """What is the same for all rows of a batch.

    Attributes:
        function: Called with each completed row and the paths of its outputs.
        save_to: Where outputs are saved, a `UPath` in a store; None = in a directory of the worker, until the function
            has returned.
        storage: How they are fetched.
    """

    function: Function
    save_to: Path | None
    storage: StorageSettings


@frozen
class Task:
    """What is to be done for one row; it is pickled, and holds nothing that is secret.

    Attributes:
        work: What is the same for all rows.
        row: The row, without its request and its files.
        run: Its completed run.
        metadata: The metadata of its request.
    """

    work: Work
    row: Planned
    run: Run
    metadata: Mapping[str, Any]


class Outcome(NamedTuple):
    """What a worker has done.

    Attributes:
        value: What the function returned, pickled: where a client reads several results together, one that cannot be
            pickled would cost the others.
        is_json: Whether a journal can keep it.
        worker: The worker's address.
        seconds: How long it took.
    """

    value: bytes
    is_json: bool
    worker: str
    seconds: float


def task_of(work: Work, ended: EndedRow) -> Task | None:
    """What is to be done for a row that has ended; None = nothing, as it has no completed run."""
    result, row = ended.result, ended.row
    if row is None or result.run is None or not result.ok:
        return None
    bare = evolve(row, request=RunRequest({}), arguments=None)
    return Task(work, bare, result.run, row.request.metadata)


def check_worker(work: Work) -> None:
    """Make sure that a worker can import what it needs and, where outputs are kept, write them."""
    if work.save_to is not None:
        check_writable(work.save_to)


def process_row(task: Task) -> Outcome:
    """Fetch the outputs of a run, and call the function."""
    began = perf_counter()
    worker: Any = get_worker()
    try:
        value = _processed(task, worker.local_directory)
        pickled: bytes = dumps(value)  # type: ignore[no-untyped-call]  # distributed has no types
    except BaseException as error:
        if isinstance(error, CancelledError) or not isinstance(error, Exception):
            # It would end the worker, or look like a task that was cancelled.
            raise RuntimeError(f"The function ended with {error!r:.200}") from error  # noqa: TRY004 - whatever it was
        error.add_note(f"On the worker {worker.address}, after {perf_counter() - began:.1f} s")
        error.with_traceback(_end_of(error.__traceback__))
        raise
    return Outcome(pickled, _is_json(value), worker.address, perf_counter() - began)


def _end_of(traceback: TracebackType | None) -> TracebackType | None:
    """The last frames of a traceback: Dask waits forever for an error whose traceback is too deep to be pickled."""
    frames = [traceback]
    while frames[-1] is not None:
        frames.append(frames[-1].tb_next)
    return frames[max(0, len(frames) - 1 - _MAX_FRAMES)]


def _processed(task: Task, local_directory: str) -> Any:  # noqa: ANN401 - whatever the function returns
    with ExitStack() as stack:
        folder = task.work.save_to
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flora-", dir=local_directory)))
        paths = asyncio.run(_fetch(task, folder))
        row = task.row
        completed = CompletedRow(index=row.index, key=row.key, run=task.run, inputs=row.shown, metadata=task.metadata)
        return task.work.function(completed, paths)


async def _fetch(task: Task, folder: Path) -> tuple[Path, ...]:
    async with keyless_storage(task.work.storage) as storage:
        return await saver(storage, folder)(task.row, task.run)


def _is_json(value: object) -> bool:
    try:
        return len(json.dumps(value, allow_nan=False)) <= _MAX_RECORDED
    except (TypeError, ValueError, RecursionError):
        return False
