"""How late the end of a run is heard of, and after how many polls, by schedule.

    python tests/benchmarks/learned_waiting.py [--quick] [--plot FILE] [--seed N]

It counts rather than measures: the package's own schedule is asked for one pause after another, for runs whose lengths
are drawn beforehand, and nothing sleeps. In each scenario a session waits for run after run and learns from each. The
least possible delay for as many polls is that of the optimal policy for a client that knows the distribution from which
the lengths are drawn. Nothing here fails: a benchmark reports.
"""

import argparse
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist, fmean
from typing import Final, NamedTuple

import numpy as np

from flora_async import PollPolicy
from flora_async._clock import SystemClock
from flora_async.polling import PollSchedule, RunTimes

MEDIANS: Final = (5.0, 25.0, 107.0, 600.0)
SIGMAS: Final = (0.1, 0.2, 0.35, 0.6)
KNOWN: Final = 10  # from how many known runs on the goal holds
GOAL: Final = 1.15
NO_WORSE: Final = 1.1
FLOOR: Final = 0.25
CEILING: Final = 30.0
SUBJECT: Final = "technique:measured"
LEARNED, BACKOFF = "learned", "back-off"


def every(seconds: float) -> PollPolicy:
    """A fixed interval, at a random phase: the end of a run does not know of the polls."""
    return PollPolicy(initial=seconds, multiplier=1.0, maximum=None, schedule="backoff")


POLICIES: Final[Mapping[str, PollPolicy]] = {
    LEARNED: PollPolicy(),
    BACKOFF: PollPolicy(schedule="backoff"),
    "fixed 2 s": every(2.0),
    "fal 0.1 s": every(0.1),
    "replicate 0.5 s": every(0.5),
    "openai 1 s": every(1.0),
    "runway 6 s": every(6.0),
}

Draw = Callable[[random.Random, int], float]
"""The seconds that a session's run takes, by its number from 0."""


class Scenario(NamedTuple):
    """The runs of a session.

    Attributes:
        name: What it is.
        draw: How long each run takes.
        first: The number of the first run that counts.
        runs: How many runs a session waits for.
    """

    name: str
    draw: Draw
    first: int
    runs: int


class Outcome(NamedTuple):
    """Means over runs: seconds from the end to the poll that finds it, and polls."""

    delay: float
    polls: float


class SeededClock(SystemClock):
    """Real time, which is not looked at, and random numbers that are the same each time."""

    def __init__(self, draw: random.Random) -> None:
        self.random = draw.random


def log_normal(median: float, sigma: float) -> Draw:
    return lambda draw, _: median * draw.lognormvariate(0.0, sigma)


def queue(draw: random.Random, _: int) -> float:
    """Three of ten runs wait in a queue for about a minute."""
    return (25.0 if draw.random() < 0.7 else 90.0) * draw.lognormvariate(0.0, 0.2)


def drift(before: float, after: float, at: int) -> Draw:
    return lambda draw, number: (before if number < at else after) * draw.lognormvariate(0.0, 0.2)


ODD: Final = (
    Scenario("a queue: 70 % at 25 s, 30 % at 90 s", queue, KNOWN, 60),
    Scenario("drift: 25 s, then 50 s", drift(25, 50, 60), KNOWN, 110),
    Scenario("drift: 50 s, then 25 s", drift(50, 25, 60), KNOWN, 110),
    Scenario("drift: 25 s, then 100 s", drift(25, 100, 60), KNOWN, 110),
    Scenario("drift: 100 s, then 25 s", drift(100, 25, 60), KNOWN, 110),
    Scenario("ten runs after 25 s became 50 s", drift(25, 50, 60), 60, 70),
    Scenario("ten runs after 50 s became 25 s", drift(50, 25, 60), 60, 70),
    Scenario("cold: the first ten runs, 25 s", log_normal(25, 0.2), 0, 10),
    Scenario("cold: the first ten runs, 600 s", log_normal(600, 0.2), 0, 10),
)


def simulate(scenario: Scenario, policy: PollPolicy, sessions: int, seed: int) -> Outcome:
    """Wait for the runs of some sessions, one after another."""
    delays, polls = [], []
    for session in range(sessions):
        lengths = random.Random(f"{seed} {session} {scenario.name}")
        clock = SeededClock(random.Random(f"{seed} {session}"))
        run_times = RunTimes()
        for number in range(scenario.runs):
            length = scenario.draw(lengths, number)
            schedule = PollSchedule(policy, clock, run_times, SUBJECT)
            age, count = schedule.first(), 1
            while age < length:
                age += schedule.next(age)
                count += 1
            run_times.observe(SUBJECT, length)
            if number >= scenario.first:
                delays.append(age - length)
                polls.append(count)
    return Outcome(fmean(delays), fmean(polls))


class Bound:
    """The optimal policy for runs of a known log-normal distribution, by dynamic programming (Barlow and others, 1963).

    Args:
        median: Seconds.
        sigma: Of the logarithm.
        polls: About how many polls there are to be.
        is_limited: Whether pauses are limited as those of the package are.
    """

    def __init__(self, median: float, sigma: float, polls: float, *, is_limited: bool) -> None:
        normal = NormalDist()
        fine = np.linspace(-4.7, 4.7, 4_000)
        cdf = np.array([normal.cdf(z) for z in fine])
        times = median * np.exp(sigma * fine)
        hazard = np.diff(cdf) / np.diff(times) / (1.0 - (cdf[1:] + cdf[:-1]) / 2)
        looks = np.concatenate([[0.0], np.cumsum(np.sqrt(hazard) * np.diff(times))])
        # Times as dense as the polls will be, and some before the first of them.
        size = int(min(max(400, 14 * polls), 2_600))
        among = np.interp(np.linspace(0.0, looks[-1], size), looks, times)
        early = np.linspace(0.0, among[0], 60 if is_limited else 2)[:-1]
        self.times = np.concatenate([early, among])
        self.cdf = np.interp(self.times, times, cdf, left=0.0)
        self.cdf[-1] = 1.0
        middle = (self.times[1:] + self.times[:-1]) / 2
        self.ends = np.concatenate([[0.0], np.cumsum(np.diff(self.cdf) * middle)])
        self.floor, self.ceiling = (FLOOR, CEILING) if is_limited else (0.0, math.inf)
        self.polls = polls
        self.scale = median * sigma

    def least_delay(self) -> float:
        """The least mean delay for so many polls on average."""
        low, high = 1e-7 * self.scale, 20.0 * self.scale
        for _ in range(22):
            price = math.sqrt(low * high)
            outcome = self._best(price)
            low, high = (price, high) if outcome.polls > self.polls else (low, price)
        # Two neighboring optima can be mixed, so what lies between them is possible and optimal too.
        fewer, more = self._best(high), self._best(low)
        if more.polls - fewer.polls < 1e-9:
            return more.delay
        share = min(max((self.polls - fewer.polls) / (more.polls - fewer.polls), 0.0), 1.0)
        return fewer.delay + share * (more.delay - fewer.delay)

    def _best(self, price: float) -> Outcome:
        times, cdf, ends = self.times, self.cdf, self.ends
        last = len(times) - 1
        costs, following = np.zeros(last + 1), np.full(last + 1, last)
        furthest = last
        for i in range(last - 1, -1, -1):
            first = min(max(int(np.searchsorted(times, times[i] + self.floor)), i + 1), last)
            final = min(max(int(np.searchsorted(times, times[i] + self.ceiling, side="right")) - 1, first), furthest)
            window = slice(first, max(final, first) + 1)
            cost = times[window] * (cdf[window] - cdf[i]) - ends[window] + costs[window]
            best = int(cost.argmin())
            furthest = following[i] = first + best  # the best next poll of an earlier time is never later
            costs[i] = cost[best] + price * (1.0 - cdf[i]) + ends[i]
        polls = delay = 0.0
        i = 0
        while i < last:
            j = int(following[i])
            polls += 1.0 - cdf[i]
            delay += times[j] * (cdf[j] - cdf[i]) - (ends[j] - ends[i])
            i = j
        return Outcome(float(delay), float(polls))


class Cell(NamedTuple):
    """One distribution: what each policy comes to, and the least delay for as many polls as the learned one."""

    median: float
    sigma: float
    outcomes: Mapping[str, Outcome]
    least: float
    least_limited: float

    @property
    def learned(self) -> Outcome:
        return self.outcomes[LEARNED]

    @property
    def backoff(self) -> Outcome:
        return self.outcomes[BACKOFF]


def cells(sessions: int, seed: int) -> Iterator[Cell]:
    for median in MEDIANS:
        for sigma in SIGMAS:
            scenario = Scenario(f"{median:g} {sigma:g}", log_normal(median, sigma), KNOWN, 40)
            # A fixed interval needs no session to learn in, and 0.1 s makes many polls.
            outcomes = {
                name: simulate(
                    scenario, policy, sessions if name in {LEARNED, BACKOFF} else max(sessions // 8, 4), seed
                )
                for name, policy in POLICIES.items()
            }
            polls = outcomes[LEARNED].polls
            least = Bound(median, sigma, polls, is_limited=False).least_delay()
            limited = Bound(median, sigma, polls, is_limited=True).least_delay()
            yield Cell(median, sigma, outcomes, least, limited)


def report(table: Sequence[Cell]) -> None:
    names = list(POLICIES)
    say("mean delay in seconds / mean polls, from the eleventh run of a session on\n")
    say("| median, sigma | " + " | ".join(names) + " |")
    say("|---" * (len(names) + 1) + "|")
    for cell in table:
        columns = [f"{outcome.delay:.2f} / {outcome.polls:.1f}" for outcome in cell.outcomes.values()]
        say(f"| {cell.median:g} s, {cell.sigma:g} | " + " | ".join(columns) + " |")
    say("\nlearned against back-off, and against the least delay for as many polls\n")
    say(
        "| median, sigma | delay, of the back-off's | polls, of the back-off's"
        " | against the optimum | against the optimum with our limits |"
    )
    say("|---|---|---|---|---|")
    for cell in table:
        learned, backoff = cell.learned, cell.backoff
        ratios = (learned.delay / cell.least, learned.delay / cell.least_limited)
        marks = [f"{ratio:.2f}{' (missed)' if ratio > GOAL else ''}" for ratio in ratios]
        delay, polls = learned.delay / backoff.delay, learned.polls / backoff.polls
        missed = " (missed)" if delay > 1.0 else ""
        say(f"| {cell.median:g} s, {cell.sigma:g} | {delay:.2f}{missed} | {polls:.2f} | {marks[0]} | {marks[1]} |")


def report_odd(sessions: int, seed: int) -> None:
    say("\n| scenario | learned | back-off | delay | polls |")
    say("|---|---|---|---|---|")
    for scenario in ODD:
        learned, backoff = (simulate(scenario, POLICIES[name], sessions, seed) for name in (LEARNED, BACKOFF))
        ratios = (learned.delay / backoff.delay, learned.polls / backoff.polls)
        marks = [f"{ratio:.2f}{' (missed)' if ratio > NO_WORSE else ''}" for ratio in ratios]
        pairs = [f"{outcome.delay:.2f} / {outcome.polls:.1f}" for outcome in (learned, backoff)]
        say(f"| {scenario.name} | {pairs[0]} | {pairs[1]} | {marks[0]} | {marks[1]} |")


def report_cpu(seed: int) -> None:
    """What a plan and a pause take, at most in a hundred, so that nothing holds the event loop."""
    slowest: dict[str, float] = {}
    draw = random.Random(seed)
    for median in MEDIANS:
        for sigma in SIGMAS:
            plans, pauses = [], []
            for _ in range(20):
                run_times = RunTimes()
                for _ in range(32):
                    run_times.observe(SUBJECT, median * draw.lognormvariate(0.0, sigma))
                schedule = PollSchedule(PollPolicy(), SystemClock(), run_times, SUBJECT)
                began = time.perf_counter()
                schedule.first()
                plans.append(time.perf_counter() - began)
                began = time.perf_counter()
                schedule.next(median)
                pauses.append(time.perf_counter() - began)
            for name, times in (("a plan", plans), ("a pause", pauses)):
                slowest[name] = max(slowest.get(name, 0.0), sorted(times)[len(times) // 2])
    say("\nCPU, the slowest median of all cells: " + ", ".join(f"{n} {t * 1e6:.0f} µs" for n, t in slowest.items()))


def draw_figure(table: Sequence[Cell], path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - only the figure needs it

    mpl.use("agg")  # no display
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, panels = plt.subplots(1, 2, figsize=(9, 4.2), dpi=100, layout="constrained", sharey=True)
    for panel, sigma in zip(panels, (0.2, 0.6), strict=True):
        chosen = [cell for cell in table if cell.sigma == sigma]
        for name in POLICIES:
            outcomes = [cell.outcomes[name] for cell in chosen]
            style = {"linewidth": 2.5, "zorder": 3} if name == LEARNED else {"linewidth": 1.2}
            panel.plot([o.polls for o in outcomes], [o.delay for o in outcomes], marker="o", label=name, **style)
        polls = [cell.learned.polls for cell in chosen]
        panel.plot(polls, [cell.least for cell in chosen], "k:", label="least possible, for as many polls as learned")
        for cell in chosen:
            panel.annotate(
                f"{cell.median:g} s",
                (cell.learned.polls, cell.learned.delay),
                textcoords="offset points",
                xytext=(5, -13),
                fontsize=8,
            )
        panel.set(xscale="log", yscale="log", xlabel="polls for each run", title=f"log-normal, sigma {sigma}")
        panel.grid(visible=True, which="major", alpha=0.3)
    panels[0].set_ylabel("seconds from the end of a run to the news")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path)


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a script prints


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer sessions")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the first table; needs matplotlib")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    sessions = 20 if arguments.quick else 120
    table = list(cells(sessions, arguments.seed))
    report(table)
    report_odd(sessions, arguments.seed)
    report_cpu(arguments.seed)
    if arguments.plot is not None:
        draw_figure(table, arguments.plot)


if __name__ == "__main__":
    main()
