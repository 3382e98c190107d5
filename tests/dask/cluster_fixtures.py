"""A cluster of two processes, which all tests of a module share."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from dask import config
from distributed import Client, LocalCluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    size: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 2}
    # Dask's logs of messages hold rows that have ended, and the scheduler runs in this process.
    with config.set({"distributed.admin.low-level-log-length": 0}):
        local: Any = LocalCluster(**size, dashboard_address="127.0.0.1:0", host="127.0.0.1")  # type: ignore[no-untyped-call]  # distributed has no types
        with local:
            yield local


@pytest.fixture
async def dask(cluster: LocalCluster) -> AsyncIterator[Client]:
    async with Client(cluster.scheduler_address, asynchronous=True) as client:  # type: ignore[no-untyped-call]  # distributed has no types
        yield client
