"""Hooks about requests, and the record of answers: what they are told, and that nothing they do costs anything."""

import asyncio
import functools
import logging
from typing import Any

import pytest
from conftest import IMAGE, SWIFT_RETRY, OpenSession
from raw_flora import RUN, answer, raw_flora
from sweep import Sweep

from flora_async import (
    FloraSession,
    Hooks,
    InsufficientCreditsError,
    NotFoundError,
    RateLimitError,
    RetryPolicy,
    RunRequest,
    record_responses,
)
from flora_async.hooks import RateLimitPause, RequestSent, ResponseReceived, RetryScheduled
from flora_async.testing import Drop, FakeFlora, Headers, Status, VirtualClock

PROMPT = {"prompt": "a red bicycle"}


class Heard(list[Any]):
    """The events of a session, in order."""

    def hooks(self) -> Hooks:
        add = self.append
        return Hooks(
            on_request=add, on_response=add, on_retry=add, on_pause=add, on_run_start=add, on_run_end=add
        )  # fmt: skip

    def of(self, *kinds: type) -> list[Any]:
        return [event for event in self if isinstance(event, kinds)]


@pytest.fixture
def heard() -> Heard:
    return Heard()


async def test_requests_answers_retries_and_pauses_are_told_in_order(
    fake: FakeFlora, session_on: OpenSession, heard: Heard
) -> None:
    flora = session_on(fake, hooks=heard.hooks(), query={"tenant": "secret-tenant"}, clock=VirtualClock())
    fake.inject(Status(503))
    fake.inject(Status(429, retry_after=3))
    await flora.techniques.retrieve("caption")

    shown = [
        (type(event).__name__, getattr(event, "request", event).attempt)
        for event in heard.of(RequestSent, ResponseReceived, RetryScheduled)
    ]
    assert shown == [
        ("RequestSent", 1),
        ("ResponseReceived", 1),
        ("RetryScheduled", 1),
        ("RequestSent", 2),
        ("ResponseReceived", 2),
        ("RetryScheduled", 2),
        ("RequestSent", 3),
        ("ResponseReceived", 3),
    ]
    sent = heard[0]
    assert (sent.method, sent.path, sent.label, sent.size) == ("GET", "/api/v1/techniques/caption", "technique", 0)
    assert [event.status for event in heard.of(ResponseReceived)] == [503, 429, 200]
    ids = [request.request_id for request in fake.requests]
    assert [event.request_id for event in heard.of(ResponseReceived)] == ids
    assert all(event.seconds >= 0 for event in heard.of(ResponseReceived))
    assert [type(event.error).__name__ for event in heard.of(RetryScheduled)] == [
        "InternalServerError",
        "RateLimitError",
    ]
    (pause,) = heard.of(RateLimitPause)
    assert (pause.seconds, pause.request_id, type(pause.error)) == (3, ids[1], RateLimitError)
    assert "secret-tenant" not in repr(list(heard))


async def test_the_repr_of_each_event_shows_what_it_is_about(
    fake: FakeFlora, session_on: OpenSession, heard: Heard
) -> None:
    flora = session_on(fake, hooks=heard.hooks())
    fake.inject(Status(429, retry_after=0.001), on="start")
    await flora.run_all("caption", [RunRequest(PROMPT, key="row-57")], name="spring")
    fake.inject(Status(402, code="insufficient_credits"), on="start")
    with pytest.raises(InsufficientCreditsError):
        await flora.techniques.runs.create("caption", inputs=PROMPT)
    request = "request=<POST /api/v1/techniques/caption/runs, start, attempt 1>"
    row = "row-57 of spring, attempt 1"
    shown = {
        "RequestSent": ["method='POST'", "path='/api/v1/techniques/caption/runs'", "label='start'", "attempt=1"],
        "ResponseReceived": [request, "status=429", f"request_id='{fake.requests[1].request_id}'"],
        "RetryScheduled": [request, "error=<RateLimitError: ", "seconds="],
        "RateLimitPause": ["error=<RateLimitError: ", "seconds=0.001"],
        "RunStarted": ["kind='technique'", "name='caption'", f"row=<{row}>", fake.runs[0].run_id],
        "RunEnded": [f"start=<technique caption, {row}>", f"run=<{fake.runs[0].run_id} completed ", "error=None"],
    }
    with Sweep() as sweep:
        for name, parts in shown.items():
            events = [repr(event) for event in heard if type(event).__name__ == name]
            with sweep.row(name):
                assert [event for event in events if all(part in event for part in parts)], events
                assert all(len(event) < 200 and fake.api_key not in event for event in events)


async def test_every_attempt_of_a_start_is_told_with_the_size_of_its_body(
    fake: FakeFlora, session_on: OpenSession, heard: Heard
) -> None:
    fake.inject(Drop(acts=False), on="start", times=2)
    await session_on(fake, hooks=heard.hooks()).techniques.runs.create("caption", inputs=PROMPT)
    starts = [event for event in heard.of(RequestSent) if event.label == "start"]
    assert [event.attempt for event in starts] == [1, 2, 3]
    assert all(event.size > len(str(PROMPT)) for event in starts)
    assert [event.request.attempt for event in heard.of(RetryScheduled)] == [1, 2]
    assert [event.status for event in heard.of(ResponseReceived)] == [201]  # a dropped connection is no answer


async def test_polls_that_fail_are_told_as_retries_and_counted_in_a_row(
    fake: FakeFlora, session_on: OpenSession, heard: Heard
) -> None:
    fake.inject(Status(500), on="poll", times=2)
    await session_on(fake, hooks=heard.hooks()).run("caption", PROMPT)
    retries = heard.of(RetryScheduled)
    assert [(event.request.label, event.request.attempt) for event in retries] == [("poll", 1), ("poll", 2)]
    attempts = [event.attempt for event in heard.of(RequestSent) if event.label == "poll"]
    assert attempts[:4] == [1, 2, 3, 1][: len(attempts)]
    assert all(event.seconds >= 0 for event in retries)


async def test_a_request_that_is_called_back_before_it_is_sent_is_told_once(heard: Heard) -> None:
    arrived, told = asyncio.Event(), 0

    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal told
        told += 1
        if told == 1:
            arrived.set()
            while len(heard.of(RequestSent)) < 2:
                await asyncio.sleep(0.001)
            writer.write(answer({}, 429, retry_after="0"))
        else:
            writer.write(answer({"technique_id": "tech_1", "slug": "x", "name": "x"}))

    async with (
        raw_flora(serve) as url,
        FloraSession("sk_test_1", base_url=url, max_connections=1, hooks=heard.hooks(), retry=SWIFT_RETRY) as flora,
    ):
        first = asyncio.create_task(flora.techniques.retrieve("first"))
        await arrived.wait()
        await asyncio.gather(first, flora.techniques.retrieve("second"))
    sent = [(event.path, event.attempt) for event in heard.of(RequestSent)]
    assert sorted(sent) == [("/techniques/first", 1), ("/techniques/first", 2), ("/techniques/second", 1)]


async def test_no_event_and_no_record_holds_the_key_even_if_the_server_sends_it(
    fake: FakeFlora, session_on: OpenSession, heard: Heard
) -> None:
    flora = session_on(fake, hooks=heard.hooks(), headers={"X-Token": "tok_0123456789"})
    fake.inject(Headers({"X-Echo": f"Bearer {fake.api_key}", "X-Other": "kept"}), times=None)
    with record_responses() as responses:
        await flora.run("caption", PROMPT)
        with pytest.raises(NotFoundError):
            await flora.request("GET", f"/techniques/{fake.api_key}")
    assert {response.status for response in responses} > {200, 404}
    for response in responses:
        assert (response.headers["x-echo"], response.headers["X-OTHER"]) == ("Bearer ***", "kept")
    everything = " ".join(
        f"{event} {getattr(event, 'path', '')} {dict(getattr(event, 'headers', {}))}" for event in heard
    )
    assert fake.api_key not in everything
    assert "tok_0123456789" not in everything


@pytest.mark.parametrize("kind", [ZeroDivisionError, asyncio.CancelledError])
async def test_a_hook_that_raises_costs_nothing_and_is_logged_once_with_its_traceback(
    fake: FakeFlora, session_on: OpenSession, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    def crash(_: object) -> None:
        raise kind("a mistake in a hook")

    hooks = Hooks(
        on_request=crash, on_response=crash, on_retry=crash, on_pause=crash, on_run_start=crash, on_run_end=crash
    )
    flora = session_on(fake, hooks=hooks)
    fake.inject(Status(429, retry_after=0), on="start")
    runs = await asyncio.gather(*(flora.run("caption", PROMPT) for _ in range(3)))
    assert all(run.is_completed for run in runs)
    assert len(fake.runs) == 3
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    names = [name for record in logged for name in [record.getMessage().split()[2]]]
    assert sorted(names) == ["on_pause", "on_request", "on_response", "on_retry", "on_run_end", "on_run_start"]
    assert all(record.exc_info and record.exc_info[0] is kind for record in logged)


async def test_a_hook_that_returns_a_coroutine_is_a_mistake_that_is_logged(
    fake: FakeFlora, session_on: OpenSession, caplog: pytest.LogCaptureFixture
) -> None:
    async def later(_: object) -> None: ...

    def partly(function: Any, event: object) -> object:
        return function(event)

    flora = session_on(fake, hooks=Hooks(on_request=functools.partial(partly, later)))
    await flora.techniques.list()
    assert "must not return a coroutine" in caplog.text


def test_what_cannot_be_a_hook_is_refused_when_it_is_given(flora: FloraSession) -> None:
    async def later(_: object) -> None: ...

    class Listener:
        async def __call__(self, event: object) -> None: ...

    bad: dict[str, Any] = {
        "coroutine function": later,
        "partial of one": functools.partial(later),
        "object with one": Listener(),
        "text": "print",
        "number": 5,
    }
    with Sweep() as sweep:
        for name, hook in bad.items():
            with sweep.row(name), pytest.raises(TypeError, match=r"Hooks\.on_retry must be a"):
                Hooks(on_retry=hook)
    hooks: Any = print
    with pytest.raises(
        TypeError, match="hooks must be of type Hooks, or a list of them, not <built-in function print>"
    ):
        flora.with_options(hooks=hooks)
    with pytest.raises(TypeError, match="hooks must be of type Hooks"):
        FloraSession("sk_test_1", hooks=hooks)


async def test_hooks_of_a_view_are_called_after_those_of_the_session_and_only_for_the_view(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    calls: list[str] = []
    first, second = (Hooks(on_request=lambda _, name=name: calls.append(name)) for name in ("session", "also"))  # type: ignore[misc]
    flora = session_on(fake, hooks=[first, second])
    view = flora.with_options(hooks=Hooks(on_request=lambda _: calls.append("view")))
    await view.techniques.list()
    await flora.techniques.list()
    await view.with_options(timeout=5).techniques.list()
    session = ["session", "also"]
    assert calls == [*session, "view", *session, *session, "view"]


async def test_answers_are_recorded_for_each_task_and_for_the_blocks_around_it(
    fake: FakeFlora, flora: FloraSession
) -> None:
    async def run(number: int) -> tuple[str, list[ResponseReceived]]:
        with record_responses() as responses:
            run = await flora.run("caption", {"prompt": str(number)})
        return run.run_id, responses

    with record_responses() as everything:
        results = await asyncio.gather(*map(run, range(5)))
        await flora.run_all("caption", [PROMPT])
    after = len(everything)
    await flora.techniques.list()
    assert len(everything) == after
    for run_id, responses in results:
        assert [response.request.label for response in responses].count("start") == 1
        polled = {
            response.request.path.rpartition("/")[2] for response in responses if response.request.label == "poll"
        }
        assert polled == {run_id}
    ids = [response.request_id for response in everything]
    assert ids == [request.request_id for request in fake.requests[:after]]
    assert len(ids) > sum(len(responses) for _, responses in results)


async def test_a_record_shows_each_attempt_and_the_headers_of_a_refusal(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Status(503))
    with record_responses() as responses, pytest.raises(NotFoundError):
        await flora.techniques.retrieve("nothing-like-it")
    first, second = responses[:2]
    assert [(r.status, r.request.attempt) for r in (first, second)] == [(503, 1), (404, 2)]
    assert second.headers["Content-Type"].startswith("application/json")


async def test_a_task_that_outlives_the_block_is_not_recorded_after_it(flora: FloraSession) -> None:
    with record_responses() as responses:
        task = asyncio.create_task(flora.run("caption", PROMPT))
        await asyncio.sleep(0)
    await task
    assert responses == []


async def test_views_share_the_connections_of_their_session() -> None:
    connections: set[asyncio.StreamWriter] = set()

    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        writer.write(answer(RUN))

    async with raw_flora(serve) as url, FloraSession("sk_test_1", base_url=url) as flora:
        for session in (flora, flora.with_options(timeout=5), flora.with_options(headers={"X-A": "1"}, hooks=Hooks())):
            for _ in range(2):
                await session.request("GET", "/runs/run_1")
    assert len(connections) == 1


async def test_default_headers_and_parameters_are_sent_to_no_host_for_files(
    fake: FakeFlora, session_on: OpenSession, tmp_path: Any
) -> None:
    flora = session_on(fake, headers={"X-Team": "studio"}, query={"tenant": "a"})
    view = flora.with_options(headers={"X-Job": "nightly"}, query={"job": "b"})
    small, large = b"\x89PNG\r\n\x1a\n", tmp_path / "large.png"
    large.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(6_000_000))
    await view.assets.upload(small)
    await view.assets.upload(large)
    run = await view.run("cctv-cam", IMAGE)
    await view.save_outputs(run, tmp_path / "saved")
    elsewhere = [request for request in fake.requests if request.operation in {"media", "upload"}]
    assert {request.operation for request in elsewhere} == {"media", "upload"}
    for request in elsewhere:
        assert not {"X-Team", "X-Job", "Authorization"} & set(request.headers)
        assert not {"tenant", "job"} & set(request.query)
    others = [request for request in fake.requests if request not in elsewhere]
    assert all(request.headers["X-Job"] == "nightly" and request.query["job"] == "b" for request in others)


async def test_default_headers_are_not_sent_to_a_trusted_origin_of_poll_urls() -> None:
    heads: list[bytes] = []

    async def serve(head: bytes, _: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(answer(RUN))

    async with (
        raw_flora(serve) as elsewhere,
        FloraSession(
            "sk_test_1",
            base_url="http://127.0.0.1:1",
            trusted_origins=[elsewhere],
            headers={"X-Team": "studio"},
            query={"tenant": "a"},
            retry=RetryPolicy(attempts=1),
        ) as flora,
    ):
        await flora.with_options(headers={"X-Job": "nightly"}).wait_for_run(f"{elsewhere}/runs/run_1")
    (head,) = heads
    assert not [word for word in (b"x-team", b"x-job", b"tenant", b"authorization") if word in head.lower()]
