"""Starts at the limits of time: keys that expire while a clock is set, deadlines in a pause, and no time at all."""

from functools import partial
from typing import Any

import pytest
from conftest import OpenSession
from sweep import Sweep

from flora_async import (
    FloraError,
    FloraSession,
    PollPolicy,
    RateLimitError,
    RetryPolicy,
    SubmissionUnknownError,
    WaitTimeoutError,
)
from flora_async.testing import Drop, FakeFlora, Slow, Status, VirtualClock

PROMPT = {"prompt": "a red bicycle"}
NO_TIME = 1e-9  # seconds


class ClockThatIsSet(VirtualClock):
    """The clock of a machine that is set by `jump` seconds after an hour; that of FLORA is `true` and is not."""

    def __init__(self, jump: float) -> None:
        super().__init__()
        self.true = VirtualClock()
        self._jump = jump

    def time(self) -> float:
        return self.true.time() + (self._jump if self.true.time() - VirtualClock().time() > 3600 else 0.0)

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self.true.advance(max(seconds, 0.0))


@pytest.mark.parametrize("jump", [-86400.0, -3000.0, -60.0, 3000.0, 86400.0])
async def test_a_key_expires_as_long_after_the_start_whatever_the_clock_is_set_to(
    session_on: OpenSession, jump: float
) -> None:
    clock = ClockThatIsSet(jump)
    async with FakeFlora(idempotency="suppress", clock=clock.true) as fake:
        fake.inject(Drop(acts=True), on="start")
        fake.inject(Status(503, retry_after=600), on="start", times=13)  # until the key is forgotten
        with pytest.raises(SubmissionUnknownError):
            await session_on(fake, clock=clock, retry=RetryPolicy(attempts=None, outage=0)).techniques.runs.create(
                "caption", inputs=PROMPT
            )
        assert len(fake.runs) == 1


async def test_a_deadline_within_the_pause_of_a_start_ends_it_in_doubt_and_in_time(session_on: OpenSession) -> None:
    clock = VirtualClock()
    async with FakeFlora(clock=clock) as fake:
        fake.inject(Drop(acts=True), on="start")
        flora = session_on(fake, clock=clock, retry=RetryPolicy(settle=30))
        began = clock.monotonic()
        with pytest.raises(SubmissionUnknownError) as caught:
            await flora.run("caption", PROMPT, timeout=20)
        assert clock.monotonic() - began <= 20
        assert caught.value.idempotency_key == fake.runs[0].idempotency_key
        assert [request.operation for request in fake.requests].count("start") == 1


async def test_a_start_that_was_cut_off_is_sent_again_only_where_settle_says_when(session_on: OpenSession) -> None:
    for settle, sent in ((None, 1), (30.0, 2)):
        clock = VirtualClock()
        async with FakeFlora(clock=clock) as fake:
            fake.inject(Drop(acts=False), on="start")
            flora = session_on(fake, clock=clock, retry=RetryPolicy(settle=settle, attempts=None))
            try:
                await flora.techniques.runs.create("caption", inputs=PROMPT)
            except SubmissionUnknownError:
                assert settle is None
            assert [request.operation for request in fake.requests].count("start") == sent


async def test_a_run_that_could_not_be_waited_for_is_refused_before_anything_is_sent(
    fake: FakeFlora, flora: FloraSession
) -> None:
    calls: dict[str, Any] = {
        "run": partial(flora.run, "caption", PROMPT),
        "generate": partial(flora.generate, "x", type="text", project_id="prj_local"),
    }
    with Sweep() as sweep:
        for name, call in calls.items():
            given: list[dict[str, Any]] = [{"timeout": 0}, {"timeout": 0.0}, {"poll": PollPolicy(timeout=0)}]
            for options in given:
                with (
                    sweep.row(name, options),
                    pytest.raises(ValueError, match=r"more than 0 .* techniques\.runs\.create"),
                ):
                    await call(**options)
        assert not fake.requests


async def test_a_start_with_almost_no_time_is_sent_once_and_loses_no_run(session_on: OpenSession) -> None:
    clock = VirtualClock()
    async with FakeFlora(clock=clock) as fake:
        flora = session_on(fake, clock=clock, retry=RetryPolicy(), poll=PollPolicy())
        ends: list[type[FloraError]] = []
        for fault in (None, Slow(0.05), Status(503, acts=False), Status(429, retry_after=60)):
            if fault is not None:
                fake.inject(fault, on="start")
            with pytest.raises(FloraError) as caught:
                await flora.run("caption", PROMPT, check=False, timeout=NO_TIME)
            error = caught.value
            ends.append(type(error))
            if isinstance(error, WaitTimeoutError):
                assert error.run is not None
                assert error.run.run_id in {run.run_id for run in fake.runs}
            fake.heal()
        assert sum(clock.sleeps) < 0.001
        assert ends == [WaitTimeoutError, WaitTimeoutError, SubmissionUnknownError, RateLimitError]
