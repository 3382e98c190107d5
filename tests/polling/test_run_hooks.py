"""Hooks about runs: for each start there is one end, whatever ends the run or its wait."""

import asyncio
import math
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from attrs import evolve
from conftest import IMAGE, SWIFT_POLL, UNRESOLVED, OpenSession
from raw_flora import RUN, answer, raw_flora
from recorded_runs import Runs

from flora_async import (
    FloraSession,
    PermissionDeniedError,
    RetryPolicy,
    Run,
    SubmissionUnknownError,
    UntrustedURLError,
    WaitTimeoutError,
)
from flora_async.models import ActionInput
from flora_async.polling import RunTracker
from flora_async.testing import Drop, FakeFlora, FakeTechnique, Fault, Garbage, Slow, Status, Truncate, VirtualClock

PROMPT = {"prompt": "a red bicycle"}


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def flora(fake: FakeFlora, session_on: OpenSession, runs: Runs) -> FloraSession:
    fake.add_technique(FakeTechnique("endless", running=math.inf))
    return session_on(fake, hooks=runs.hooks)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def test_a_run_that_completes_is_told_with_its_subject_quote_cost_and_polls(
    fake: FakeFlora, flora: FloraSession, runs: Runs
) -> None:
    fake.add_technique(FakeTechnique("film", run_cost=0.25, quote=0.3))
    run = await flora.run("film", PROMPT, idempotency_key="key-1")
    start, end = runs.pair()
    assert (start.run_id, start.kind, start.name, start.idempotency_key) == (run.run_id, "technique", "film", "key-1")
    assert (start.quote, start.resumed, start.row) == (0.3, False, None)
    assert (end.run, end.status, end.cost, end.error, end.is_abandoned) == (run, "completed", 0.25, None, False)
    assert end.polls == sum(request.operation == "poll" for request in fake.requests)
    assert run.duration is not None
    assert end.seconds >= run.duration


async def test_a_run_that_fails_ends_with_its_failure_and_no_error(flora: FloraSession, runs: Runs) -> None:
    with pytest.raises(Exception, match="safety_blocked"):
        await flora.run("always-fails", PROMPT, raise_on_failure=True)
    _, end = runs.pair()
    assert (end.status, end.error, end.is_abandoned) == ("failed", None, False)
    assert end.run is not None
    assert end.run.failure is not None


async def test_every_way_to_start_and_wait_makes_one_pair(flora: FloraSession, runs: Runs) -> None:
    where: dict[str, Any] = {"workspace_id": "ws_local", "project_id": "prj_local"}
    action = ActionInput(type="text", text="x")
    node = await flora.projects.actions.create("prj_local", action_id="rotate-image-browser")
    tickets: list[Any] = [
        await flora.techniques.runs.create("caption", inputs=PROMPT),
        await flora.generations.create(type="image", prompt="x", model="flux-pro", **where),
        await flora.runs.start_generation(type="image", prompt="x", **where),
        await flora.actions.run(action_id="concat-text-browser", inputs=[action], **where),
        await flora.runs.start_technique(technique_id="tech_caption", inputs=PROMPT),
        await flora.projects.actions.run(node.node_id, project_id="prj_local"),
    ]
    assert [(start.kind, start.name) for start in runs.started] == [
        ("technique", "caption"),
        ("model", "flux-pro"),
        ("model", "image"),
        ("action", "concat-text-browser"),
        ("technique", "tech_caption"),
        ("node", node.node_id),
    ]
    assert runs.ended == []
    for ticket in tickets:
        await flora.wait_for_run(ticket)
    await flora.generate("x", type="image", project_id="prj_local")
    assert [start.run_id for start in runs.started[:-1]] == [ticket.run_id for ticket in tickets]
    assert all(end.status == "completed" and not start.resumed for start, end in runs.pairs())


async def test_nodes_of_a_canvas_are_told_if_they_were_started(flora: FloraSession, runs: Runs) -> None:
    answer = await flora.workspaces.projects.run_nodes("prj_local", workspace_id="ws_local", node_ids=["n1", "n99"])
    started = [run for run in answer.runs if run.is_started]
    assert [(start.kind, start.name, start.run_id) for start in runs.started] == [
        ("node", run.node_id, run.run_id) for run in started
    ]
    await flora.close()
    assert all(end.is_abandoned for _, end in runs.pairs())


@pytest.mark.parametrize("reference", ["run_id", "poll_url", "run"])
async def test_a_wait_for_a_run_of_another_session_is_a_resumed_start(
    fake: FakeFlora, session_on: OpenSession, flora: FloraSession, runs: Runs, reference: str
) -> None:
    run = await session_on(fake).techniques.runs.create("caption", inputs=PROMPT)
    await flora.wait_for_run(run if reference == "run" else getattr(run, reference))
    start, end = runs.pair()
    assert (start.run_id, start.resumed, start.idempotency_key) == (run.run_id, True, None)
    assert end.status == "completed"
    await flora.wait_for_run(run.run_id)  # its end is known
    assert len(runs.started) == 1


async def test_a_wait_that_times_out_is_abandoned_and_the_next_one_is_resumed(
    fake: FakeFlora, flora: FloraSession, runs: Runs
) -> None:
    with pytest.raises(WaitTimeoutError) as caught:
        await flora.run("endless", PROMPT, timeout=0.05)
    (end,) = runs.ended
    assert (end.error, end.run, end.cost, end.is_abandoned) == (caught.value, caught.value.run, None, True)
    fake.finish(fake.runs[0].run_id)
    assert caught.value.run is not None
    await flora.wait_for_run(caught.value.run)
    assert [(start.resumed, end.is_abandoned) for start, end in runs.pairs()] == [(False, True), (True, False)]


async def test_a_wait_that_is_cancelled_is_abandoned_with_the_cancellation(
    fake: FakeFlora, flora: FloraSession, runs: Runs
) -> None:
    task = asyncio.create_task(flora.run("endless", PROMPT))
    await until(lambda: any(request.operation == "poll" for request in fake.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    start, end = runs.pair()
    assert isinstance(end.error, asyncio.CancelledError)
    assert end.run is None or end.run.run_id == start.run_id


async def test_a_wait_that_flora_refuses_or_a_listener_ends_is_abandoned_with_that_error(
    fake: FakeFlora, flora: FloraSession, runs: Runs
) -> None:
    fake.inject(Status(403), on="poll")
    with pytest.raises(PermissionDeniedError) as refused:
        await flora.run("caption", PROMPT)
    listener_error = ZeroDivisionError("in on_update")

    def fail(_: object) -> None:
        raise listener_error

    with pytest.raises(ZeroDivisionError):  # told before the first poll
        await flora.run("caption", PROMPT, on_update=fail)
    run = await flora.techniques.runs.create("endless", inputs=PROMPT)
    with pytest.raises(ZeroDivisionError):  # told after it
        await flora.wait_for_run(run.run_id, on_update=fail)
    assert [end.error for _, end in runs.pairs()] == [refused.value, listener_error, listener_error]


async def test_an_iteration_that_is_left_is_abandoned_without_an_error(flora: FloraSession, runs: Runs) -> None:
    run = await flora.techniques.runs.create("endless", inputs=PROMPT)
    async with aclosing(flora.watch_run(run.run_id)) as snapshots:
        async for _ in snapshots:
            break
    _, end = runs.pair()
    assert (end.error, end.is_abandoned) == (None, True)


async def test_two_waits_for_one_run_are_one_pair_and_only_the_last_one_abandons_it(
    fake: FakeFlora, flora: FloraSession, runs: Runs
) -> None:
    run = await flora.techniques.runs.create("endless", inputs=PROMPT)
    waits = [asyncio.create_task(flora.wait_for_run(run)) for _ in range(2)]
    await until(lambda: sum(request.operation == "poll" for request in fake.requests) > 2)
    waits[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits[0]
    assert runs.ended == []
    fake.finish(run.run_id)
    await waits[1]
    _, end = runs.pair()
    assert end.status == "completed"


async def test_a_start_in_doubt_begins_and_ends_without_a_run_and_resolving_it_is_resumed(
    fake: FakeFlora, session_on: OpenSession, runs: Runs
) -> None:
    flora = session_on(fake, retry=UNRESOLVED, hooks=runs.hooks)
    fake.inject(Drop(acts=True), on="start")
    with pytest.raises(SubmissionUnknownError) as caught:
        await flora.run("caption", PROMPT)
    start, end = runs.pair()
    assert (start.run_id, start.name, start.idempotency_key) == (None, "caption", caught.value.idempotency_key)
    assert (end.run, end.error, end.is_abandoned) == (None, caught.value, True)
    view = flora.with_options(retry=RetryPolicy(initial=0.001, maximum=0.01, settle=0.01))
    run = await view.resolve(caught.value)
    await flora.wait_for_run(run)
    (_, resolved) = runs.started
    assert (resolved.run_id, resolved.resumed) == (run.run_id, True)
    assert len(runs.pairs()) == 2


async def test_a_start_that_is_cancelled_in_doubt_begins_and_ends_with_its_key(
    fake: FakeFlora, flora: FloraSession, runs: Runs
) -> None:
    fake.inject(Slow(60), on="start")
    task = asyncio.create_task(flora.run("caption", PROMPT, idempotency_key="key-1"))
    await until(lambda: any(request.operation == "start" for request in fake.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    start, end = runs.pair()
    assert (start.run_id, start.idempotency_key, type(end.error)) == (None, "key-1", asyncio.CancelledError)


async def test_a_start_that_was_refused_or_never_sent_is_no_run(
    fake: FakeFlora, flora: FloraSession, runs: Runs
) -> None:
    fake.inject(Status(402, code="insufficient_credits"), on="start")
    with pytest.raises(Exception, match="insufficient_credits"):
        await flora.run("caption", PROMPT)
    with pytest.raises(ValueError, match="neither a poll URL"):
        await flora.wait_for_run("", timeout=1)
    with pytest.raises(ValueError, match="timeout"):
        await flora.wait_for_run("run_1", timeout=-1)
    assert (runs.started, runs.ended) == ([], [])


async def test_a_lost_answer_whose_run_is_adopted_is_one_pair(
    fake: FakeFlora, session_on: OpenSession, runs: Runs
) -> None:
    flora = session_on(fake, hooks=runs.hooks)
    fake.inject(Drop(acts=True), on="start")
    run = await flora.run("caption", PROMPT)
    start, end = runs.pair()
    assert run.adopted
    assert (start.run_id, start.resumed, end.status) == (run.run_id, False, "completed")


async def test_runs_that_nothing_waits_for_end_with_the_session(flora: FloraSession, runs: Runs) -> None:
    await flora.techniques.runs.create("caption", inputs=PROMPT)
    await flora.close()
    _, end = runs.pair()
    assert (end.error, end.is_abandoned, end.status) == (None, True, "pending")


async def test_a_run_that_a_view_starts_and_the_session_waits_for_is_a_pair_for_the_hooks_of_both(
    fake: FakeFlora, flora: FloraSession, session_on: OpenSession, runs: Runs
) -> None:
    others = Runs()
    view = flora.with_options(hooks=others.hooks)
    await flora.wait_for_run(await view.techniques.runs.create("caption", inputs=PROMPT))
    assert not runs.pair()[0].resumed
    assert not others.pair()[0].resumed

    await view.wait_for_run(await flora.techniques.runs.create("caption", inputs=PROMPT))
    assert [start.resumed for start, _ in runs.pairs()] == [False, False]
    assert [start.resumed for start, _ in others.pairs()] == [False, True]

    bare = session_on(fake)
    late = Runs()
    await bare.wait_for_run(await bare.with_options(hooks=late.hooks).techniques.runs.create("caption", inputs=PROMPT))
    assert late.pair()[1].status == "completed"


async def test_the_delay_of_news_is_what_lies_between_the_end_and_the_poll_that_shows_it(
    session_on: OpenSession, runs: Runs
) -> None:
    clock = VirtualClock()
    async with FakeFlora(clock=clock, clock_skew=3600) as fake:
        fake.add_technique(FakeTechnique("film", pending=0, running=8))
        flora = session_on(fake, clock=clock, hooks=runs.hooks)
        await flora.techniques.list()  # the date of the answer tells FLORA's time
        ticket = await flora.techniques.runs.create("film", inputs=PROMPT)
        await clock.sleep(10)
        run = await flora.wait_for_run(ticket)
        _, end = runs.pair()
        assert end.news_delay == pytest.approx(2, abs=2)
        assert end.seconds >= 10

        other = Runs()  # a wait that begins after the end has had no news to wait for
        await clock.sleep(100)
        await session_on(fake, clock=clock, hooks=other.hooks).wait_for_run(run.run_id)
        assert other.pair()[1].news_delay is None


async def test_a_wait_by_a_url_begins_where_it_names_the_run_or_else_with_the_first_answer(runs: Runs) -> None:
    async def serve(head: bytes, _: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(RUN if b"/odd/" in head else {**RUN, "run_id": "run_other"}))

    async with raw_flora(serve) as url, FloraSession("sk_test_1", base_url=url, hooks=runs.hooks) as flora:
        await flora.wait_for_run(f"{url}/odd/path?run=1")
        await flora.wait_for_run(Run(run_id="run_2", status="pending", poll_url=f"{url}/runs/run_2"), poll=SWIFT_POLL)
        with pytest.raises(UntrustedURLError):
            await flora.wait_for_run("https://elsewhere.example/odd/path")
    described = [(start.run_id, end.run and end.run.run_id, end.polls) for start, end in runs.pairs()]
    assert described == [("run_1", "run_1", 1), ("run_2", "run_other", 1)]


async def test_the_oldest_runs_that_nothing_waits_for_are_abandoned_where_there_are_too_many(
    flora: FloraSession, runs: Runs
) -> None:
    tracker = RunTracker(max_runs=2)

    def start(number: int) -> Run:
        run = Run(run_id=f"run_{number}", status="running")
        with tracker.starting(flora._client, "technique:film", None) as announce:
            announce(run)
        return run

    with tracker.follow(flora._client, start(0), lambda: None):
        for number in range(1, 20):
            start(number)
        gone = [end.start.run_id for end in runs.ended]
        assert gone == [f"run_{number}" for number in range(1, len(gone) + 1)]
        assert len(gone) >= 16
        assert all(end.is_abandoned and end.error is None for end in runs.ended)
        tracker.ended(flora._client, Run(run_id="run_0", status="completed"))
    assert runs.ended[-1].status == "completed"


async def test_starts_and_ends_are_pairs_in_a_storm_of_faults_and_cancellations(
    fake: FakeFlora, flora: FloraSession, runs: Runs
) -> None:
    chance = random.Random(7)
    faults: list[Fault] = [
        Drop(acts=True),
        Drop(acts=False),
        Truncate(),
        Garbage(),
        Status(503),
        Status(429, retry_after=0),
    ]
    for number in range(30):
        fake.inject(chance.choice(faults), on=chance.choice(["start", "poll", "any"]), after=3 * number)
    tasks = [asyncio.create_task(flora.run("caption", {"prompt": str(number)})) for number in range(40)]
    for task in chance.sample(tasks, 10):
        await asyncio.sleep(0.005)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await flora.close()
    pairs = runs.pairs()
    ended = {start.run_id: end.run for start, end in pairs if not end.is_abandoned}
    completed = [result for result in results if isinstance(result, Run)]
    assert ended == {run.run_id: evolve(run, adopted=False) for run in completed}
    assert {start.run_id for start, _ in pairs if start.run_id} <= {run.run_id for run in fake.runs}
    told = {start.idempotency_key for start, _ in pairs}
    assert {run.idempotency_key for run in fake.runs} <= told  # whatever exists and may be charged


async def test_no_reference_to_a_run_is_kept_when_it_has_ended(flora: FloraSession, runs: Runs) -> None:
    await asyncio.gather(*(flora.run("cctv-cam", IMAGE) for _ in range(5)))
    tracker = flora._poller.tracker
    assert (len(tracker._open), len(tracker._ended), len(runs.pairs())) == (0, 5, 5)
