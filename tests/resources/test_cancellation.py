"""A cancellation at any step of a start, a resolution, a wait or a batch leaves nothing behind."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SWIFT_POLL, OpenSession

import flora_async
from flora_async import FloraSession, RetryPolicy, RunRequest
from flora_async.testing import Drop, FakeFlora, Status

PACKAGE = Path(flora_async.__file__).parent
PROMPT = {"prompt": "a red bicycle"}
ROWS = [RunRequest(PROMPT, key=f"row-{number}") for number in range(6)]
# The number of requests that have arrived, and of turns of the loop after that.
STEPS = [
    *((0, turns) for turns in range(0, 60, 3)),
    *((count, turns) for count in range(1, 24) for turns in (0, 4)),
]
QUICK = RetryPolicy(initial=0.0001, maximum=0.001, settle=0.001, rate_limit_pause=0.001)

Job = Callable[[FakeFlora, FloraSession, Path], Awaitable[object]]


async def start(fake: FakeFlora, flora: FloraSession, _: Path) -> object:
    fake.inject(Status(503), on="start")
    return await flora.techniques.runs.create("caption", inputs=PROMPT)


async def resolve(fake: FakeFlora, flora: FloraSession, _: Path) -> object:
    fake.inject(Drop(acts=True), on="start")
    return await flora.techniques.runs.create("caption", inputs=PROMPT)


async def run_and_wait(fake: FakeFlora, flora: FloraSession, _: Path) -> object:
    fake.inject(Status(429, retry_after=0.001), on="poll")
    return await flora.run("caption", PROMPT)


async def batch(_: FakeFlora, flora: FloraSession, journal: Path) -> object:
    return await flora.run_all("caption", ROWS, journal=journal, save_to=journal.parent / "out", concurrency=3)


@pytest.fixture
async def fake() -> AsyncIterator[FakeFlora]:
    async with FakeFlora(run_seconds=0.01, history_lag=0.0) as server:
        yield server


def our_tasks() -> set[str]:
    """The tasks that run code of the package, but for those of the local FLORA."""
    files = {
        task: Path(getattr(task.get_coro(), "cr_code", our_tasks.__code__).co_filename) for task in asyncio.all_tasks()
    }
    return {
        str(task) for task, file in files.items() if PACKAGE in file.parents and PACKAGE / "testing" not in file.parents
    }


@pytest.mark.parametrize("job", [start, resolve, run_and_wait, batch], ids=lambda job: job.__name__)
async def test_a_cancellation_at_any_step_leaves_no_task_no_thread_and_no_lock(
    fake: FakeFlora, session_on: OpenSession, tmp_path: Path, job: Job
) -> None:
    flora = session_on(fake, retry=QUICK, poll=SWIFT_POLL)
    for number, (count, turns) in enumerate(STEPS):
        arrived = len(fake.requests)
        journal = tmp_path / f"{number}.sqlite"
        task: asyncio.Task[Any] = asyncio.ensure_future(job(fake, flora, journal))
        while len(fake.requests) < arrived + count and not task.done():
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        if not task.cancel():
            break
        with pytest.raises(asyncio.CancelledError):
            await task
        fake.heal()
        assert our_tasks() == set()
        assert not any("journal" in thread.name for thread in threading.enumerate())
    (run,) = await flora.run_all("caption", ROWS[:1], journal=tmp_path / "0.sqlite")
    assert run.ok
    assert (await flora.run("caption", PROMPT)).is_completed
    paid = [run.idempotency_key for run in fake.runs]
    assert len(paid) == len(set(paid))
