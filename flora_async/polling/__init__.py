"""Wait for runs: poll them until they end, through outages, rate limits and restarts."""

from flora_async.polling._poller import Poller, RunReference, decode_run, plain_run
from flora_async.polling._run_times import Distribution, RunTimes
from flora_async.polling._schedule import PollSchedule
from flora_async.polling._tracking import ROW, FollowedRun, RunTracker
from flora_async.polling._waiting import (
    OnUpdate,
    RunSource,
    start_and_wait,
    wait,
    wait_for_run,
    watch,
    watch_run,
)
from flora_async.polling._wake import Wake, check_wake

__all__ = [
    "ROW",
    "Distribution",
    "FollowedRun",
    "OnUpdate",
    "PollSchedule",
    "Poller",
    "RunReference",
    "RunSource",
    "RunTimes",
    "RunTracker",
    "Wake",
    "check_wake",
    "decode_run",
    "plain_run",
    "start_and_wait",
    "wait",
    "wait_for_run",
    "watch",
    "watch_run",
]
