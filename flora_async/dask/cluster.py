"""Do a task on a Dask cluster, by a client of either kind."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, Final

from distributed import Client

from flora_async.errors import ClusterLostError

_PATIENCE: Final = 2.0  # seconds for an answer that is on its way when its task is cancelled
_MAX_SUBMISSIONS: Final = 10


class Cluster:
    """A cluster, by way of a connected client.

    Args:
        client: The client; it may run on this event loop, or on one in another thread.

    Raises:
        TypeError: It is not a client of Dask.
        ValueError: It is not connected.
    """

    def __init__(self, client: object) -> None:
        if not isinstance(client, Client):
            raise TypeError(f"client must be a distributed.Client, not {client!r:.60}: Client('tcp://scheduler:8786')")
        if client.status != "running":
            raise ValueError(
                f"client is {client.status}, not connected: enter it first, async with Client(…, asynchronous=True)"
            )
        self._client: Any = client
        self._connection: Any = client.scheduler_comm

    async def run(self, function: Callable[[Any], Any], argument: object, *, retries: int = 0) -> Any:  # noqa: ANN401
        """Call a function on a worker, and return what it returns.

        A task that others cancel, as by a restart of the cluster, is submitted again.

        Raises:
            ClusterLostError: The client was closed, or has lost its connection.
            Exception: What the function raised, or why it could not be called.
        """
        for _ in range(_MAX_SUBMISSIONS):
            self._check_connection()
            with suppress(CancelledError):
                return await self._run_once(function, argument, retries)
        raise ClusterLostError(f"a task was cancelled {_MAX_SUBMISSIONS} times")

    def _check_connection(self) -> None:
        # When a client has connected again, the scheduler may still take the end of the old connection for that of the
        # new one, forget its tasks, and never say so.
        if self._client.status != "running" or self._client.scheduler_comm is not self._connection:
            raise ClusterLostError(f"the client is {self._client.status}, and its connection is not that of the start")

    async def _run_once(self, function: Callable[[Any], Any], argument: object, retries: int) -> Any:  # noqa: ANN401
        future = self._client.submit(function, argument, pure=False, retries=retries)
        try:
            self._check_connection()  # a client on another thread may have connected again just before
        except ClusterLostError:
            future.release()
            raise
        # Not cancelled itself: a client reads the results for all who wait for one in the same request.
        reading = asyncio.ensure_future(self._on_its_loop(self._client.gather, [future]))
        try:
            (result,) = await asyncio.shield(reading)
        except asyncio.CancelledError:
            with suppress(Exception):  # as of a client that was closed
                await self._on_its_loop(self._client.cancel, [future])
            _, unfinished = await asyncio.wait((reading,), timeout=_PATIENCE)
            for late in unfinished:
                late.cancel()
            reading.add_done_callback(_retrieve)
            raise
        finally:
            future.release()
        return result

    async def _on_its_loop(self, method: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:  # noqa: ANN401
        loop = self._client.loop.asyncio_loop
        if loop is asyncio.get_running_loop():
            return await method(*arguments, asynchronous=True)

        async def call() -> Any:  # noqa: ANN401
            return await method(*arguments, asynchronous=True)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), loop))


def _retrieve(reading: "asyncio.Future[Any]") -> None:
    if not reading.cancelled():
        reading.exception()
