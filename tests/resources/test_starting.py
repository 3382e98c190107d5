"""Starting a run: what is checked before, what is sent, and that no fault makes two runs or loses one."""

import asyncio
import json
import logging
from typing import Any

import pytest
from conftest import IMAGE, SWIFT_RETRY, OpenSession

from flora_async import (
    APIConnectionError,
    BadRequestError,
    FloraSession,
    IdempotencyError,
    InsufficientCreditsError,
    RateLimitError,
    RetryPolicy,
    RunInput,
    SubmissionUnknownError,
    UnprocessableEntityError,
)
from flora_async.testing import Drop, FakeFlora, Garbage, RecordedRequest, Replace, Slow, Status, Truncate, VirtualClock


def starts(fake: FakeFlora) -> list[RecordedRequest]:
    return [request for request in fake.requests if request.operation == "start"]


async def test_one_key_goes_in_header_and_body_and_is_the_same_on_every_attempt(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.inject(Status(503), on="start", times=2)
    run = await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    keys = {(request.headers["Idempotency-Key"], request.json["idempotency_key"]) for request in fake.requests}
    assert len(fake.requests) == 3
    assert len(keys) == 1
    (in_header, in_body) = keys.pop()
    assert in_header == in_body == fake.runs[0].idempotency_key
    assert [started.run_id for started in fake.runs] == [run.run_id]


async def test_two_starts_have_two_keys(fake: FakeFlora, flora: FloraSession) -> None:
    for _ in range(2):
        await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert fake.runs[0].idempotency_key != fake.runs[1].idempotency_key


async def test_a_key_of_the_caller_is_sent_as_it_is_and_starts_one_run_over_two_calls(
    session_on: OpenSession,
) -> None:
    async with FakeFlora(idempotency="replay") as fake:
        flora = session_on(fake)
        first = await flora.techniques.runs.create("cctv-cam", inputs=IMAGE, idempotency_key="row-57")
        again = await flora.techniques.runs.create("cctv-cam", inputs=IMAGE, idempotency_key="row-57")
        assert first.run_id == again.run_id
        assert [run.idempotency_key for run in fake.runs] == ["row-57"]


async def test_a_key_used_by_an_earlier_call_is_an_idempotency_error_where_flora_answers_409(
    session_on: OpenSession,
) -> None:
    async with FakeFlora(idempotency="conflict") as fake:
        flora = session_on(fake)
        await flora.techniques.runs.create("cctv-cam", inputs=IMAGE, idempotency_key="row-57")
        with pytest.raises(IdempotencyError) as caught:
            await flora.techniques.runs.create("cctv-cam", inputs=IMAGE, idempotency_key="row-57")
        assert caught.value.code == "idempotency_duplicate"
        assert caught.value.request_id == fake.requests[-1].request_id
        assert len(fake.runs) == 1


async def test_a_409_behind_failed_connections_alone_is_an_earlier_calls_run_and_no_doubt(
    session_on: OpenSession,
) -> None:
    async with FakeFlora(idempotency="conflict") as fake:
        await session_on(fake).techniques.runs.create("cctv-cam", inputs=IMAGE, idempotency_key="row-57")
        flora = session_on(fake, retry=RetryPolicy(attempts=200, initial=0.01, maximum=0.01))
        await fake.__aexit__(None, None, None)
        start = asyncio.create_task(flora.techniques.runs.create("cctv-cam", inputs=IMAGE, idempotency_key="row-57"))
        await asyncio.sleep(0)
        async with fake:
            with pytest.raises(IdempotencyError):
                await start
            assert len(fake.runs) == 1


async def test_the_same_key_with_another_body_is_refused_and_starts_nothing(session_on: OpenSession) -> None:
    async with FakeFlora(idempotency="replay") as fake:
        flora = session_on(fake)
        await flora.techniques.runs.create("caption", inputs={"prompt": "one"}, idempotency_key="row-57")
        with pytest.raises(UnprocessableEntityError) as caught:
            await flora.techniques.runs.create("caption", inputs={"prompt": "two"}, idempotency_key="row-57")
        assert caught.value.code == "idempotency_conflict"
        assert len(fake.runs) == 1


@pytest.mark.parametrize("fault", [Drop(acts=True), Truncate(), Garbage(), Status(500, acts=True)], ids=repr)
async def test_a_start_whose_answer_is_lost_gets_the_same_run_by_replay(session_on: OpenSession, fault: Any) -> None:
    async with FakeFlora(idempotency="replay") as fake:
        fake.inject(fault, on="start")
        run = await session_on(fake).techniques.runs.create("cctv-cam", inputs=IMAGE)
        assert [started.run_id for started in fake.runs] == [run.run_id]


async def test_a_connection_that_breaks_while_flora_works_on_is_left_alone_before_the_key_is_sent_again(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    fake.inject(Drop(acts=True, late=0.3), on="start")
    flora = session_on(fake, retry=RetryPolicy(initial=0.001, settle=1.0))
    run = await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert [started.run_id for started in fake.runs] == [run.run_id]


async def test_by_default_it_is_left_alone_for_half_a_minute(session_on: OpenSession, clock: VirtualClock) -> None:
    async with FakeFlora(idempotency="replay") as fake:
        fake.inject(Drop(acts=True), on="start")
        fake.inject(Garbage(b"", status=502, acts=False), on="start")
        await session_on(fake, clock=clock, retry=RetryPolicy()).techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert clock.sleeps[0] == 30
    assert clock.sleeps[1] < 30  # FLORA's own answer, by its request id: it is done with that attempt


async def test_an_answer_that_is_not_floras_own_is_no_end_of_an_attempt() -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    async with server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        clock = VirtualClock()
        retry = RetryPolicy(resolve=False)
        async with FloraSession("sk_test_1", base_url=address, clock=clock, retry=retry) as flora:
            with pytest.raises(SubmissionUnknownError):
                await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert clock.sleeps == [30, 30, 30]


async def test_without_settling_a_start_in_doubt_is_never_sent_again(fake: FakeFlora, session_on: OpenSession) -> None:
    fake.inject(Drop(acts=True), on="start")
    with pytest.raises(SubmissionUnknownError):
        await session_on(fake, retry=RetryPolicy(settle=None)).techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert len(starts(fake)) == len(fake.runs) == 1


async def test_closing_the_session_while_a_start_is_in_flight_does_not_lose_it(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    flora = session_on(fake)
    fake.inject(Slow(30, where="after"), on="start")
    start = asyncio.create_task(flora.techniques.runs.create("cctv-cam", inputs=IMAGE, idempotency_key="row-57"))
    while not fake.runs:
        await asyncio.sleep(0.001)
    await flora.close()
    with pytest.raises(SubmissionUnknownError) as caught:
        await start
    assert caught.value.idempotency_key == "row-57"
    assert isinstance(caught.value.__cause__, RuntimeError)


async def test_a_key_that_is_too_long_to_show_is_not_shown_in_part(fake: FakeFlora, flora: FloraSession) -> None:
    for key in ("row-57", "catalog-2025-spring-" * 5 + "row-57"):
        fake.inject(Status(504), on="start", times=None)
        with pytest.raises(SubmissionUnknownError) as caught:
            await flora.techniques.runs.create("cctv-cam", inputs=IMAGE, idempotency_key=key)
        assert caught.value.idempotency_key == key
        assert (f"{key!r}" in str(caught.value)) == (key == "row-57")
        assert "'catalog" not in str(caught.value)


@pytest.mark.parametrize("options", [{"poll": 5}, {"on_update": "x"}, {"poll": 5, "timeout": 10}], ids=repr)
async def test_a_wrong_option_of_the_wait_is_refused_before_anything_is_spent(
    fake: FakeFlora, flora: FloraSession, options: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        await flora.run("cctv-cam", IMAGE, **options)
    assert not fake.requests


async def test_a_start_that_is_dropped_every_time_ends_in_doubt_after_the_allowed_attempts(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.inject(Drop(acts=False), on="start", times=None)
    with pytest.raises(SubmissionUnknownError) as caught:
        await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert len(starts(fake)) == SWIFT_RETRY.attempts
    assert isinstance(caught.value.__cause__, APIConnectionError)


async def test_a_refusal_after_an_attempt_in_doubt_is_still_in_doubt(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Drop(acts=True), on="start")
    fake.inject(Status(402), on="start")
    with pytest.raises(SubmissionUnknownError) as caught:
        await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert isinstance(caught.value.__cause__, InsufficientCreditsError)
    assert len(fake.runs) == 1


@pytest.mark.parametrize(("status", "kind"), [(400, BadRequestError), (402, InsufficientCreditsError)])
async def test_a_refusal_is_raised_as_itself_and_not_sent_again(
    fake: FakeFlora, flora: FloraSession, status: int, kind: type[Exception]
) -> None:
    fake.inject(Status(status), on="start", times=None)
    with pytest.raises(kind):
        await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert len(fake.requests) == 1
    assert not fake.runs


async def test_a_rate_limit_without_end_is_no_doubt_since_nothing_was_started(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.inject(Status(429), on="start", times=None)
    with pytest.raises(RateLimitError):
        await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert len(fake.requests) == SWIFT_RETRY.attempts
    assert not fake.runs


async def test_a_flora_that_was_never_reached_is_a_connection_error_since_nothing_was_sent(
    fake: FakeFlora, flora: FloraSession
) -> None:
    await fake.__aexit__(None, None, None)
    with pytest.raises(APIConnectionError) as caught:
        await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert not caught.value.sent


@pytest.mark.parametrize("payload", [{"status": "pending"}, {"runId": 5, "status": "pending"}, {"runId": ""}])
async def test_a_paid_start_whose_answer_names_no_run_is_in_doubt_with_the_reason(
    fake: FakeFlora, flora: FloraSession, payload: Any
) -> None:
    fake.inject(Replace(payload), on="start", times=None)
    with pytest.raises(SubmissionUnknownError) as caught:
        await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert "run_id" in str(caught.value.__cause__)
    assert len(fake.runs) == 1


async def test_a_start_cancelled_in_flight_passes_the_cancellation_on_and_logs_its_key(
    fake: FakeFlora, flora: FloraSession, caplog: pytest.LogCaptureFixture
) -> None:
    fake.inject(Slow(30, where="after"), on="start")
    start = asyncio.create_task(flora.techniques.runs.create("cctv-cam", inputs=IMAGE, idempotency_key="row-57"))
    while not fake.runs:
        await asyncio.sleep(0.001)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "row-57" in warnings[0]


async def test_a_start_cancelled_before_it_was_sent_warns_of_nothing(
    fake: FakeFlora, session_on: OpenSession, caplog: pytest.LogCaptureFixture
) -> None:
    flora = session_on(fake, retry=RetryPolicy(rate_limit_pause=600))
    fake.inject(Status(429), on="history")
    history = asyncio.create_task(flora.request("GET", "/technique-runs"))
    while not fake.requests:
        await asyncio.sleep(0.001)
    start = asyncio.create_task(flora.techniques.runs.create("cctv-cam", inputs=IMAGE))
    await asyncio.sleep(0)
    for task in (history, start):
        task.cancel()
    await asyncio.wait([history, start])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [request.operation for request in fake.requests] == ["history"]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("https://example.com/a.PNG?x=1", "imageUrl"),
        ("https://example.com/clip.mp4", "videoUrl"),
        ("https://example.com/CLIP.MOV?x=.png", "videoUrl"),
        ("https://example.com/page", "imageUrl"),
        ("http://example.com/a.png", "text"),
        ("https://", "text"),
        ("see https://example.com/a.png", "text"),
        ("a red bicycle", "text"),
        ("", "text"),
    ],
)
async def test_a_mapping_gives_each_value_its_type(fake: FakeFlora, flora: FloraSession, value: str, kind: str) -> None:
    fake.inject(Status(400), on="start")
    with pytest.raises(BadRequestError):
        await flora.techniques.runs.create("cctv-cam", inputs={"one": value})
    assert fake.requests[0].json["inputs"] == [{"id": "one", "type": kind, "value": value}]


async def test_run_inputs_are_sent_as_they_are_with_everything_else_that_was_asked_for(
    fake: FakeFlora, flora: FloraSession
) -> None:
    await flora.techniques.runs.create(
        "caption",
        inputs=[RunInput("prompt", "text", "https://example.com/a.png")],
        mode="stream",
        callback_url="https://example.com/hook",
        idempotency_key="k",
    )
    assert json.loads(fake.requests[0].body) == {
        "inputs": [{"id": "prompt", "type": "text", "value": "https://example.com/a.png"}],
        "mode": "stream",
        "callback_url": "https://example.com/hook",
        "idempotency_key": "k",
    }


async def test_what_is_left_out_is_not_sent(fake: FakeFlora, flora: FloraSession) -> None:
    await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert set(fake.requests[0].json) == {"inputs", "mode", "idempotency_key"}


BAD_ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"technique_id": ""}, ValueError, "technique_id"),
    ({"technique_id": " \t"}, ValueError, "technique_id"),
    ({"technique_id": None}, TypeError, "technique_id"),
    ({"technique_id": "\ud800"}, ValueError, "technique_id"),
    ({"inputs": {}}, ValueError, "empty"),
    ({"inputs": []}, ValueError, "empty"),
    ({"inputs": "photo.png"}, TypeError, "mapping"),
    ({"inputs": ""}, TypeError, "mapping"),
    ({"inputs": None}, TypeError, "mapping"),
    ({"inputs": [{"id": "a"}]}, TypeError, "RunInput"),
    ({"inputs": {"": "x"}}, ValueError, "blank"),
    ({"inputs": {5: "x"}}, ValueError, "id"),
    ({"inputs": {"a": 5}}, TypeError, "'a'"),
    ({"inputs": [RunInput("a", "", "x")]}, ValueError, "type"),
    ({"inputs": [RunInput("a", "text", "x"), RunInput("a", "text", "y")]}, ValueError, "twice"),
    ({"callback_url": "http://example.com/hook"}, ValueError, "https"),
    ({"callback_url": "example.com"}, ValueError, "callback_url"),
    ({"callback_url": "https://user@example.com"}, ValueError, "user"),
    ({"callback_url": 5}, TypeError, "callback_url"),
    ({"idempotency_key": ""}, ValueError, "idempotency_key"),
    ({"idempotency_key": "k" * 256}, ValueError, "256"),
    ({"idempotency_key": "schlüssel"}, ValueError, "ASCII"),
    ({"idempotency_key": "a\nb"}, ValueError, "idempotency_key"),
    ({"idempotency_key": 5}, TypeError, "idempotency_key"),
    ({"mode": "sync"}, ValueError, "mode"),
]


@pytest.mark.parametrize(("arguments", "kind", "words"), BAD_ARGUMENTS, ids=lambda value: str(value)[:50])
async def test_a_bad_argument_is_refused_before_anything_is_sent(
    fake: FakeFlora, flora: FloraSession, arguments: dict[str, Any], kind: type[Exception], words: str
) -> None:
    given: dict[str, Any] = {"technique_id": "cctv-cam", "inputs": IMAGE, **arguments}
    with pytest.raises(kind, match=words):
        await flora.techniques.runs.create(**given)
    assert not fake.requests


@pytest.mark.parametrize(
    ("technique", "sent"),
    [
        ("a/b", "a%2Fb"),
        ("...", "..."),
        ("a?b#c", "a%3Fb%23c"),
        ("größe", "gr%C3%B6%C3%9Fe"),
        ("%2e", "%252e"),
    ],
)
async def test_ids_in_paths_are_percent_encoded(
    fake: FakeFlora, flora: FloraSession, technique: str, sent: str
) -> None:
    with pytest.raises(Exception, match="404"):
        await flora.techniques.runs.create(technique, inputs=IMAGE)
    assert fake.requests[0].target == f"/api/v1/techniques/{sent}/runs"


async def test_a_poll_url_that_flora_leaves_out_is_filled_in(session_on: OpenSession) -> None:
    async with FakeFlora(poll_urls=False, history_lag=0) as fake:
        flora = session_on(fake)
        run = await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
        assert run.poll_url == f"{fake.base_url}/techniques/cctv-cam/runs/{run.run_id}"
        again = await flora.techniques.runs.retrieve(run.run_id, technique_id="cctv-cam")
        assert again.poll_url == run.poll_url
        (listed,) = (await flora.techniques.runs.list()).items
        assert listed.technique is not None
        assert listed.poll_url == f"{fake.base_url}/techniques/{listed.technique.technique_id}/runs/{run.run_id}"
        assert (await flora.wait_for_run(listed)).is_completed


async def test_a_run_with_a_strange_id_is_still_handed_over(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Replace({"runId": " ", "status": "pending"}), on="start")
    run = await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    assert (run.run_id, run.poll_url) == (" ", None)
