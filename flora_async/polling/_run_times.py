"""Remember how long runs took, as a distribution from which polls are planned."""

import math
from bisect import insort
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import define, field, frozen

from flora_async._cache import RecentItems
from flora_async.models import Run

MIN_KNOWN_RUNS: Final = 5
"""With fewer known runs than this, nothing is said about the next one."""

_MAX_SUBJECTS: Final = 256
_MAX_STARTED: Final = 1024  # runs of which the subject is remembered
_MAX_RUNS: Final = 32  # of one subject
_HALF_LIFE: Final = 16  # runs after which an observation counts half
# The pace has changed when this many runs in a row all took longer, or all less time, than those before: either than
# every one of at least so many, or than this share of a few. By chance that happens once in several thousand runs.
_CHANGED_RUNS: Final = ((3, 24), (4, 15))
_CHANGED_OF_FEW: Final = 5
_CHANGED_SHARE: Final = 0.15
# A run that is said to have taken a day, or to end in the future, is a mistake and is not learned from.
_MAX_SECONDS: Final = 86_400.0
_MAX_CLOCK_ERROR: Final = 120.0
# Times in whole seconds say 0 for a short run.
_MIN_SECONDS: Final = 0.05
# The share of the next runs that may take any time at all, whatever the known runs took.
_SURPRISE: Final = 0.02
_MIN_DEVIATION: Final = 0.02
_NORMAL_QUARTER: Final = 0.6  # the least usual width of a quarter of normally distributed values, in deviations
_PRECISION: Final = 1e-9


@frozen(eq=False)
class Distribution:
    """How long the next run will take, going by earlier ones, on the logarithmic scale.

    It is in part a normal distribution that fits the known runs and in part one kernel for each of them, which shows
    several modes; and a small part of it is heavy-tailed, for what no known run has shown.

    Attributes:
        centers: The natural logarithms of the known durations in seconds, ascending.
        weights: The weight of each; together 1.
        bandwidth: The deviation of each kernel.
        mean: The mean of the normal distribution.
        deviation: Its deviation, which allows for how few runs are known.
        normality: The part of it; half, or less where there are several modes.
    """

    centers: tuple[float, ...]
    weights: tuple[float, ...]
    bandwidth: float
    mean: float
    deviation: float
    normality: float

    @property
    def median(self) -> float:
        """The natural logarithm of the median of the known durations."""
        return self.centers[len(self.centers) // 2]

    def cdf(self, seconds: float) -> float:
        """The probability that a run takes at most this many seconds."""
        if seconds <= 0:
            return 0.0
        return 1.0 if seconds == math.inf else self.log_cdf(math.log(seconds))

    def log_cdf(self, log_seconds: float) -> float:
        """As `cdf`, for the natural logarithm of the seconds."""
        erf, scale = math.erf, self.bandwidth * math.sqrt(2.0)
        kernels = sum([w * erf((log_seconds - c) / scale) for c, w in zip(self.centers, self.weights, strict=True)])
        normal = erf((log_seconds - self.mean) / (self.deviation * math.sqrt(2.0)))
        z = log_seconds - self.median
        tail = z / math.sqrt(2.0 + z * z)  # Student's t with two degrees of freedom
        likely = kernels + self.normality * (normal - kernels)
        return 0.5 + 0.5 * ((1.0 - _SURPRISE) * likely + _SURPRISE * tail)

    def quantile(self, p: float) -> float:
        """The seconds within which a run ends with probability `p`.

        Raises:
            ValueError: `p` is not between 0 and 1.
        """
        if not 0.0 < p < 1.0:
            raise ValueError(f"p must be between 0 and 1, both excluded, not {p!r}")
        low, high = -700.0, 700.0  # all that a float can be the logarithm of
        while high - low > _PRECISION:
            middle = (low + high) / 2
            if self.log_cdf(middle) < p:
                low = middle
            else:
                high = middle
        return math.exp((low + high) / 2)


@define
class _Record:
    """The latest runs of one subject.

    Attributes:
        runs: When each ended, in Unix seconds, and the natural logarithm of its duration; in the order of the ends.
        since: Runs that ended by then are not learned from: newer ones are known, or the pace has changed since.
        estimate: The natural logarithm of FLORA's own latest estimate, which counts as one old run.
        waits: How many waits for a run of the subject have begun.
        new: How many runs were learned since `distribution` was made.
        distribution: What the runs say.
    """

    runs: list[tuple[float, float]] = field(factory=list)
    since: float = -math.inf
    estimate: float | None = None
    waits: int = 0
    new: int = 0
    distribution: Distribution | None = None

    def learn(self, ended: float, log_seconds: float) -> None:
        """Add a run, unless it is known already."""
        run = (ended, log_seconds)
        if ended <= self.since or run in self.runs:
            return
        insort(self.runs, run)
        self.new += 1
        dropped = len(self.runs) - _MAX_RUNS
        if changed := _changed(self.runs):
            dropped, self.distribution = len(self.runs) - changed, None
        if dropped > 0:
            self.since = self.runs[dropped - 1][0]
            del self.runs[:dropped]


class RunTimes:
    """How long the runs of each technique, model or action took; the latest count most.

    A subject is `technique:` with a slug or id, `model:` with an id, or `action:` with a slug.
    """

    def __init__(self) -> None:
        self._records: RecentItems[str, _Record] = RecentItems(_MAX_SUBJECTS)
        self._aliases: RecentItems[str, str] = RecentItems(_MAX_SUBJECTS)
        self._started: RecentItems[str, str] = RecentItems(_MAX_STARTED)

    def observe(self, subject: str, seconds: float, *, ended: float | None = None) -> None:
        """Learn that a run took this many seconds; what cannot be true is ignored.

        Args:
            subject: What was run.
            seconds: From its start to its end, waiting in queues included.
            ended: When it ended, in Unix seconds; None = after all known ones. A run that is known counts once.
        """
        if not 0.0 <= seconds <= _MAX_SECONDS:  # NaN as well
            return
        record = self._record(subject)
        if ended is None:
            ended = math.nextafter(record.runs[-1][0], math.inf) if record.runs else 0.0
        record.learn(ended, math.log(max(seconds, _MIN_SECONDS)))

    def observe_run(self, subject: str, run: Run, *, now: float) -> bool:
        """Learn from a run that has ended, and say whether its times make sense; `now` is FLORA's Unix time."""
        if run.created_at is None or run.completed_at is None:
            return False
        created, ended = run.created_at.timestamp(), run.completed_at.timestamp()
        if not (0.0 < created <= ended <= now + _MAX_CLOCK_ERROR and ended - created <= _MAX_SECONDS):
            return False
        self.observe(subject, ended - created, ended=ended)
        return True

    def observe_page(self, runs: Iterable[Run], *, now: float) -> None:
        """Learn from a page of a history, where no filter has left out some of the runs that have ended."""
        for run in runs:
            subject = named_subject(run)
            if subject is None:
                continue
            started = self._started.get(run.run_id)
            # A technique has both a slug and an id; a model that FLORA chose need not be the next one.
            if started is not None and started != subject and started.startswith("technique:"):
                self.alias(started, subject)
            if run.is_terminal:
                self.observe_run(subject, run, now=now)

    def estimate(self, subject: str, seconds: float | None) -> None:
        """Learn FLORA's own estimate; it is outweighed by a few known runs."""
        if seconds is not None and 0.0 < seconds <= _MAX_SECONDS:
            self._record(subject).estimate = math.log(max(seconds, _MIN_SECONDS))

    def started(self, run_id: str, subject: str) -> None:
        """Remember what a run is a run of."""
        self._started[run_id] = subject

    def subject_of(self, run_id: str) -> str | None:
        """What a run is a run of, if this session started it not too long ago."""
        return self._started.get(run_id)

    def alias(self, subject: str, other: str) -> None:
        """Treat two subjects as one: a technique has both a slug and an id."""
        subject, other = self._aliases.get(subject, subject), self._aliases.get(other, other)
        if subject == other:
            return
        self._aliases[subject] = other
        record = self._records.pop(subject, None)
        if record is not None:
            kept = self._record(other)
            kept.waits += record.waits
            kept.estimate = record.estimate if kept.estimate is None else kept.estimate
            for ended, log_seconds in record.runs:
                kept.learn(ended, log_seconds)

    def count_wait(self, subject: str) -> int:
        """Count a wait for a run of the subject, and return how many there were."""
        record = self._record(subject)
        record.waits += 1
        return record.waits

    def known(self, subject: str) -> Distribution | None:
        """How long the next run will take; None while too little is known to say."""
        record = self._records.get(self._aliases.get(subject, subject))
        if record is None or len(record.runs) < MIN_KNOWN_RUNS:
            return None
        # The more is known, the less does one more run change it.
        if record.distribution is None or record.new > len(record.runs) // 8:
            record.distribution = _distribution([log for _, log in record.runs], record.estimate)
            record.new = 0
        return record.distribution

    def _record(self, subject: str) -> _Record:
        subject = self._aliases.get(subject, subject)
        record = self._records.get(subject)
        if record is None:
            record = self._records[subject] = _Record()
        return record


def named_subject(run: object) -> str | None:
    """What a run in a history, or a ticket, says that it is a run of."""
    for kind, name in (("technique", "technique_id"), ("model", "model_id"), ("action", "action_id")):
        if found := getattr(getattr(run, kind, None), name, None):
            return f"{kind}:{found}"
    return None


def _changed(runs: Sequence[tuple[float, float]]) -> int:
    """How many of the latest runs show that the pace has changed; 0 = it has not."""
    for count, of in _CHANGED_RUNS:
        if len(runs) - count >= of and _are_apart(runs, count, 0):
            return count
    earlier = len(runs) - _CHANGED_OF_FEW
    if earlier >= MIN_KNOWN_RUNS and _are_apart(runs, _CHANGED_OF_FEW, int(_CHANGED_SHARE * earlier)):
        return _CHANGED_OF_FEW
    return 0


def _are_apart(runs: Sequence[tuple[float, float]], count: int, rank: int) -> bool:
    """Whether the last `count` runs are longer, or shorter, than all but `rank` of those before."""
    ranked = sorted(log for _, log in runs[:-count])
    recent = [log for _, log in runs[-count:]]
    return min(recent) > ranked[-1 - rank] or max(recent) < ranked[rank]


def _distribution(logs: Sequence[float], estimate: float | None) -> Distribution:
    weighted = [(log, 0.5 ** (age / _HALF_LIFE)) for age, log in enumerate(reversed(logs))]
    if estimate is not None and len(logs) < _MAX_RUNS:
        weighted.append((estimate, 0.5 ** (len(logs) / _HALF_LIFE)))
    weighted.sort()
    total = sum(weight for _, weight in weighted)
    centers = tuple(log for log, _ in weighted)
    weights = tuple(weight / total for _, weight in weighted)
    mean = sum(w * c for c, w in zip(centers, weights, strict=True))
    deviation = math.sqrt(sum(w * (c - mean) ** 2 for c, w in zip(centers, weights, strict=True)))
    n = 1.0 / sum(weight * weight for weight in weights)  # the effective number of runs
    # The width of a quarter of the runs is that of one mode, however far apart the modes are.
    quarter = max(len(centers) // 4, 1)
    widths = sorted(b - a for a, b in zip(centers, centers[quarter:], strict=False))
    local = min(widths[len(widths) // 2] / _NORMAL_QUARTER, deviation)
    # Of the next run, not of the known ones: Student's prediction, as a normal distribution of the same variance.
    spread = deviation * math.sqrt((n + 1.0) / max(n - 3.0, 1.0))
    return Distribution(
        centers,
        weights,
        bandwidth=max(0.9 * local * n**-0.2, _MIN_DEVIATION),
        mean=mean,
        deviation=max(spread, _MIN_DEVIATION),
        normality=0.5 * (local / deviation) ** 2 if deviation else 0.5,
    )
