"""Plan the polls of a run from how long runs take: the optimal inspection policy.

A poll that comes `d` seconds after the end of a run costs `d` seconds of delay, and each poll costs a request. With `c`
seconds of delay as the price of a poll, polls are best placed with a density of `sqrt(hazard / 2c)`, where the hazard
is the rate at which runs that have lasted so long end (Keller, "Optimum checking schedules for systems subject to
random failure", 1974). That is exact for many polls; for a few of them the best times are found by dynamic programming
(Barlow, Hunter and Proschan, "Optimum checking procedures", 1963). The price follows from the back-off.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

from attrs import frozen

from flora_async.config import PollPolicy
from flora_async.polling._run_times import Distribution

# A pause of 0 s would stay 0 s however often it is multiplied, and polls would never stop.
MIN_GROWN_PAUSE: Final = 0.1

# In seconds; where the back-off's own pause is shorter than the floor, or longer than the ceiling, that counts.
_FLOOR: Final = 0.25
_CEILING: Final = 30.0
# The first pause may be twice as long as a run usually takes, and later ones longer by this share of the run's age.
_CEILING_OF_MEDIAN: Final = 2.0
_CEILING_OF_AGE: Final = 0.25
# Beyond the plan, pauses are this share of the run's age.
_BEYOND: Final = 0.125
# What is saved is spent on fewer polls and on earlier news in these shares, on the logarithmic scale.
_SHARE_OF_NEWS: Final = 0.2
# What is known of the runs is not exact, so news are planned to come a little earlier than with the back-off.
_MARGIN: Final = 0.96
# With more polls than this, their density is as good as their exact times.
_MAX_EXACT_POLLS: Final = 8.0
# How many times are considered before, among and after the known durations, and how far beyond the median (logarithm).
_GRID: Final = (9, 48, 8)
_HORIZON: Final = 2.0
_MAX_PLANS: Final = 256


@frozen(eq=False)
class Backoff:
    """What the back-off of a policy does, as a function of the age of a run.

    Attributes:
        initial: The first pause.
        multiplier: From one pause to the next.
        maximum: The longest pause.
    """

    initial: float
    multiplier: float
    maximum: float

    def pause(self, age: float) -> float:
        """The pause at a poll at this age of the run."""
        return min(self.initial + (self.multiplier - 1.0) * age, self.maximum)

    def delay(self, age: float) -> float:
        """The expected delay of the news of a run that ends at this age."""
        # Half a pause; while pauses grow, the current one began with a poll some time before this age.
        grown = self.initial + (self.multiplier - 1.0) * age
        return min(grown / (1.0 + self.multiplier), self.maximum / 2.0)

    def polls(self, age: float) -> float:
        """The expected number of polls of a run that ends at this age."""
        growth = self.multiplier - 1.0
        if growth <= 0.0 or self.initial >= self.maximum:
            return age / min(self.initial, self.maximum) + 0.5
        grown = min((self.maximum - self.initial) / growth, age)
        growing = math.log1p(grown * growth / self.initial) / math.log(self.multiplier)
        return growing + max(age - grown, 0.0) / self.maximum + 0.5


def backoff_of(policy: PollPolicy) -> Backoff:
    """The back-off of a policy."""
    maximum = math.inf if policy.maximum is None else policy.maximum
    return Backoff(max(policy.initial, min(MIN_GROWN_PAUSE, maximum)), policy.multiplier, maximum)


@frozen(eq=False)
class Plan:
    """When to poll a run of any age.

    Attributes:
        ages: Ages of the run in seconds, ascending from 0.
        polls: The polls planned until each of them, not necessarily a whole number.
        median: How long runs usually take.
        backoff: The back-off that is replaced.
    """

    ages: tuple[float, ...]
    polls: tuple[float, ...]
    median: float
    backoff: Backoff

    def pause(self, age: float, jitter: float = 0.0) -> float:
        """Seconds from a poll at this age to the next one; jitter is a share of the distance between polls there."""
        due = _interpolate(age, self.ages, self.polls) + 1.0
        following, after = self._age(due, age), self._age(due + 1.0, age)
        following += jitter * min(following - age, max(after - following, 0.0))
        return min(max(following - age, self._floor(age)), self.ceiling(age))

    def _age(self, polls: float, age: float) -> float:
        """The age at which so many polls are made; beyond the plan, polls become rarer as the run gets older."""
        return (
            _interpolate(polls, self.polls, self.ages)
            if polls < self.polls[-1]
            else max(age, self.ages[-1]) * _BEYOND + age
        )

    def _floor(self, age: float) -> float:
        return min(_FLOOR, self.backoff.pause(age))

    def ceiling(self, age: float) -> float:
        """The longest pause at this age."""
        return _ceiling(age, self.median, self.backoff)


def _ceiling(age: float, median: float, backoff: Backoff) -> float:
    return max(min(_CEILING_OF_MEDIAN * median + _CEILING_OF_AGE * age, _CEILING), backoff.pause(age))


@lru_cache(_MAX_PLANS)
def plan_for(known: Distribution, initial: float, multiplier: float, maximum: float | None) -> Plan:
    """The plan for runs that take as long as the known ones, to replace the back-off of these settings."""
    backoff = backoff_of(PollPolicy(initial=initial, multiplier=multiplier, maximum=maximum))
    grid = _Grid.of(known)
    median = math.exp(known.median)
    # By Keller, with sqrt(2c) = s: polls = total / s and delay = total * s / 2, so that their product is fixed.
    total = sum(step * survival for step, survival in zip(grid.steps, grid.survivals, strict=True))
    delay, polls = grid.mean(backoff.delay), grid.mean(backoff.polls)
    gain = min(total * total / 2.0 / (delay * polls), 1.0)
    delay *= _MARGIN * gain**_SHARE_OF_NEWS
    scale = 2.0 * delay / total
    if total / scale <= _MAX_EXACT_POLLS:
        times = grid.optimum(scale * scale / 2.0, delay, median, backoff)
        return Plan(tuple(times), tuple(map(float, range(len(times)))), median, backoff)
    done = [0.0]
    for step in grid.steps:
        done.append(done[-1] + step / scale)
    return Plan(tuple(grid.times), tuple(done), median, backoff)


@frozen(eq=False)
class _Grid:
    """A distribution at some times.

    Attributes:
        times: Seconds, ascending from 0.
        cdf: The probability that a run has ended by then.
        steps: Between two of them, the integral of the square root of the hazard.
        survivals: Between two of them, the probability that a run has not ended.
    """

    times: list[float]
    cdf: list[float]
    steps: list[float]
    survivals: list[float]

    @classmethod
    def of(cls, known: Distribution) -> "_Grid":
        low = min(known.centers[0] - 2.5 * known.bandwidth, known.mean - 3.0 * known.deviation)
        high = max(known.centers[-1] + 2.5 * known.bandwidth, known.mean + 3.0 * known.deviation)
        top = max(high + 0.5, known.median + _HORIZON)
        before, among, after = _GRID
        logs = [low + math.log(i / before) for i in range(1, before)]
        logs += [low + (high - low) * i / among for i in range(among)]
        logs += [high + (top - high) * i / after for i in range(after + 1)]
        times = [0.0, *map(math.exp, logs)]
        cdf = [0.0, *map(known.log_cdf, logs)]
        survivals = [1.0 - (a + b) / 2.0 for a, b in pairwise(cdf)]
        spans = zip(pairwise(times), pairwise(cdf), survivals, strict=True)
        steps = [math.sqrt((d - c) * (b - a) / survival) for (a, b), (c, d), survival in spans]
        return cls(times, cdf, steps, survivals)

    def mean(self, function: Callable[[float], float]) -> float:
        """The expectation of a function of the duration of a run."""
        spans = zip(pairwise(self.times), pairwise(self.cdf), strict=True)
        return sum((d - c) * function((a + b) / 2.0) for (a, b), (c, d) in spans)

    def optimum(self, price: float, delay: float, median: float, backoff: Backoff) -> list[float]:
        """The best times of the polls, 0 first, among those of the grid; the price is adjusted once to the delay."""
        ends = [0.0]  # the part of the expectation of the duration that lies before each time
        for (a, b), (c, d) in zip(pairwise(self.times), pairwise(self.cdf), strict=True):
            ends.append(ends[-1] + (d - c) * (a + b) / 2.0)
        times, cdf = self.times, self.cdf
        path = self._best_path(price, ends, median, backoff)
        actual = sum(times[j] * (cdf[j] - cdf[i]) - (ends[j] - ends[i]) for i, j in pairwise(path))
        path = self._best_path(price * min(max((delay / actual) ** 2, 0.25), 4.0), ends, median, backoff)
        return [times[index] for index in path]

    def _best_path(self, price: float, ends: Sequence[float], median: float, backoff: Backoff) -> list[int]:
        """The best sequence of times, as indices, by dynamic programming from the last time back to the first.

        The best next poll of a later time is never earlier, so that few pairs of times need to be compared.
        """
        times, cdf = self.times, self.cdf
        last = len(times) - 1
        costs, following = [0.0] * (last + 1), [last] * (last + 1)
        for i in range(last - 1, -1, -1):
            now, ended = times[i], cdf[i]
            floor = now + min(_FLOOR, backoff.pause(now))
            ceiling = now + _ceiling(now, median, backoff)
            least, best = math.inf, i + 1
            for j in range(i + 1, following[i + 1] + 1):
                time = times[j]
                if time < floor and j < last:
                    continue
                if time > ceiling and least < math.inf:
                    break
                cost = time * (cdf[j] - ended) - ends[j] + costs[j]
                if cost < least:
                    least, best = cost, j
            if least == math.inf:  # the floor leaves no time before the next poll of the following time
                least = times[best] * (cdf[best] - ended) - ends[best] + costs[best]
            costs[i], following[i] = least + price * (1.0 - ended) + ends[i], best
        path = [0]
        while path[-1] < last:
            path.append(following[path[-1]])
        return path


def _interpolate(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Between two ascending sequences, the y of an x; the last y beyond them."""
    index = bisect_right(xs, x)
    if index >= len(xs):
        return ys[-1]
    left, right = xs[index - 1], xs[index]
    return ys[index - 1] + (ys[index] - ys[index - 1]) * (x - left) / (right - left)
