"""Money as it is charged: quotes, costs that FLORA names late, and budgets that hold whatever it says."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from conftest import OpenSession
from hypothesis import given
from hypothesis import strategies as st

from flora_async import BudgetExceededError, FloraSession, PollPolicy, RunFailedError, RunRequest
from flora_async.batch import Row
from flora_async.batch.budget import Budget, believable
from flora_async.testing import FakeFlora, FakeTechnique, Status, VirtualClock

ROWS: list[Row] = [RunRequest({"prompt": f"row {number}"}, key=f"key-{number}") for number in range(8)]
LATE = 30.0  # seconds


@attrs.frozen
class Altered:
    """An answer of the server in which some fields are others."""

    fields: dict[str, Any]

    async def serve(self, exchange: Any) -> Any:
        answer = exchange.act()
        body = json.dumps(json.loads(answer.body) | self.fields).encode()
        return exchange.send(attrs.evolve(answer, body=body))


@pytest.fixture
async def late(clock: VirtualClock) -> AsyncIterator[FakeFlora]:
    """A FLORA that names costs half a minute late, on a clock that the sessions share."""
    async with FakeFlora(cost_lag=LATE, clock=clock) as server:
        server.add_technique(FakeTechnique("priced", run_cost=0.2, quote=0.05))
        yield server


def session(open_session: OpenSession, fake: FakeFlora, clock: VirtualClock) -> FloraSession:
    return open_session(fake, clock=clock, poll=PollPolicy(initial=0.1, maximum=1.0))


async def test_the_quote_in_the_answer_to_a_start_is_not_what_was_spent(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("priced", run_cost=0.2, quote=0.05))
    async with flora.batch("priced", ROWS) as batch:
        assert all([result.ok async for result in batch])
    assert (batch.summary.cost, batch.summary.cost_is_final) == (1.6, True)


@pytest.mark.parametrize("count", [2, 8], ids=["by their ids", "by the history"])
async def test_costs_that_are_named_late_are_read_before_the_batch_ends(
    late: FakeFlora, session_on: OpenSession, clock: VirtualClock, count: int
) -> None:
    async with session(session_on, late, clock).batch("priced", ROWS[:count]) as batch:
        results = [await anext(batch) for _ in range(count)]
        assert not batch.summary.cost_is_final
        assert [result async for result in batch] == []
    assert all(result.ok for result in results)
    assert batch.summary.cost == pytest.approx(count * 0.2)
    assert batch.summary.cost_is_final is True
    assert str(batch.summary).count("not final") == 0


@pytest.mark.parametrize(("count", "asked"), [(2, "poll"), (8, "history"), (8, "technique")])
async def test_costs_are_read_later_where_flora_cannot_be_asked_for_them_now(
    late: FakeFlora, session_on: OpenSession, clock: VirtualClock, count: int, asked: str
) -> None:
    flora = session(session_on, late, clock)
    async with flora.batch("priced", ROWS[:count], watch="each") as batch:
        results = [await anext(batch) for _ in range(count)]
        late.inject(Status(404 if asked == "technique" else 500), on=asked, times=3)
        assert [result async for result in batch] == []
    assert all(result.ok for result in results)
    assert batch.summary.cost == pytest.approx(count * 0.2)
    assert batch.summary.cost_is_final


async def test_a_cost_that_cannot_be_recorded_does_not_end_the_batch(
    late: FakeFlora, session_on: OpenSession, clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = tmp_path / "j"
    async with session(session_on, late, clock).batch("priced", ROWS[:2], journal=journal) as batch:
        for _ in range(2):
            await anext(batch)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            assert [result async for result in batch] == []
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert batch.summary.cost == pytest.approx(0.4)
    assert batch.summary.cost_is_final
    assert "costs of ended runs could not be read" in caplog.text
    async with session(session_on, late, clock).batch("priced", ROWS[:2], journal=journal) as batch:
        assert all([result.resumed async for result in batch])
    assert batch.summary.cost == pytest.approx(0.4)
    assert batch.summary.cost_is_final
    assert len(late.runs) == 2


async def test_a_cost_that_is_never_named_counts_at_the_price_and_the_sum_is_not_final(
    session_on: OpenSession, clock: VirtualClock
) -> None:
    async with FakeFlora(cost_lag=1e9, clock=clock) as fake:
        fake.add_technique(FakeTechnique("priced", run_cost=0.2, quote=0.05))
        async with session(session_on, fake, clock).batch("priced", ROWS) as batch:
            assert all([result.ok async for result in batch])
        assert (batch.summary.cost, batch.summary.cost_is_final) == (0.4, False)
        assert "not final" in str(batch.summary)


@pytest.mark.parametrize("cost", [-5, 1e300, None], ids=repr)
@pytest.mark.parametrize("watch", ["each", "list"])
async def test_a_cost_that_cannot_be_does_not_lift_a_budget(
    session_on: OpenSession, clock: VirtualClock, cost: Any, watch: Any
) -> None:
    async with FakeFlora(clock=clock) as fake:
        fake.add_technique(FakeTechnique("priced", run_cost=0.2))
        fake.inject(Altered({"charged_cost": cost, "chargedCost": cost}), on="poll", times=None)
        fake.inject(Altered({"technique_runs": []}), on="history", times=None)
        flora = session(session_on, fake, clock)
        async with flora.batch("priced", ROWS, max_cost=0.5, concurrency=1, watch=watch) as batch:
            results = [result async for result in batch]
        assert len(fake.runs) == sum(result.ok for result in results) == 2
        assert sum(isinstance(result.error, BudgetExceededError) for result in results) == 6
        assert not batch.summary.cost_is_final


async def test_a_cost_that_is_not_known_yet_is_not_forgotten_between_processes(
    session_on: OpenSession, clock: VirtualClock, tmp_path: Path
) -> None:
    async with FakeFlora(cost_lag=1e9, clock=clock) as fake:
        fake.add_technique(FakeTechnique("priced", run_cost=0.01))
        for number in range(3):
            rows = ROWS[2 * number : 2 * number + 2]
            flora = session(session_on, fake, clock)
            async with flora.batch("priced", rows, max_cost=0.02, journal=tmp_path / "j") as batch:
                _ = [result async for result in batch]
            assert (batch.summary.cost, batch.summary.cost_is_final) == (0.02, False)
        assert len(fake.runs) == 2


async def test_the_next_process_reads_the_costs_that_the_last_one_did_not_wait_for(
    late: FakeFlora, session_on: OpenSession, clock: VirtualClock, tmp_path: Path
) -> None:
    async with session(session_on, late, clock).batch("priced", ROWS, journal=tmp_path / "j") as batch:
        for _ in ROWS:
            await anext(batch)
    assert (batch.summary.cost, batch.summary.cost_is_final) == (0.4, False)
    for _ in range(2):
        async with session(session_on, late, clock).batch("priced", ROWS, journal=tmp_path / "j") as batch:
            assert all([result.resumed async for result in batch])
        assert batch.summary.cost == pytest.approx(1.6)
        assert batch.summary.cost_is_final is True
    assert len(late.runs) == 8


async def test_costs_below_the_price_are_waited_for_before_a_row_is_refused(
    session_on: OpenSession,
    clock: VirtualClock,
) -> None:
    async with FakeFlora(cost_lag=LATE, clock=clock) as fake:
        fake.add_technique(FakeTechnique("cheap", run_cost=0.02, quote=0.1))
        async with session(session_on, fake, clock).batch("cheap", ROWS, max_cost=0.25, concurrency=1) as batch:
            results = [result async for result in batch]
        assert all(result.ok for result in results)
        assert batch.summary.cost == pytest.approx(0.16)
        assert batch.summary.cost_is_final is True


@pytest.mark.parametrize(("failed_cost", "started"), [(0.0, 3), (0.1, 1)], ids=["refunded", "charged"])
async def test_a_failed_run_keeps_its_price_reserved_until_it_is_known_to_be_refunded(
    session_on: OpenSession, clock: VirtualClock, failed_cost: float, started: int
) -> None:
    async with FakeFlora(cost_lag=LATE, clock=clock) as fake:
        fake.add_technique(FakeTechnique("failing", run_cost=0.1, failed_cost=failed_cost, error_code="safety_blocked"))
        flora = session(session_on, fake, clock)
        async with flora.batch("failing", ROWS[:3], max_cost=0.1, concurrency=1) as batch:
            results = [result async for result in batch]
        assert len(fake.runs) == sum(isinstance(result.error, RunFailedError) for result in results) == started
        assert batch.summary.cost == pytest.approx(started * failed_cost)


async def test_a_batch_that_is_left_early_does_not_wait_for_costs(
    late: FakeFlora, session_on: OpenSession, clock: VirtualClock
) -> None:
    async with session(session_on, late, clock).batch("priced", ROWS) as batch:
        for _ in ROWS:
            await anext(batch)
        now = clock.time()
    assert clock.time() == now
    assert not [task for task in asyncio.all_tasks() if "flora_async/batch" in repr(task)]


@given(st.floats(0.01, 10), st.lists(st.sampled_from(["start", "end", "fail", "lose", "cost"]), max_size=80))
def test_no_order_of_events_lets_a_budget_be_exceeded_at_its_price(price: float, events: list[str]) -> None:
    budget = Budget(1.0)
    budget.expect(price)
    running = owed = charged = 0
    for event in events:
        if event == "start" and budget.allows_start():
            budget.reserve()
            running += 1
        elif event == "end" and running:
            budget.settle(price)
            running, charged = running - 1, charged + 1
        elif event == "fail" and running:
            budget.release()
            running -= 1
        elif event == "lose" and running:
            budget.defer()
            running, owed = running - 1, owed + 1
        elif event == "cost" and owed:
            budget.pay(price)
            owed, charged = owed - 1, charged + 1
        assert (running + owed + charged) * price <= 1.0 + 1e-9
        assert budget.spent == pytest.approx((owed + charged) * price)
        assert budget.is_settled == (running == owed == 0)


@pytest.mark.parametrize("usd", [-0.01, float("inf"), float("nan"), 1.7e308, None], ids=repr)
def test_what_no_run_can_cost_is_not_believed(usd: Any) -> None:
    assert believable(usd) is None
