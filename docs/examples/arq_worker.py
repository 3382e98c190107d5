"""Captions as arq jobs, with one session for each worker: `arq arq_worker.WorkerSettings`.

await redis.enqueue_job("write_caption", "a red bicycle", _job_id="order-4711")
"""
# ruff: noqa: INP001 - a program of its own

import os
from typing import Any

from arq import Retry
from arq.connections import RedisSettings

from flora_async import FloraSession, SubmissionUnknownError, WaitTimeoutError


async def open_session(ctx: dict[str, Any]) -> None:
    """Open the session before the first job."""
    ctx["flora"] = FloraSession()


async def close_session(ctx: dict[str, Any]) -> None:
    """Close it after the last one."""
    await ctx["flora"].close()


async def write_caption(ctx: dict[str, Any], prompt: str) -> str | None:
    """Run the technique. A job that is repeated, because its worker ended, gets the run that it has paid for."""
    flora: FloraSession = ctx["flora"]
    try:
        run = await flora.techniques.runs.create(
            "caption",
            inputs={"prompt": prompt},
            idempotency_key=f"caption-{ctx['job_id']}",
            adopt=True,
            check=True,
        )
        run = await flora.wait_for_run(run, timeout=600, raise_on_failure=True)
    except (SubmissionUnknownError, WaitTimeoutError) as error:
        raise Retry(defer=30) from error  # under the same key, so it is not paid for again
    return run.outputs[0].text


class WorkerSettings:
    """What `arq` reads."""

    functions = (write_caption,)
    on_startup = open_session
    on_shutdown = close_session
    redis_settings = RedisSettings.from_dsn(os.environ.get("REDIS_URL", "redis://localhost"))
    job_timeout = 900  # longer than the wait, so that a job ends with an error of its own
    max_tries = 8  # FLORA knows a key for two hours
