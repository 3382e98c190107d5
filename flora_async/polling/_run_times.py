"""Remember how long runs take, as the distribution from which polls are planned."""

import math
from collections import deque
from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen

from flora_async._cache import RecentItems

MIN_KNOWN_RUNS: Final = 5
"""With fewer known runs than this, nothing is said about the next one."""

_MAX_SUBJECTS: Final = 256
_MAX_RUNS: Final = 32  # of one subject
_HALF_LIFE: Final = 16  # runs after which an observation counts half
# When so many runs in a row fall into this share of the shortest, or of the longest, of those before, the pace has
# changed. By chance that happens once in several thousand runs.
_CHANGED_RUNS: Final = 5
_CHANGED_SHARE: Final = 0.15
# A run that is said to have taken a day, or to end in the future, is a mistake and is not learned from.
_MAX_SECONDS: Final = 86_400.0
_MAX_CLOCK_ERROR: Final = 60.0
# Times in whole seconds say 0 for a short run.
_MIN_SECONDS: Final = 0.05
# The share of the next runs that may take any time at all, whatever the known runs took.
_SURPRISE: Final = 0.05
_MIN_SURPRISE_SCALE: Final = 1.0
_MIN_BANDWIDTH: Final = 0.03


@frozen
class Distribution:
    """How long the next run will take, going by earlier ones: each of them is a kernel on the logarithmic scale.

    Attributes:
        centers: The natural logarithms of the known durations in seconds, ascending.
        weights: The weight of each; together 1.
        bandwidth: The width of each kernel, on the logarithmic scale.
    """

    centers: tuple[float, ...]
    weights: tuple[float, ...]
    bandwidth: float

    def cdf(self, seconds: float) -> float:
        """The probability that a run takes at most this many seconds."""
        if seconds <= 0:
            return 0.0
        if seconds == math.inf:
            return 1.0
        return self.log_cdf(math.log(seconds))

    def log_cdf(self, log_seconds: float) -> float:
        """As `cdf`, for the natural logarithm of the seconds."""
        scale = self.bandwidth * math.sqrt(2.0)
        erf = math.erf
        kernels = sum([w * erf((log_seconds - c) / scale) for c, w in zip(self.centers, self.weights, strict=True)])
        # The heavy tail: Student's t with two degrees of freedom.
        z = (log_seconds - self.centers[len(self.centers) // 2]) / max(2.0 * self.bandwidth, _MIN_SURPRISE_SCALE)
        tail = z / math.sqrt(2.0 + z * z)
        return 0.5 + 0.5 * ((1.0 - _SURPRISE) * kernels + _SURPRISE * tail)

    def quantile(self, p: float) -> float:
        """The seconds within which a run ends with probability `p`.

        Raises:
            ValueError: `p` is not between 0 and 1.
        """
        if not 0.0 < p < 1.0:
            raise ValueError(f"p must be between 0 and 1, both excluded, not {p!r}")
        low, high = -700.0, 700.0  # all that a float can be the logarithm of
        while high - low > 1e-9:
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
        logs: The natural logarithms of their durations, oldest first.
        newest_end: When the newest of them ended, in Unix seconds.
        distribution: What they say, until another run is observed.
    """

    logs: deque[float] = field(factory=lambda: deque(maxlen=_MAX_RUNS))
    newest_end: float = -math.inf
    distribution: Distribution | None = None


class RunTimes:
    """How long the runs of each technique, model or action took; the latest count most.

    A subject is `technique:` with a slug or id, `model:` with an id, or `action:` with a slug.
    """

    def __init__(self) -> None:
        self._records: RecentItems[str, _Record] = RecentItems(_MAX_SUBJECTS)

    def observe(self, subject: str, seconds: float) -> None:
        """Learn that a run took this many seconds; what cannot be true is ignored."""
        if not 0.0 <= seconds <= _MAX_SECONDS:  # NaN as well
            return
        record = self._records.get(subject)
        if record is None:
            record = self._records[subject] = _Record()
        record.logs.append(math.log(max(seconds, _MIN_SECONDS)))
        record.distribution = None
        if _has_changed(record.logs):
            for _ in range(len(record.logs) - _CHANGED_RUNS):
                record.logs.popleft()

    def observe_span(self, subject: str, created: float, ended: float, *, now: float) -> bool:
        """Learn from the times of a run, in FLORA's Unix seconds, unless it is known already or cannot be true.

        Runs are to be observed in the order of their ends: the history shows each of them many times, and one that
        ended before the newest known one counts as known.

        Returns:
            Whether the times make sense.
        """
        if not (0.0 < created <= ended <= now + _MAX_CLOCK_ERROR and ended - created <= _MAX_SECONDS):
            return False
        record = self._records.get(subject)
        if record is None or ended > record.newest_end:
            self.observe(subject, ended - created)
            self._records[subject].newest_end = ended
        return True

    def known(self, subject: str) -> Distribution | None:
        """How long the next run will take; None while too little is known to say."""
        record = self._records.get(subject)
        if record is None or len(record.logs) < MIN_KNOWN_RUNS:
            return None
        if record.distribution is None:
            record.distribution = _distribution(record.logs)
        return record.distribution


def _has_changed(logs: Sequence[float]) -> bool:
    """Whether the latest runs all took longer, or all less time, than almost all of those before."""
    ranked = sorted(logs[index] for index in range(len(logs) - _CHANGED_RUNS))
    if len(ranked) < MIN_KNOWN_RUNS:
        return False
    recent = [logs[-index] for index in range(1, _CHANGED_RUNS + 1)]
    rank = int(_CHANGED_SHARE * len(ranked))
    return min(recent) > ranked[-1 - rank] or max(recent) < ranked[rank]


def _distribution(logs: Sequence[float]) -> Distribution:
    count = len(logs)
    ranked = sorted((log, 0.5 ** ((count - 1 - index) / _HALF_LIFE)) for index, log in enumerate(logs))
    total = sum(weight for _, weight in ranked)
    centers = tuple(log for log, _ in ranked)
    weights = tuple(weight / total for _, weight in ranked)
    mean = sum(w * c for c, w in zip(centers, weights, strict=True))
    deviation = math.sqrt(sum(w * (c - mean) ** 2 for c, w in zip(centers, weights, strict=True)))
    effective = 1.0 / sum(weight * weight for weight in weights)
    return Distribution(centers, weights, max(0.9 * deviation * effective**-0.2, _MIN_BANDWIDTH))
