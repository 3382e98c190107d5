"""Decide when to read a page of a history again, which tells of all the runs on it.

News of an end comes late by the time until the next reading, so a reading pays once the expected delay of all runs on
the page, in seconds of runs, has grown to what a request is worth. Where ends come at a steady rate this is the optimal
interval of inspection, the square root of twice that worth over the rate (Keller 1974).
"""

import math
from collections.abc import Collection
from typing import Final

from attrs import define

from flora_async._cache import RecentItems
from flora_async.polling import Distribution, RunTimes

# Seconds between readings while nothing is known about the run times; it is the unit of the constants below.
INTERVAL: Final = 1.6
# What a request is worth: the delay, in seconds of runs and in square intervals, that it may save.
_WORTH: Final = 0.4
_MIN_PAUSE: Final = 0.5
# The most between readings once the first run can have ended: intervals, or else a share of the age of the oldest run.
_MAX_PAUSE: Final = 1.25
_MAX_SHARE: Final = 0.02
# Runs end before this quantile so rarely that nothing is read until then: a lower one lies in the heavy tail.
_FIRST_ENDS: Final = 0.03
# What is known may be wrong: until a run of the batch was seen to get that old, a page is read at these ages, in
# intervals, each twice the one before, as long as they are well below the first expected end.
_FIRST_DOUBT: Final = 10.0
_MAX_DOUBT: Final = 0.75
_MAX_SAMPLE: Final = 32
# The times after the last reading at which the delay is summed, in intervals.
_GRID: Final = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0)
_GRID_GROWTH: Final = 1.25
_MAX_TIME: Final = 86_400.0
_MAX_SUBJECTS: Final = 256


@define(eq=False)
class Expected:
    """A run that has not been seen to end; times are seconds of the monotonic clock.

    Attributes:
        subject: What its run time depends on, as in `RunTimes`.
        created_at: When it was created.
        alive_at: When it was last known not to have ended.
    """

    subject: str
    created_at: float
    alive_at: float


class ReadTimes:
    """Plans the readings of the pages of one history.

    Args:
        run_times: How long runs took.
        interval: Seconds between readings while nothing is known.
    """

    def __init__(self, run_times: RunTimes, interval: float) -> None:
        self._run_times = run_times
        self._interval = interval
        self._max_ages: RecentItems[str, float] = RecentItems(_MAX_SUBJECTS)
        self._first_ends: RecentItems[str, tuple[Distribution, float]] = RecentItems(_MAX_SUBJECTS)

    def note_alive(self, run: Expected) -> None:
        """Note that a run has reached its age, so that no other one has to be watched for ending earlier."""
        age = run.alive_at - run.created_at
        if age > self._max_ages.get(run.subject, 0.0):
            self._max_ages[run.subject] = age

    def next(self, runs: Collection[Expected], last: float) -> float:
        """When to read a page with these runs.

        Args:
            runs: The runs on it, at least one.
            last: When it was last read, or began to be expected to show them.
        """
        oldest: dict[str, float] = {}
        for run in runs:
            oldest[run.subject] = min(run.created_at, oldest.get(run.subject, math.inf))
        known = {subject: self._run_times.known(subject) for subject in oldest}
        distributions = {subject: times for subject, times in known.items() if times is not None}
        if len(distributions) < len(known):
            return last + self._interval
        first, doubt = math.inf, math.inf
        for subject, created_at in oldest.items():
            ends = self._first_end(subject, distributions[subject])
            first = min(first, created_at + ends)
            doubt = min(doubt, created_at + self._doubt(subject, ends))
        first = max(first, last)
        pays = max(self._pays(runs, distributions, last), first, last + _MIN_PAUSE * self._interval)
        pause = max(_MAX_PAUSE * self._interval, _MAX_SHARE * (first - min(oldest.values())))
        # A doubt of the past was looked into by the last reading.
        return min(pays, first + pause, doubt if doubt > last else math.inf)

    def _first_end(self, subject: str, times: Distribution) -> float:
        cached = self._first_ends.get(subject)
        if cached is None or cached[0] is not times:
            cached = self._first_ends[subject] = times, times.quantile(_FIRST_ENDS)
        return cached[1]

    def _doubt(self, subject: str, first_end: float) -> float:
        """The age at which a run is looked for although none is known to have ended that early."""
        reached = self._max_ages.get(subject, 0.0) / (_FIRST_DOUBT * self._interval)
        age = _FIRST_DOUBT * self._interval * (1.0 if reached < 1.0 else 2.0 ** (math.floor(math.log2(reached)) + 1))
        return age if age < _MAX_DOUBT * first_end else math.inf

    def _pays(self, runs: Collection[Expected], known: dict[str, Distribution], last: float) -> float:
        """When the expected delay of the news, summed over the runs, has grown to the worth of a request."""
        step = -(-len(runs) // _MAX_SAMPLE)
        # Every so many of them, in the order of their ages, stand for all.
        sample = sorted(runs, key=lambda run: run.created_at)[step // 2 :: step]
        ends = [known[run.subject].cdf for run in sample]
        before = [cdf(run.alive_at - run.created_at) for cdf, run in zip(ends, sample, strict=True)]
        ages = [last - run.created_at for run in sample]
        scale = len(runs) / len(sample)
        worth = _WORTH * self._interval**2
        delay = time = ended = 0.0
        count = 0
        while time < _MAX_TIME:
            then = self._interval * _GRID[count] if count < len(_GRID) else time * _GRID_GROWTH
            count += 1
            now_ended = scale * sum(
                [
                    max(cdf(age + then) - was, 0.0) / (1.0 - was) if was < 1.0 else 1.0
                    for cdf, age, was in zip(ends, ages, before, strict=True)
                ]
            )
            grown = (ended + now_ended) / 2 * (then - time)
            if delay + grown >= worth:
                return last + time + (then - time) * (worth - delay) / grown
            delay, time, ended = delay + grown, then, now_ended
        return last + time
