"""What hooks were told of runs, for tests to look at."""

from flora_async import Hooks
from flora_async.hooks import RequestSent, RunEnded, RunStarted


class Runs:
    """The starts and ends of runs of which hooks were told, and the requests."""

    def __init__(self) -> None:
        self.started: list[RunStarted] = []
        self.ended: list[RunEnded] = []
        self.sent: list[RequestSent] = []
        self.hooks = Hooks(
            on_request=self.sent.append, on_run_start=self.started.append, on_run_end=self.ended.append
        )  # fmt: skip

    def pair(self) -> tuple[RunStarted, RunEnded]:
        """The only start and its end."""
        (start,), (end,) = self.started, self.ended
        assert end.start is start
        return start, end

    def pairs(self) -> list[tuple[RunStarted, RunEnded]]:
        """All starts with their ends: each has exactly one."""
        ends = {end.start: end for end in self.ended}
        assert len(ends) == len(self.ended) == len(self.started)
        return [(start, ends[start]) for start in self.started]
