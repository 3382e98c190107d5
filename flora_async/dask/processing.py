"""`process`: start and follow the runs of a batch here, and have their outputs processed on a Dask cluster."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self

from distributed.protocol.pickle import dumps, loads

from flora_async._checks import check_count, non_blank
from flora_async._http.retry import logger
from flora_async.batch import Batch
from flora_async.batch.batch import next_row, record_processed, storage_settings
from flora_async.batch.row_runner import EndedRow
from flora_async.dask.cluster import Cluster
from flora_async.dask.results import CompletedRow, ProcessedResult, ValueT
from flora_async.dask.tasks import Outcome, Work, check_worker, process_row, task_of
from flora_async.errors import ClusterLostError, JournalError
from flora_async.media.destinations import path_of

if TYPE_CHECKING:
    import os

    from distributed import Client

    from flora_async.media.stores import UPath


class Processing(Generic[ValueT]):
    """A batch whose outputs are processed on a cluster; use it with `async with` and `async for`. Made by `process`."""

    def __init__(  # noqa: PLR0913 - the parts of `process`
        self, batch: Batch, cluster: Cluster, work: Work, *, in_flight: int, retries: int, name: str
    ) -> None:
        self._batch = batch
        self._cluster = cluster
        self._work = work
        self._retries = retries
        self._name = name
        self._slots = asyncio.Semaphore(in_flight)
        self._unread: deque[ProcessedResult[ValueT]] = deque()
        self._news = asyncio.Event()
        self._feeder: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost: ClusterLostError | None = None
        self._is_left = False

    async def __aenter__(self) -> Self:
        """Make sure that the cluster can do the work, and enter the batch.

        This waits until a worker has imported the function and, with `save_to`, written a file there.

        Raises:
            ClusterLostError: The client is closed.
            Exception: What a worker met; or why the batch cannot be entered.
        """
        await self._cluster.run(check_worker, self._work)
        await self._batch.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancel what is left on the cluster, and leave the batch.

        Raises:
            FloraError: The error that stopped the batch, or `ClusterLostError`.
        """
        self._is_left = True
        try:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            self._unread.clear()
        finally:
            await self._batch.__aexit__(exc_type, exc, traceback)
        if exc_type is None and self._lost is not None:
            raise self._lost

    def __aiter__(self) -> Self:
        """Iterate over the results, in the order in which they are ready."""
        return self

    async def __anext__(self) -> ProcessedResult[ValueT]:
        """The next result.

        Raises:
            StopAsyncIteration: Every row has its result.
            RuntimeError: The block was not entered, or was left.
            Exception: The error of `on_progress`; or that of the source of rows, after the last result.
        """
        feeder = self._feeder
        while not self._unread:
            if self._is_left:
                raise RuntimeError("The results are read inside the block: async with process(…) as results: …")
            if feeder is None:
                feeder = self._feeder = self._spawn(self._feed())
                self._tasks.add(feeder)
            elif not self._tasks:
                if self._feeder is feeder:
                    self._feeder = None  # the next call asks the batch again, as after an error of `on_progress`
                feeder.result()
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        self._slots.release()
        return self._unread.popleft()

    async def _feed(self) -> None:
        """Read the batch while there is room for another row."""
        while True:
            await self._slots.acquire()
            try:
                ended = await next_row(self._batch)
            except BaseException:
                self._slots.release()
                raise
            if ended is None:
                self._slots.release()
                return
            self._tasks.add(self._spawn(self._process(ended)))

    async def _process(self, ended: EndedRow) -> None:
        try:
            processed = await self._processed(ended)
        except Exception as error:  # noqa: BLE001 - one row's failure is that row's
            if isinstance(error, ClusterLostError):
                self._stop(error)
            processed = ProcessedResult(result=ended.result, error=error)
        self._unread.append(processed)

    async def _processed(self, ended: EndedRow) -> ProcessedResult[ValueT]:
        result = ended.result
        task = task_of(self._work, ended)
        if task is None:
            return ProcessedResult(result=result, error=result.error)
        recorded = {} if ended.entry is None else ended.entry.processed
        if self._name in recorded:
            return ProcessedResult(result=result, value=recorded[self._name])
        outcome: Outcome = await self._cluster.run(process_row, task, retries=self._retries)
        value: ValueT = loads(outcome.value)  # type: ignore[no-untyped-call]  # distributed has no types
        try:
            await record_processed(self._batch, ended, self._name, value if outcome.is_json else None)
        except JournalError as error:  # the batch stops at its own next record
            logger.warning("row %.40r was processed, but could not be recorded: %s", result.key, error)
        return ProcessedResult(result=result, value=value, worker=outcome.worker, seconds=outcome.seconds)

    def _stop(self, error: ClusterLostError) -> None:
        """Start no more runs, as their outputs could not be processed."""
        if self._lost is None:
            self._lost = error
            logger.warning("the batch starts nothing more: %s", error)
            self._batch.stop()

    def _spawn(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(job)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the feeder's is raised by the next step
        self._news.set()


def process(  # noqa: PLR0913 - one keyword for each decision
    batch: Batch,
    client: "Client",
    function: Callable[[CompletedRow, tuple[Path, ...]], ValueT],
    *,
    save_to: "str | os.PathLike[str] | UPath | None" = None,
    in_flight: int = 100,
    retries: int = 0,
    name: str = "process",
) -> Processing[ValueT]:
    """Run a batch, and process the outputs of each completed run on a Dask cluster.

    Runs are started and followed in this process, with the batch's budget and journal. For each completed run, one task
    on the cluster downloads the outputs and calls `function`. With a journal, a row is done when it has been processed:
    the next call processes what is missing without another run, and returns what was recorded for the others.

    Args:
        batch: A batch that was not entered yet; this enters and leaves it.
        client: A connected client of the cluster, asynchronous or not. It is not closed.
        function: Called on a worker with a `CompletedRow` and the paths of its outputs; an ordinary function that can
            be pickled, and that may be called again for a row when a worker dies. What it returns should be small.
        save_to: A directory that every worker can write to, or the URL of one in a store; outputs and side-cars are
            saved there as by `save_to` of the batch, and a file that is complete is not fetched again. None = a
            directory of the worker, which is removed when the function has returned.
        in_flight: The most results that are processed or wait to be read. While there are as many, the batch is not
            read, and so starts no more runs than fit into its `concurrency`. Default 100; at least twice the number of
            threads of all workers keeps them busy.
        retries: How many times Dask calls the function again for a row for which it raised. Default 0.
        name: The name of this processing in the journal. With another one, the rows of the journal are processed again.

    Returns:
        The processing, for `async with` and then `async for`. Its results come in the order in which they are ready;
        rows that failed or were skipped come, too, with their error.

    Raises:
        ValueError: An argument is out of range, or the client is not connected.
        TypeError: An argument has the wrong type, or the function cannot be pickled.

    Example:
        >>> from distributed import Client
        >>> from flora_async.dask import process
        >>> def measure(row, paths):
        ...     return sum(path.stat().st_size for path in paths)
        >>> rows = [{"prompt": "a red bicycle"}, {"prompt": "a blue boat"}]
        >>> async with Client(processes=False, protocol="tcp", dashboard_address=":0", asynchronous=True) as client:
        ...     async with process(flora.batch("caption", rows), client, measure) as results:
        ...         sizes = {result.key: result.value async for result in results}
        >>> sorted(sizes.items())
        [('0', 22), ('1', 20)]
    """
    if not isinstance(batch, Batch):
        raise TypeError(f"batch must be a Batch, not {batch!r:.60}: flora.batch(…)")
    cluster = Cluster(client)
    if not callable(function) or iscoroutinefunction(function):
        raise TypeError(f"function must be an ordinary function of a row and its paths, not {function!r:.60}")
    for argument, value in (("in_flight", in_flight), ("retries", retries + 1 if type(retries) is int else retries)):
        check_count(argument, value)
    work = Work(function, _destination(save_to), storage_settings(batch))
    try:
        dumps(work)  # type: ignore[no-untyped-call]  # distributed has no types
    except Exception as error:
        raise TypeError(f"function cannot be sent to a worker: {error!r:.120}") from error
    return Processing(batch, cluster, work, in_flight=in_flight, retries=retries, name=non_blank("name", name))


def _destination(save_to: "str | os.PathLike[str] | UPath | None") -> Path | None:
    """The directory, independent of where a worker was started; a `UPath` for one in a store."""
    if save_to is None:
        return None
    path = path_of("save_to", save_to)
    return path.absolute() if isinstance(path, Path) else path
