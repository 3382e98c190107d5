"""Captions as Celery tasks, with one session for each worker process: `celery -A celery_tasks worker`.

write_caption.apply_async(["a red bicycle"], task_id="order-4711")
"""
# ruff: noqa: INP001 - a program of its own

import asyncio
import os
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

from celery import Celery, Task

from flora_async import FloraSession, Run, SubmissionUnknownError, WaitTimeoutError

Result = TypeVar("Result")

app = Celery(
    "captions",
    broker=os.environ.get("BROKER_URL", "redis://localhost"),
    backend=os.environ.get("RESULT_BACKEND", "redis://localhost"),
)
# A task whose worker died is delivered again, under the same id.
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True)


class FloraThread:
    """A session on an event loop of its own, for tasks, which are synchronous."""

    def __init__(self) -> None:
        self.flora = FloraSession()  # connects on first use
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="flora", daemon=True).start()

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for a coroutine in the other thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Close the session and end the thread."""
        self.call(self.flora.close())
        self._loop.call_soon_threadsafe(self._loop.stop)


@cache
def flora_thread() -> FloraThread:
    """The thread of this process; made by its first task, and so after Celery has forked."""
    return FloraThread()


@app.task(bind=True, max_retries=8)
def write_caption(self: Task, prompt: str) -> str | None:
    """Run the technique. A task that is delivered again gets the run that it has paid for."""
    key = f"caption-{self.request.id}"  # taken here, because Celery knows its request in this thread only

    async def caption(flora: FloraSession) -> Run:
        run = await flora.techniques.runs.create(
            "caption",
            inputs={"prompt": prompt},
            idempotency_key=key,
            adopt=True,
            check=True,
        )
        return await flora.wait_for_run(run, timeout=600, raise_on_failure=True)

    thread = flora_thread()
    try:
        return thread.call(caption(thread.flora)).outputs[0].text
    except (SubmissionUnknownError, WaitTimeoutError) as error:
        raise self.retry(exc=error, countdown=30) from error  # under the same key, so it is not paid for again
