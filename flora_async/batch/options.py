"""The options of a batch, checked when they are given."""

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, get_args

from attrs import field, frozen

from flora_async._checks import check_count, check_flag, check_idempotency_key, check_number, identifier, optional
from flora_async._repr import ShortRepr
from flora_async.batch.results import BatchSummary
from flora_async.batch.watchers import Watch
from flora_async.config import PollPolicy
from flora_async.media.store_urls import is_stored

if TYPE_CHECKING:
    from flora_async.media.stores import UPath

OnProgress = Callable[[BatchSummary], Awaitable[object] | object]
"""Called with the summary for each result that is read; an awaitable that it returns is awaited."""


@frozen(kw_only=True)
class BatchOptions(ShortRepr):
    """The options of `FloraSession.batch`, which builds and so checks them.

    Args:
        concurrency: The most runs under way at once. Default 16.
        start_interval: Seconds between starts, for a provider that wants them apart. Default 0.
        max_cost: The most that the batch may spend, in USD, including earlier processes with the same journal;
            None = no limit.
        journal: A file that records each step, so that the batch can be restarted after a crash; None = no journal.
        name: The name from which idempotency keys are derived; None = the journal's, or a unique one.
        run_attempts: The most runs for one row whose runs fail in a way that another run may not. Default 1.
        watch: `each` polls every run, `list` reads the history for all of them, `auto` does so from five runs on.
            Default `auto`.
        check: Check each row against its technique before anything is spent on it. Default True.
        workspace_id: The workspace that files among the inputs are uploaded to; None = the session's.
        save_to: A directory, or the URL of one in a store, for the outputs of completed runs; None = not saved.
        poll: How runs are watched; None = the session's policy.
        on_progress: Called with `batch.summary` for each result; an awaitable that it returns is awaited.

    Raises:
        ValueError: A value is out of range or malformed.
        TypeError: A value has the wrong type.

    Example:
        >>> from flora_async.batch import BatchOptions
        >>> BatchOptions(max_cost=5.00).concurrency
        16
    """

    concurrency: int = 16
    start_interval: float = 0.0
    max_cost: float | None = None
    journal: str | os.PathLike[str] | None = None
    name: str | None = None
    run_attempts: int = 1
    watch: Watch = "auto"
    check: bool = True
    workspace_id: str | None = None
    save_to: "str | os.PathLike[str] | UPath | None" = field(default=None, repr=False)  # a URL may hold a password
    poll: PollPolicy | None = None
    on_progress: OnProgress | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("concurrency", "run_attempts"):
            check_count(name, getattr(self, name))
        check_flag("check", self.check)
        check_number("start_interval", self.start_interval)
        if self.max_cost is not None:
            check_number("max_cost", self.max_cost)
        _check_path("journal", self.journal)
        if not is_stored(self.save_to):
            _check_path("save_to", self.save_to)
        if self.name is not None:
            check_idempotency_key(self.name, "name")
        if self.watch not in get_args(Watch):
            raise ValueError(f"watch must be 'auto', 'list' or 'each', not {self.watch!r:.60}")
        optional(identifier, "workspace_id", self.workspace_id)
        if self.poll is not None and not isinstance(self.poll, PollPolicy):
            raise TypeError(f"poll must be a PollPolicy, not {self.poll!r:.60}")
        if self.on_progress is not None and not callable(self.on_progress):
            raise TypeError(f"on_progress must be callable with a BatchSummary, not {self.on_progress!r:.60}")


def _check_path(name: str, path: object) -> None:
    if path is not None and not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be a path, not {path!r:.60}")
    if path is not None and not os.fspath(path).strip():
        raise ValueError(f"{name} must not be blank: name a path, or leave it out")
