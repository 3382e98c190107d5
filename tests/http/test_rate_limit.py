"""The pace of a session: none before a 429, then a rate that finds what FLORA accepts, in turns, within deadlines."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from limited_flora import LIMITERS, SLUG, LimitedFlora, serving
from virtual_loop import LoopClock, run_virtually

from flora_async import FloraSession, PollPolicy, RateLimitError, RetryPolicy, SubmissionUnknownError
from flora_async._http.rate_limit import RateLimitGate
from flora_async.testing import Drop, FakeFlora, Status

LIMITED = RateLimitError("Rate limit exceeded.", status=429)


async def gather(flora: FloraSession, rows: int) -> list[Exception]:
    """The errors of so many runs at once."""
    runs = (flora.run(SLUG, inputs={"prompt": f"row {number}"}, timeout=None) for number in range(rows))
    results = await asyncio.gather(*runs, return_exceptions=True)
    return [result for result in results if isinstance(result, Exception)]


async def batch(flora: FloraSession, rows: int) -> list[Exception]:
    """The errors of a batch of so many rows."""
    source = [{"prompt": f"row {number}"} for number in range(rows)]
    return [result.error for result in await flora.run_all(SLUG, source, concurrency=rows) if result.error]


Way = Callable[[FloraSession, int], Awaitable[list[Exception]]]


def served(flora: LimitedFlora, way: Way, rows: int) -> list[Exception]:
    """The errors of `way`, on virtual time."""

    async def main() -> list[Exception]:
        async with serving(flora) as url, FloraSession("sk_test_1", base_url=url, clock=LoopClock()) as session:
            return await way(session, rows)

    return run_virtually(main())


# `tests/benchmarks/pace.py` has all combinations. Where FLORA names no pause, it is 5 s.
@pytest.mark.parametrize(
    ("way", "limiter", "retry_after"),
    [
        (batch, "fixed window", None),
        (batch, "sliding window", 1),
        (batch, "token bucket", 0),
        (gather, "fixed window", 1),
        (gather, "sliding window", 0),
        (gather, "token bucket", None),
    ],
)
def test_five_hundred_runs_at_once_reach_four_fifths_of_a_limit_that_is_not_known(
    way: Way, limiter: str, retry_after: float | None
) -> None:
    flora = LimitedFlora(LIMITERS[limiter](), 20, retry_after=retry_after)
    assert served(flora, way, 500) == []
    assert flora.requests["start"] == 500
    assert flora.reached() >= 0.8
    assert flora.refused_share < 0.05


@pytest.mark.parametrize("limit", [5, 50])
def test_the_rate_is_found_whatever_it_is(limit: float) -> None:
    flora = LimitedFlora(LIMITERS["sliding window"](), limit, retry_after=1)
    assert served(flora, gather, 300) == []
    assert flora.reached() >= 0.8
    assert flora.refused_share < 0.06


def test_the_rate_falls_while_others_take_their_share_and_recovers_afterwards() -> None:
    def share(seconds: float) -> float:
        return 10 if 20 < seconds < 60 else 40

    flora = LimitedFlora(LIMITERS["sliding window"](), share, retry_after=1)
    assert served(flora, gather, 1000) == []
    assert flora.refused_share < 0.05
    assert flora.reached(20, 60) >= 0.8
    assert flora.reached(90) >= 0.7


def test_without_a_429_no_request_waits() -> None:
    flora = LimitedFlora(LIMITERS["sliding window"](), 1e9, retry_after=1)
    assert served(flora, gather, 20) == []
    assert len({moment for moment, kind in flora.accepted if kind == "start"}) == 1


def test_the_first_starts_of_a_session_wait_for_what_comes_of_them() -> None:
    flora = LimitedFlora(LIMITERS["sliding window"](), 10, retry_after=1)
    assert served(flora, gather, 100) == []
    burst = [moment for moment, _ in flora.refused if moment < flora.first_at + 0.5]
    assert 0 < len(burst) <= 20


def test_a_long_pause_holds_every_request_and_ends_for_all() -> None:
    async def main() -> None:
        clock = LoopClock()
        async with FakeFlora(clock=clock) as fake, session_on(fake, clock) as flora:
            fake.inject(Status(429, retry_after=3600), on="history")
            began = clock.monotonic()
            listing = asyncio.ensure_future(_first(flora))
            await asyncio.sleep(1)
            run = await flora.techniques.runs.create("caption", inputs={"prompt": "x"})
            assert clock.monotonic() - began >= 3600
            await flora.wait_for_run(run)
            await listing
            assert clock.monotonic() - began < 3610

    run_virtually(main())


def session_on(fake: FakeFlora, clock: LoopClock, **options: Any) -> FloraSession:
    return FloraSession(fake.api_key, base_url=fake.base_url, clock=clock, **options)


async def _first(flora: FloraSession) -> Any:
    return await flora.techniques.runs.list(limit=1)


def paced(main: Callable[[RateLimitGate, LoopClock], Awaitable[None]], seconds: float = 10, accepted: int = 10) -> None:
    """Run `main` with a gate that a 429 has closed for so many seconds, after so many requests were accepted."""

    async def run() -> None:
        clock = LoopClock()
        gate = RateLimitGate(clock)
        gate.accepted.extend([clock.monotonic()] * accepted)
        gate.close(seconds, LIMITED, clock.monotonic())
        await main(gate, clock)

    run_virtually(run())


async def wait(gate: RateLimitGate, clock: LoopClock, within: float = float("inf")) -> float | None:
    """The seconds after which a request may be sent; None = its deadline came first."""
    began = clock.monotonic()
    return clock.monotonic() - began if await gate.wait("poll", began + within) else None


def test_those_who_waited_leave_in_order_and_apart() -> None:
    async def main(gate: RateLimitGate, clock: LoopClock) -> None:
        moments = await asyncio.gather(*(wait(gate, clock) for _ in range(19)))
        assert moments[0] == 10
        assert moments == sorted(moments, key=lambda moment: moment or 0)
        assert moments[-1] == pytest.approx(12, abs=0.1)  # 9 a second at first

    paced(main)


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    async def main(gate: RateLimitGate, clock: LoopClock) -> None:
        gate.close(1, LIMITED, clock.monotonic())
        assert await wait(gate, clock) == 10

    paced(main)


def test_a_pause_that_is_lengthened_holds_those_who_were_about_to_leave() -> None:
    async def main(gate: RateLimitGate, clock: LoopClock) -> None:
        waiting = asyncio.ensure_future(wait(gate, clock))
        await asyncio.sleep(9)
        gate.close(25, LIMITED, clock.monotonic())
        assert await waiting == 34

    paced(main)


def test_polls_and_starts_take_turns() -> None:
    async def main(gate: RateLimitGate, _: LoopClock) -> None:
        order: list[str] = []

        async def send(kind: str) -> None:
            await gate.wait(kind)
            order.append(kind)

        kinds = ["start"] * 40 + ["poll"] * 5 + ["history"]
        await asyncio.gather(*(send(kind) for kind in kinds))
        assert order.index("history") < 4
        assert [kind for kind in order[:12] if kind == "poll"] == ["poll"] * 5
        assert order.count("start") == 40

    paced(main)


def test_a_request_that_is_cancelled_leaves_no_gap_whoever_it_is() -> None:
    async def main(gate: RateLimitGate, clock: LoopClock) -> None:
        waiting = [asyncio.ensure_future(wait(gate, clock)) for _ in range(10)]
        await asyncio.sleep(1)
        for number in (0, 4, 9):  # the one that sleeps for all, and two that queue
            waiting[number].cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [task.cancelled() for task in waiting].count(True) == 3
        moments = [await task for task in waiting if not task.cancelled()]
        assert moments[0] == 10
        assert moments[-1] == pytest.approx(10 + 6 / 9, abs=0.05)

    paced(main)


def test_a_deadline_ends_a_wait_in_the_queue_on_time() -> None:
    async def main(gate: RateLimitGate, clock: LoopClock) -> None:
        async def ends_after(within: float) -> float:
            began = clock.monotonic()
            assert await wait(gate, clock, within=within) is None
            return clock.monotonic() - began

        queue = [asyncio.ensure_future(wait(gate, clock)) for _ in range(50)]
        await asyncio.sleep(0)
        assert await asyncio.gather(*(ends_after(within) for within in (3, 0, 12))) == pytest.approx([3, 0, 12])
        assert all(await asyncio.gather(*queue))

    paced(main)


def test_the_rate_is_forgotten_after_a_long_time_without_a_429() -> None:
    async def main(gate: RateLimitGate, _: LoopClock) -> None:
        await asyncio.sleep(2000)
        await gate.wait("poll")
        assert not gate.is_active

    paced(main)


def test_a_start_in_doubt_is_not_held_back_until_its_key_has_expired() -> None:
    async def main() -> None:
        clock = LoopClock()
        retry = RetryPolicy(attempts=None, settle=1, resolve=False)
        async with FakeFlora(clock=clock) as fake, session_on(fake, clock, retry=retry) as flora:
            fake.inject(Drop(acts=True), on="start")
            fake.inject(Status(429, retry_after=3600), on="start", times=None)
            began = clock.monotonic()
            with pytest.raises(SubmissionUnknownError):
                await flora.techniques.runs.create("caption", inputs={"prompt": "x"})
            assert clock.monotonic() - began < 3700  # the second pause would end after the key's two hours

    run_virtually(main())


def test_a_wait_outlives_some_429_and_ends_only_when_there_is_nothing_else() -> None:
    async def main() -> None:
        clock = LoopClock()
        async with FakeFlora(clock=clock, run_seconds=5) as fake, session_on(fake, clock) as flora:
            run = await flora.techniques.runs.create("caption", inputs={"prompt": "x"})
            fake.inject(Status(429, retry_after=0), on="poll", times=5)
            assert (await flora.wait_for_run(run)).is_completed
            run = await flora.techniques.runs.create("caption", inputs={"prompt": "y"})
            fake.inject(Status(429, retry_after=0), on="poll", times=None)
            with pytest.raises(RateLimitError) as caught:
                await flora.wait_for_run(run, poll=PollPolicy(timeout=None, outage=60))
            assert caught.value.run == run

    run_virtually(main())


def test_a_storm_of_429_leaves_no_request_unserved() -> None:
    async def main() -> None:
        clock = LoopClock()
        retry = RetryPolicy(attempts=None)
        async with FakeFlora(clock=clock) as fake, session_on(fake, clock, retry=retry) as flora:
            for _ in range(20):
                fake.inject(Status(429), on="start", times=5, after=3)
            async with asyncio.TaskGroup() as group:
                for number in range(100):
                    group.create_task(flora.techniques.runs.create("caption", inputs={"prompt": str(number)}))
            assert len(fake.runs) == 100

    run_virtually(main())
