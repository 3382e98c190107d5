"""What a type checker says of a user's program that has hooks and reads the answers of its calls.

Nothing here is executed: mypy and pyright read it, and each `type: ignore` marks a mistake that they must find.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import assert_type

from flora_async import FloraError, FloraSession, Hooks, Run, RunStatus, otel, record_responses
from flora_async.hooks import (
    BatchRow,
    RateLimitPause,
    RequestSent,
    ResponseReceived,
    RetryScheduled,
    RunEnded,
    RunStarted,
)


def on_request(event: RequestSent) -> None:
    assert_type((event.method, event.path, event.attempt), tuple[str, str, int])
    assert_type(event.size, int | None)
    event.attempt = 2  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


def on_retry(event: RetryScheduled) -> int:
    assert_type(event.error, FloraError)
    return event.request.attempt


def on_pause(event: RateLimitPause) -> None:
    assert_type((event.seconds, event.request_id), tuple[float, str | None])


def on_run_start(event: RunStarted) -> None:
    assert_type(event.sent_at, datetime)
    assert_type(event.row, BatchRow | None)


def on_run_end(event: RunEnded) -> None:
    assert_type(event.run, Run | None)
    assert_type(event.status, RunStatus | str | None)
    assert_type(event.cost, float | None)
    assert_type(event.error, BaseException | None)


async def listen() -> None:
    hooks = Hooks(
        on_request=on_request,
        on_response=lambda event: event.status + 1,
        on_retry=on_retry,
        on_pause=on_pause,
        on_run_start=on_run_start,
        on_run_end=on_run_end,
    )
    async with FloraSession("sk_live_1", hooks=[hooks, otel.hooks(tracer_provider=None)]) as flora:
        view = flora.with_options(hooks=Hooks(on_run_end=on_run_end))
        assert_type(view, FloraSession)
        with record_responses() as responses:
            await view.techniques.list()
        assert_type(responses, list[ResponseReceived])
        assert_type(responses[0].headers, Mapping[str, str])
        assert_type(responses[0].status, int)


def make_mistakes() -> None:
    Hooks(on_run_end=on_run_start)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Hooks(on_end=on_run_end)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    FloraSession(hooks=on_run_end)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
