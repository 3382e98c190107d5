"""Track the age of one run that is waited for, decide when it is polled next, and learn from its end."""

import logging
import re
from datetime import datetime
from typing import Final
from urllib.parse import unquote

from flora_async._http.deadline import until
from flora_async._text import printable
from flora_async.config import PollPolicy
from flora_async.errors import FloraError
from flora_async.models import Run
from flora_async.polling._poller import Poller, RunReference
from flora_async.polling._run_times import RunTimes, named_subject
from flora_async.polling._schedule import PollSchedule

logger = logging.getLogger("flora_async")

# FLORA's estimate can be any number, but its longest runs take about 15 minutes.
_MAX_ESTIMATE: Final = 900.0
_TECHNIQUE: Final = re.compile(r"/techniques/([^/?#]+)/runs/")
# The wait for a subject, counted from 1, at which its history is read.
_DUE: Final = {"history": 1, "auto": 3, "off": None}
_MAX_READING: Final = 2.0  # seconds of a wait that reading the history may take
# A run that seems younger than this, in seconds, may have been started just now; the date of an older one is wrong.
_MIN_AGE: Final = 2.0
_MAX_AGE: Final = 86_400.0
_UNKNOWN_SKEW: Final = 120.0  # between the two clocks, before FLORA has told its time
_MAX_NAME: Final = 120


class RunProgress:
    """What one wait knows of its run: what it is a run of, and how old it is.

    Args:
        poller: Polls the run.
        run: The run, as the caller named it.
        policy: When it is polled.
        now: The monotonic time.
    """

    __slots__ = ("_began", "_born", "_is_new", "_policy", "_poller", "_run", "_running", "_schedule", "_subject")

    def __init__(self, poller: Poller, run: RunReference, policy: PollPolicy, now: float) -> None:
        self._poller = poller
        self._run = run
        self._policy = policy
        self._subject = subject_of(poller.run_times, run)
        self._schedule = PollSchedule(policy, poller.clock, poller.run_times, self._subject)
        # FLORA's answer to a start; anything else may be of any age.
        self._is_new = isinstance(run, Run) or hasattr(run, "estimated_seconds")
        age = _age_of(run, poller)
        self._began = self._running = now
        self._born = None if age is None and not self._is_new else now - (age or 0.0)

    async def first_pause(self, deadline: float) -> float:
        """Seconds until the first poll; the history may be read before."""
        poller, subject = self._poller, self._subject
        estimate: float = getattr(self._run, "estimated_seconds", None) or 0.0
        if subject is not None:
            poller.run_times.estimate(subject, estimate)
            if self._is_due(subject):
                await self._read_history(subject, deadline)
        if not self._is_new or self._born is None:
            return 0.0
        try:
            return self._schedule.first(poller.clock.monotonic() - self._born, min(estimate, _MAX_ESTIMATE))
        except Exception as error:
            self._name_run(error)
            raise

    def next_pause(self, now: float, queue_time: float, *, failed: bool) -> float:
        """Seconds until the next poll, given how long the last one waited for a connection."""
        born = self._began if self._born is None else self._born
        try:
            return self._schedule.next(now - born, queue_time, failed=failed)
        except Exception as error:
            self._name_run(error)
            raise

    def polled(self, snapshot: Run, now: float) -> None:
        """Learn from the answer to a poll that was sent at this monotonic time."""
        if self._born is None:
            self._born = now - (_age_of(snapshot, self._poller) or 0.0)
        if snapshot.is_terminal and self._subject is not None:
            flora_time = self._poller.client.flora_time
            is_learned = self._poller.run_times.observe_run(self._subject, snapshot, now=flora_time)
            if not is_learned and self._is_new:
                # FLORA does not say when it ended: between the last two polls.
                seconds = (self._running + now) / 2 - self._born
                self._poller.run_times.observe(self._subject, seconds, ended=flora_time)
        if snapshot.is_terminal:
            self._poller.saw_end(snapshot, now - self._began)
        self._running = now

    def _name_run(self, error: Exception) -> None:
        error.add_note(f"raised by PollPolicy.schedule; FLORA continues the run {name_of(self._run)}")

    def _is_due(self, subject: str) -> bool:
        """Count this wait, and say whether it is the one that reads the history."""
        run_times, policy = self._poller.run_times, self._policy
        is_due = run_times.count_wait(subject) == _DUE[policy.learn] and policy.schedule == "learned"
        return is_due and run_times.known(subject) is None

    async def _read_history(self, subject: str, deadline: float) -> None:
        poller = self._poller
        if poller.read_history is None:
            return
        try:
            with until(min(deadline, poller.clock.monotonic() + _MAX_READING)):
                await poller.read_history(subject)
        except FloraError as error:
            logger.info("Cannot learn from the history of %s: %s", printable(subject, _MAX_NAME), error)


def subject_of(run_times: RunTimes, run: RunReference) -> str | None:
    """What a run is a run of; None where neither this session nor the run itself says."""
    run_id: object = run.partition("?")[0].rpartition("/")[2] if isinstance(run, str) else getattr(run, "run_id", None)
    poll_url: object = run if isinstance(run, str) else getattr(run, "poll_url", None)
    found = run_times.subject_of(run_id) if isinstance(run_id, str) else None
    if found is None:
        found = named_subject(run)
    if found is None and isinstance(poll_url, str) and (technique := _TECHNIQUE.search(poll_url)):
        found = f"technique:{unquote(technique[1])}"
    return found


def _age_of(run: object, poller: Poller) -> float | None:
    """The age of a run in seconds; 0 if it may just have been started, None where it does not say."""
    created = getattr(run, "created_at", None)
    if not isinstance(created, datetime):
        return None
    _, error = poller.client.clock_offset or (0.0, _UNKNOWN_SKEW)
    age = poller.client.flora_time - created.timestamp()
    return age if max(error, _MIN_AGE) < age < _MAX_AGE else 0.0


def name_of(run: RunReference) -> str:
    """What logs call a run."""
    return printable(run.partition("?")[0] if isinstance(run, str) else str(getattr(run, "run_id", "")), _MAX_NAME)
