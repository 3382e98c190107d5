"""What a batch learns from the requests that it sends."""

from flora_async.batch.limit import Limiter
from flora_async.batch.results import Tally


class Toll:
    """Counts what the batch's road carries, and slows the batch down after a 429.

    Args:
        tally: Where to count.
        limiter: What to slow down.
    """

    def __init__(self, tally: Tally, limiter: Limiter) -> None:
        self._tally = tally
        self._limiter = limiter

    def sends(self, kind: str) -> None:
        """A request goes out."""
        self._tally.requests[kind] += 1

    def is_limited(self, pause: float) -> None:
        """A 429 came back."""
        self._tally.rate_limited += 1
        self._limiter.cut(pause)
