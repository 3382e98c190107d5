"""The workers of the documentation, arq and Celery, on queues in this process."""

import asyncio
import importlib.util
import sys
from contextlib import suppress
from math import inf
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from flora_async.testing import FakeFlora, FakeTechnique

pytestmark = pytest.mark.filterwarnings("default")  # those of arq, redis and Celery are not ours
EXAMPLES: Final = Path(__file__).parents[2] / "docs" / "examples"


def load(name: str) -> ModuleType:
    """The example as a module, as its worker imports it."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _fake_is_the_flora_of_the_environment(fake_flora: FakeFlora, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLORA_API_KEY", fake_flora.api_key)
    monkeypatch.setenv("FLORA_BASE_URL", fake_flora.base_url)


def _leave_alone(**_: object) -> None:
    """Set up no logging."""


async def test_an_arq_job_whose_worker_ends_is_repeated_and_paid_for_once(
    fake_flora: FakeFlora, monkeypatch: pytest.MonkeyPatch
) -> None:
    arq = pytest.importorskip("arq", reason="needs arq, from the extra dev")
    fakeredis = pytest.importorskip("fakeredis", reason="needs fakeredis, from the extra dev")
    redis = pytest.importorskip("redis.asyncio", reason="needs arq, from the extra dev")

    async def say_nothing(*_: object) -> None:
        """The Redis of this process does not know the command by which arq logs its version."""

    monkeypatch.setattr("arq.worker.log_redis_info", say_nothing)
    pool = redis.ConnectionPool(connection_class=fakeredis.FakeAsyncRedisConnection, server=fakeredis.FakeServer())
    settings = load("arq_worker").WorkerSettings
    fake_flora.add_technique(FakeTechnique("caption", outputs={"output_1": "text"}, running=inf))
    queue = arq.ArqRedis(pool)
    job = await queue.enqueue_job("write_caption", "a red bicycle", _job_id="order-4711")

    def create_worker() -> Any:
        return arq.worker.create_worker(
            settings, redis_pool=arq.ArqRedis(pool), handle_signals=False, poll_delay=0.01, burst=True
        )

    first = create_worker()
    working = asyncio.create_task(first.main())
    while not any(request.operation == "poll" for request in fake_flora.requests):
        await asyncio.sleep(0.001)
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    await first.close()  # this is what arq does at SIGTERM
    fake_flora.finish(fake_flora.runs[0].run_id)

    second = create_worker()
    await second.main()
    await second.close()
    assert await job.result(timeout=5) == "Caption: a red bicycle"
    assert [run.idempotency_key for run in fake_flora.runs] == ["caption-order-4711"]
    await queue.aclose()


def test_a_celery_task_that_is_delivered_again_gets_the_run_that_it_has_paid_for(
    fake_flora: FakeFlora, monkeypatch: pytest.MonkeyPatch
) -> None:
    testing = pytest.importorskip("celery.contrib.testing.worker", reason="needs Celery, from the extra dev")
    # Or else the worker sets up the logging of this process.
    setup_logging = pytest.importorskip("celery.signals").setup_logging
    monkeypatch.setattr(setup_logging, "receivers", [*setup_logging.receivers])
    setup_logging.connect(_leave_alone)
    monkeypatch.setenv("BROKER_URL", "memory://")
    monkeypatch.setenv("RESULT_BACKEND", "cache+memory://")
    tasks = load("celery_tasks")
    with testing.start_worker(tasks.app, perform_ping_check=False, shutdown_timeout=20):
        for _ in range(2):  # as when a worker died before it could acknowledge the task
            delivered = tasks.write_caption.apply_async(["a red bicycle"], task_id="order-4711")
            assert delivered.get(timeout=20) == "Caption: a red bicycle"
            delivered.forget()
    tasks.flora_thread().close()
    assert [run.idempotency_key for run in fake_flora.runs] == ["caption-order-4711"]
