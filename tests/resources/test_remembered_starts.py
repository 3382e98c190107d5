"""What a session remembers of its starts: enough to tell the runs of starts in doubt from others, and no more."""

from flora_async import RetryPolicy
from flora_async._http.routes import ROUTES
from flora_async._http.submission import Submission
from flora_async.resources._open_starts import OpenStart, OpenStarts
from flora_async.testing import VirtualClock

COUNT = 3_000


def start_of(key: str, clock: VirtualClock) -> OpenStart:
    route = ROUTES["techniques.runs.create"]
    submission = Submission(idempotency_key=key, policy=RetryPolicy(), route=route, target="caption", now=clock.time())
    return OpenStart("techniques.runs.list", "caption", submission, clock.time())


def settle(starts: OpenStarts, clock: VirtualClock, count: int) -> None:
    for number in range(count):
        clock.advance(0.1)
        with starts.opened(start_of(f"key-{number}", clock)) as start:
            starts.account_for(start, f"run_{number}")


def remembered(starts: OpenStarts, count: int) -> int:
    return sum(starts.knows(f"run_{number}") for number in range(count))


def test_a_session_remembers_the_latest_runs_however_many_it_starts() -> None:
    clock = VirtualClock()
    starts = OpenStarts(clock)
    settle(starts, clock, COUNT)
    assert remembered(starts, COUNT) <= 500
    assert starts.knows(f"run_{COUNT - 1}")
    assert starts.run_of(start_of(f"key-{COUNT - 1}", clock)) == f"run_{COUNT - 1}"
    assert starts.run_of(start_of("key-0", clock)) is None


def test_all_runs_since_a_start_in_doubt_are_remembered_until_it_has_its_own() -> None:
    clock = VirtualClock()
    starts = OpenStarts(clock)
    doubtful = start_of("doubtful", clock)
    doubtful.submission.in_doubt, doubtful.submission.since = True, clock.time()
    with starts.opened(doubtful):
        pass
    settle(starts, clock, COUNT)
    assert remembered(starts, COUNT) == COUNT
    assert not starts.has_forgotten_rivals(doubtful)
    starts.account_for(doubtful, "run_doubtful")
    assert remembered(starts, COUNT) <= 500


def test_a_start_as_old_as_forgotten_runs_may_have_one_of_them() -> None:
    clock = VirtualClock()
    starts = OpenStarts(clock)
    early = start_of("early", clock)
    settle(starts, clock, 400)
    assert not starts.has_forgotten_rivals(early)
    settle(starts, clock, COUNT)
    assert starts.has_forgotten_rivals(early)
    assert not starts.has_forgotten_rivals(start_of("late", clock))
