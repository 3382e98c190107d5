"""Whatever starts a run gives something that can be waited for, and is looked at when FLORA expects its end."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from conftest import OpenSession

from flora_async import FloraSession, PollPolicy, WaitTimeoutError, wait_for_run
from flora_async.models import ActionInput, NodeRun, RunTicket
from flora_async.testing import FakeFlora, FakeTechnique, VirtualClock

HERE: Any = {"workspace_id": "ws_local", "project_id": "prj_local"}


async def _node(flora: FloraSession) -> Any:
    add = [{"ref": "picture", "type": "image", "prompt": "a red bicycle"}]
    changed = await flora.workspaces.projects.canvas.apply_changeset("prj_local", workspace_id="ws_local", add=add)
    ids = [changed.created["picture"].id]
    answer = await flora.workspaces.projects.run_nodes("prj_local", workspace_id="ws_local", node_ids=ids)
    return answer.runs[0]


async def _action_node(flora: FloraSession) -> Any:
    node = await flora.projects.actions.create("prj_local", action_id="rotate-image-browser")
    return await flora.projects.actions.run(node.node_id, project_id="prj_local")


STARTS: dict[str, Callable[[FloraSession], Awaitable[Any]]] = {
    "generations.create": lambda flora: flora.generations.create(type="image", prompt="a red bicycle", **HERE),
    "runs.start_generation": lambda flora: flora.runs.start_generation(type="text", prompt="a red bicycle", **HERE),
    "runs.start_technique": lambda flora: flora.runs.start_technique(
        technique_id="tech_caption", inputs={"prompt": "a red bicycle"}, workspace_id="ws_local"
    ),
    "actions.run": lambda flora: flora.actions.run(
        action_id="rotate-image-browser",
        inputs=[ActionInput(type="image", url="https://example.com/a.png")],
        **HERE,
    ),
    "projects.actions.run": _action_node,
    "workspaces.projects.run_nodes": _node,
}


@pytest.mark.parametrize("poll_urls", [True, False], ids=["with poll URL", "by id"])
@pytest.mark.parametrize("start", STARTS.values(), ids=list(STARTS))
async def test_what_starts_a_run_gives_what_can_be_waited_for(
    session_on: OpenSession, start: Callable[[FloraSession], Awaitable[Any]], poll_urls: bool
) -> None:
    async with FakeFlora(poll_urls=poll_urls) as fake:
        flora = session_on(fake)
        ticket = await start(flora)
        run = await flora.wait_for_run(ticket)
        assert run.is_completed
        assert run.run_id == ticket.run_id
        assert [started.run_id for started in fake.runs] == [run.run_id]


@pytest.mark.parametrize("estimate", [7.0, 240.0])
async def test_the_first_look_is_when_flora_expects_the_end(session_on: OpenSession, estimate: float) -> None:
    clock = VirtualClock(constant=0.5)
    async with FakeFlora(run_seconds=0) as fake:
        flora = session_on(fake, clock=clock, poll=PollPolicy())
        run = await flora.techniques.runs.create("caption", inputs={"prompt": "a"})
        ticket = RunTicket(run_id=run.run_id, poll_url=run.poll_url, estimated_seconds=estimate)
        assert (await flora.wait_for_run(ticket)).is_completed
        assert clock.sleeps == [estimate]


async def test_a_ticket_without_an_estimate_is_looked_at_like_a_new_run(session_on: OpenSession) -> None:
    clock = VirtualClock(constant=0.5)
    async with FakeFlora(run_seconds=0) as fake:
        flora = session_on(fake, clock=clock, poll=PollPolicy())
        run = await flora.techniques.runs.create("caption", inputs={"prompt": "a"})
        await flora.wait_for_run(RunTicket(run_id=run.run_id))
        assert clock.sleeps == [PollPolicy().initial]


@pytest.mark.parametrize("estimate", [-5.0, 0.0, 1e300])
async def test_no_estimate_makes_a_wait_endless_or_hectic(session_on: OpenSession, estimate: float) -> None:
    clock = VirtualClock(constant=0.5)
    async with FakeFlora(run_seconds=0) as fake:
        flora = session_on(fake, clock=clock, poll=PollPolicy())
        run = await flora.techniques.runs.create("caption", inputs={"prompt": "a"})
        await flora.wait_for_run(RunTicket(run_id=run.run_id, estimated_seconds=estimate), timeout=None)
        assert clock.sleeps == [max(PollPolicy().initial, min(estimate, 900.0))]


async def test_a_run_that_takes_longer_than_estimated_is_looked_at_as_usual_from_then_on(
    session_on: OpenSession,
) -> None:
    clock = VirtualClock(constant=0.5)
    technique = FakeTechnique("slow", pending=0, running=100)
    async with FakeFlora(techniques=[technique], clock=clock) as fake:
        flora = session_on(fake, clock=clock, poll=PollPolicy())
        run = await flora.techniques.runs.create("slow", inputs={"prompt": "a"})
        ticket = RunTicket(run_id=run.run_id, poll_url=run.poll_url, estimated_seconds=90.0)
        assert (await flora.wait_for_run(ticket)).is_completed
        assert clock.sleeps[0] == 90.0
        assert max(clock.sleeps[1:]) <= 5.5


async def test_the_deadline_comes_before_the_estimate(session_on: OpenSession) -> None:
    clock = VirtualClock(constant=0.5)
    async with FakeFlora(run_seconds=1000, clock=clock) as fake:
        flora = session_on(fake, clock=clock, poll=PollPolicy())
        run = await flora.techniques.runs.create("caption", inputs={"prompt": "a"})
        with pytest.raises(WaitTimeoutError) as caught:
            await wait_for_run(flora, RunTicket(run_id=run.run_id, estimated_seconds=500.0), timeout=20)
        assert caught.value.run.run_id == run.run_id
        assert clock.sleeps == [20]


async def test_a_node_that_was_skipped_cannot_be_waited_for(flora: FloraSession, fake: FakeFlora) -> None:
    answer = await flora.workspaces.projects.run_nodes("prj_local", workspace_id="ws_local", node_ids=["no_such_node"])
    (skipped,) = answer.runs
    assert isinstance(skipped, NodeRun)
    assert not skipped.is_started
    requests = len(fake.requests)
    with pytest.raises(ValueError, match="was not started"):
        await flora.wait_for_run(skipped)
    assert (fake.runs, len(fake.requests)) == ((), requests)
