"""Errors of runs, batches, files and webhooks."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flora_async._text import printable
from flora_async.errors.requests import FieldError, FloraError

if TYPE_CHECKING:
    from flora_async.models import Asset, Run

# A truncated key must not look like a complete one: using it would start a second run.
_MAX_SHOWN_KEY = 64
_MAX_NAME = 40
_MAX_REASON = 60


_REMEDIES = {
    "again": "Another run, charged again, can succeed",
    "later": "Another run, charged again, can succeed later",
    "change_input": "Change the input: it would fail again",
    "never": "Another run would fail, too",
}


class RunFailedError(FloraError):
    """The run ended without being completed: it failed, or ended with a status that this version does not know.

    `run.failure.hint` says whether another, newly charged run can help: `again` at once, `later`, only with a changed
    input (`change_input`), or `never`; None = FLORA's code is not known, so do not pay for another run blindly.

    Example:
        >>> from flora_async import Run
        >>> str(RunFailedError(Run(run_id="run_1", status="failed", error_code="model_timeout")))
        'Run run_1 failed with model_timeout: no message. Another run, charged again, can succeed'
    """

    run: "Run"

    def __init__(self, run: "Run") -> None:
        failure = run.failure
        hint = None if failure is None else failure.hint
        code = printable(run.error_code or "no error code", _MAX_NAME)
        message = printable(run.error_message or "no message", _MAX_REASON)
        ended = "failed" if run.is_failed else f"ended {printable(run.status, _MAX_NAME)!r}"
        remedy = "" if hint is None else ". " + _REMEDIES[hint]
        message = message.removesuffix(".") if remedy else message
        super().__init__(f"Run {printable(run.run_id, _MAX_NAME)} {ended} with {code}: {message}{remedy}")
        self.run = run  # pyright: ignore[reportIncompatibleVariableOverride] - here it is always known


class WaitTimeoutError(FloraError, TimeoutError):
    """The deadline passed before the run ended. It is still running on FLORA and is charged: wait for it again.

    Attributes:
        run: The last seen run.
        elapsed: Seconds waited.
    """

    run: "Run"

    def __init__(self, run: "Run", elapsed: float) -> None:
        super().__init__(
            f"Run {printable(run.run_id, _MAX_NAME)} is still {printable(run.status, _MAX_NAME)} after {elapsed:.1f} s."
            " It is still running on FLORA: wait_for_run(error.run) waits again."
        )
        self.run = run  # pyright: ignore[reportIncompatibleVariableOverride] - here it is always known
        self.elapsed = elapsed


class SubmissionUnknownError(FloraError):
    """A paid start has no known outcome: one run may exist and be charged, but no answer of FLORA's says so.

    Nothing was sent under a second key. The start was sent again under its key, and its run was looked up in the
    history, as far as `RetryPolicy` and the deadline allowed. `steps` says what was done; `FloraSession.resolve` tries
    again later. The last error is `__cause__`.

    Attributes:
        idempotency_key: The key that every attempt carried.
        technique_id: What was started, as the caller named it; None for `FloraSession.request`.
        since: When the first attempt was sent (aware, UTC, by this machine's clock).
        until: When the last attempt ended, as far as is known (likewise), or None.
        proven: Whether FLORA has said that the run exists.
        candidates: The runs in the history that this start may have made. FLORA's answers do not distinguish them.
        steps: What was done to find out, one sentence each.

    Example:
        >>> try:
        ...     run = await flora.run("caption", {"prompt": "a red bicycle"})
        ... except SubmissionUnknownError as error:
        ...     run = await flora.resolve(error)  # later, with this or another session
    """

    def __init__(  # noqa: PLR0913 - all that is known of a start
        self,
        *,
        idempotency_key: str,
        technique_id: str | None,
        since: datetime,
        until: datetime | None = None,
        proven: bool = False,
        candidates: "Sequence[Run]" = (),
        steps: Sequence[str] = (),
    ) -> None:
        what = f"start of {technique_id[:30]!r}" if technique_id else "request"
        is_shown = len(idempotency_key) <= _MAX_SHOWN_KEY
        key = f"idempotency_key={idempotency_key!r}" if is_shown else "the key in error.idempotency_key"
        charged = "and charged" if technique_id else "and charged if it costs anything"
        super().__init__(f"The {what} may have been carried out, {charged}. Send it again only with {key}")
        self.idempotency_key = idempotency_key
        self.technique_id = technique_id
        self.since = since
        self.until = until
        self.proven = proven
        self.candidates = tuple(candidates)
        self.steps = tuple(steps)
        self._start: object = None  # as `FloraSession.resolve` needs it


class SkippedError(FloraError):
    """A batch did not start this row, so nothing was spent on it. `__cause__` is what stopped the batch."""

    def __init__(self, message: str = "The batch was stopped before this row was started") -> None:
        super().__init__(message)


class BudgetExceededError(SkippedError):
    """A batch did not start this row, because its run could have cost more than is left of `max_cost`.

    Attributes:
        max_cost: The budget of the batch in USD.
        spent: The cost of its runs so far in USD.
        price: The expected cost of the next run in USD; 0 while FLORA has named neither a price nor a cost.
    """

    def __init__(self, *, max_cost: float, spent: float, price: float) -> None:
        cost = f"a run costs about {price:.6g}" if price else "the cost of a run is not known yet"
        super().__init__(f"Not started: {spent:.6g} USD of max_cost={max_cost:.6g} are spent, and {cost}")
        self.max_cost = max_cost
        self.spent = spent
        self.price = price


class BatchInterruptedError(FloraError):
    """`run_all` ended early because its source of rows or its `on_progress` raised; `__cause__` is that error.

    Attributes:
        results: The results so far (`BatchResult`), in the order of the rows.

    Example:
        >>> BatchInterruptedError(LookupError("no such file"), []).results
        ()
    """

    def __init__(self, error: Exception, results: Sequence[Any]) -> None:
        reason = printable(f"{type(error).__name__}: {error}", _MAX_REASON)
        super().__init__(f"The batch was interrupted by {reason}. error.results has the {len(results)} results so far")
        self.results = tuple(results)


class JournalError(FloraError):
    """The journal of a batch cannot be used; the file was left unchanged.

    Attributes:
        journal: The path of the file.
    """

    def __init__(self, journal: str, reason: str) -> None:
        super().__init__(f"Journal {journal[-60:]!r} {reason}")
        self.journal = journal


class InputError(FloraError, ValueError):
    """The technique, model or action does not accept these inputs. Nothing was started, so nothing was spent.

    Attributes:
        technique_id: The technique, model or action, as the caller named it.
        fields: Each input or parameter that is unknown, missing or of the wrong kind, and why.
    """

    def __init__(self, technique_id: str, fields: Sequence[FieldError]) -> None:
        problems = "; ".join(f"{field!r} {message}" for field, message in fields)
        super().__init__(f"Inputs of {technique_id!r:.40}: {problems}")
        self.technique_id = technique_id
        self.fields = tuple(fields)


class UploadError(FloraError):
    """A file could not be uploaded. Uploads are free: try again.

    Attributes:
        asset: The asset as FLORA last described it; None when there is none yet.
    """

    def __init__(self, message: str, asset: "Asset | None" = None) -> None:
        super().__init__(message)
        self.asset = asset


class DownloadError(FloraError):
    """A file could not be downloaded completely; nothing of it was kept. The run and its outputs are not affected.

    Attributes:
        url: The URL of the file.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"Download of {printable(url, 80)!r}: {reason}")
        self.url = url


class WebhookVerificationError(FloraError):
    """A webhook could not be verified as sent by FLORA: answer it with 400 and do nothing else.

    Attributes:
        reason: A code for the problem, such as `no_header`, `stale` or `mismatch`.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ClusterLostError(FloraError):
    """The connection to the Dask cluster was lost for good. Runs that have completed can be processed by the next call.

    Example:
        >>> str(ClusterLostError("the client is closed"))
        'The cluster was lost: the client is closed. Connect again and start the batch again, with its journal'
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The cluster was lost: {printable(reason)}. Connect again and start the batch again, with its journal"
        )
