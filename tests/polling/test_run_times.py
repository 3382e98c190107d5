"""What a session knows of how long runs take."""

import math
import random
from datetime import UTC, datetime

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from sweep import Sweep

from flora_async import RunStatus
from flora_async.models import TechniqueReference, TechniqueRun
from flora_async.polling import RunTimes

SUBJECT = "technique:cctv-cam"
TECHNIQUE = TechniqueReference(technique_id="tech_1", name="CCTV cam")
NOW = 1_800_000_000.0


def times_of(*seconds: float) -> RunTimes:
    run_times = RunTimes()
    for each in seconds:
        run_times.observe(SUBJECT, each)
    return run_times


def ended_run(created: float, ended: float | None, run_id: str = "run_1") -> TechniqueRun:
    return TechniqueRun(
        run_id=run_id,
        status=RunStatus.COMPLETED,
        created_at=datetime.fromtimestamp(created, UTC),
        completed_at=None if ended is None else datetime.fromtimestamp(ended, UTC),
    )


def median_of(run_times: RunTimes) -> float:
    known = run_times.known(SUBJECT)
    assert known is not None
    return known.quantile(0.5)


def test_nothing_is_said_about_the_next_run_until_five_are_known() -> None:
    run_times = times_of(20, 22, 25, 28)
    assert run_times.known(SUBJECT) is None
    run_times.observe(SUBJECT, 30)
    assert median_of(run_times) == pytest.approx(25, rel=0.05)
    assert run_times.known("technique:other") is None


@given(st.lists(st.floats(0.1, 3000), min_size=5, max_size=60), st.floats(0.001, 0.999))
def test_a_quantile_is_where_the_distribution_has_that_probability(seconds: list[float], p: float) -> None:
    known = times_of(*seconds).known(SUBJECT)
    assert known is not None
    assert known.cdf(known.quantile(p)) == pytest.approx(p, abs=1e-6)
    assert known.cdf(-1.0) == known.cdf(0.0) == 0.0
    assert known.cdf(math.inf) == 1.0


def test_durations_that_cannot_be_true_are_not_learned_from() -> None:
    expected = median_of(times_of(20, 22, 25, 28, 30))
    with Sweep() as sweep:
        for seconds in (-1.0, -math.inf, math.inf, math.nan, 1e300, 90_000.0):
            with sweep.row(repr(seconds)):
                assert median_of(times_of(20, 22, 25, *[seconds] * 50, 28, 30)) == expected


def test_times_that_cannot_be_true_are_not_learned_from() -> None:
    spans = {
        "ends before it begins": (NOW - 10, NOW - 20),
        "takes two days": (NOW - 172_800, NOW),
        "ends in the future": (NOW, NOW + 600),
        "began in 1970": (0.0, NOW),
        "has no end": (NOW - 10, None),
    }
    with Sweep() as sweep:
        for name, (created, ended) in spans.items():
            with sweep.row(name):
                run_times = times_of(20, 22, 25, 28, 30)
                expected = median_of(run_times)
                assert not run_times.observe_run(SUBJECT, ended_run(created, ended), now=NOW)
                assert median_of(run_times) == expected
                # Nor do they keep later runs from being learned.
                assert run_times.observe_run(SUBJECT, ended_run(NOW - 600, NOW), now=NOW)
                assert median_of(run_times) > expected


def test_a_run_that_is_listed_again_counts_once() -> None:
    run_times = RunTimes()
    # Newest first, and more of them than are remembered.
    page = [ended_run(NOW - 10 * n, NOW - 10 * n + 25 + n % 2) for n in range(100)]
    for _ in range(5):
        run_times.observe_page([evolve(run, technique=TECHNIQUE) for run in page], now=NOW + 100)
    known = run_times.known(f"technique:{TECHNIQUE.technique_id}")
    assert known is not None
    assert len(known.centers) == 32
    assert {round(math.exp(log)) for log in known.centers} == {25, 26}


def test_runs_that_are_listed_after_newer_ones_ended_are_learned_from() -> None:
    run_times = RunTimes()
    for n in (1, 2):
        run_times.observe_run(SUBJECT, ended_run(NOW + 50 * n, NOW + 50 * n + 25), now=NOW + 200)
    for n in range(3, 6):
        run_times.observe_run(SUBJECT, ended_run(NOW - 100 * n, NOW - 100 * n + 25), now=NOW + 200)
    assert median_of(run_times) == pytest.approx(25, rel=0.01)


def test_a_slug_and_an_id_are_of_one_technique_once_a_run_that_was_started_is_listed() -> None:
    run_times = times_of(25, 25, 25)
    run_times.started("run_1", SUBJECT)
    listed = [evolve(ended_run(NOW - 60 - n, NOW - 35 - n), technique=TECHNIQUE) for n in range(3)]
    run_times.observe_page(listed, now=NOW)
    assert run_times.known(SUBJECT) is not None
    assert run_times.known(f"technique:{TECHNIQUE.technique_id}") is run_times.known(SUBJECT)


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_a_change_of_pace_is_noticed_within_ten_runs(factor: float) -> None:
    draw = random.Random(1)
    run_times = times_of(*[25 * draw.lognormvariate(0, 0.2) for _ in range(60)])
    for _ in range(10):
        run_times.observe(SUBJECT, 25 * factor * draw.lognormvariate(0, 0.2))
    assert median_of(run_times) == pytest.approx(25 * factor, rel=0.2)


def test_what_is_remembered_is_bounded() -> None:
    run_times = RunTimes()
    for number in range(2_000):
        for _ in range(100):
            run_times.observe(f"technique:{number}", 25.0)
    known = run_times.known("technique:1999")
    assert known is not None
    assert len(known.centers) == 32
    assert run_times.known("technique:0") is None
