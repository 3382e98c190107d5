"""What can go wrong with what requests are made for: runs, batches, media, deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from flora_async.errors.requests import FieldError, FloraError

if TYPE_CHECKING:
    from flora_async.models import Asset, Run

# A key that is cut must not look like a whole one: whoever copies it would start a second run.
_LONGEST_SHOWN_KEY = 64


class RunFailedError(FloraError):
    """The run ended `failed`. `run.error_code` says why.

    `model_timeout`, `internal_error` and `provider_error` can work when run again (as a new, newly charged run);
    `safety_blocked` and `input_unreachable` will not.
    """

    run: "Run"

    def __init__(self, run: "Run") -> None:
        why = f"{run.error_code or 'no error code'}: {run.error_message or 'no message'}"
        super().__init__(f"Run {run.run_id} failed with {why}")
        self.run = run  # pyright: ignore[reportIncompatibleVariableOverride] - here it is always known


class WaitTimeoutError(FloraError, TimeoutError):
    """The deadline passed before the run ended. The run goes on at FLORA and is charged: wait for it again.

    Attributes:
        run: The last seen run.
        elapsed: Seconds waited.
    """

    run: "Run"

    def __init__(self, run: "Run", elapsed: float) -> None:
        super().__init__(
            f"Run {run.run_id} is still {run.status} after {elapsed:.1f} s. "
            "It goes on at FLORA: wait_for_run(error.run) waits again."
        )
        self.run = run  # pyright: ignore[reportIncompatibleVariableOverride] - here it is always known
        self.elapsed = elapsed


class SubmissionUnknownError(FloraError):
    """A paid start has no known outcome: one run may exist and be charged, but FLORA's answer never arrived.

    Nothing was sent under a second key. To find out, call again with the same `idempotency_key` (never a new one),
    or look through `techniques.runs.list()` for a run created after `since`. The cause is `__cause__`.

    Attributes:
        idempotency_key: The key that every attempt carried.
        technique_id: What was started, as the caller named it; None for `FloraSession.request`.
        since: When the first attempt was sent (aware, UTC, by this machine's clock).
    """

    def __init__(self, *, idempotency_key: str, technique_id: str | None, since: datetime) -> None:
        what = f"start of {technique_id[:30]!r}" if technique_id else "request"
        is_shown = len(idempotency_key) <= _LONGEST_SHOWN_KEY
        key = f"idempotency_key={idempotency_key!r}" if is_shown else "the key in error.idempotency_key"
        charged = "and charged" if technique_id else "and charged if it costs anything"
        super().__init__(f"The {what} may have been carried out, {charged}. Send it again only with {key}")
        self.idempotency_key = idempotency_key
        self.technique_id = technique_id
        self.since = since


class SkippedError(FloraError):
    """A batch did not start this row, so nothing was spent on it. What stopped the batch is `__cause__`."""

    def __init__(self, message: str = "The batch was stopped before this row was started") -> None:
        super().__init__(message)


class BudgetExceededError(SkippedError):
    """A batch did not start this row, since its run could have cost more than is left of `max_cost`.

    Attributes:
        max_cost: What the batch may spend, in USD.
        spent: What its runs have cost so far, in USD.
        price: What the next run was expected to cost, in USD.
    """

    def __init__(self, *, max_cost: float, spent: float, price: float) -> None:
        super().__init__(
            f"Not started: {spent:.6g} USD of max_cost={max_cost:.6g} are spent, and a run costs about {price:.6g}"
        )
        self.max_cost = max_cost
        self.spent = spent
        self.price = price


class JournalError(FloraError):
    """A batch's journal cannot be used; the file was left as it is.

    Attributes:
        journal: The path of the file.
    """

    def __init__(self, journal: str, reason: str) -> None:
        super().__init__(f"Journal {journal[-60:]!r} {reason}")
        self.journal = journal


class InputError(FloraError, ValueError):
    """The technique does not take these inputs. Nothing was sent to be run, so nothing was spent.

    Attributes:
        technique_id: The technique, as the caller named it.
        fields: What is wrong with which input: unknown, missing, or of the wrong kind.
    """

    def __init__(self, technique_id: str, fields: Sequence[FieldError]) -> None:
        flaws = "; ".join(f"{field!r} {message}" for field, message in fields)
        super().__init__(f"Inputs of {technique_id!r:.40}: {flaws}")
        self.technique_id = technique_id
        self.fields = tuple(fields)


class UploadError(FloraError):
    """A file did not become an asset. An upload costs nothing: try it again.

    Attributes:
        asset: The asset as FLORA last described it; None when there is none yet.
    """

    def __init__(self, message: str, asset: "Asset | None" = None) -> None:
        super().__init__(message)
        self.asset = asset


class DownloadError(FloraError):
    """A file could not be fetched whole; nothing of it was kept. The run and its outputs are what they were.

    Attributes:
        url: Where it was to come from.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"Download of {url[:80]!r}: {reason}")
        self.url = url


class WebhookVerificationError(FloraError):
    """A delivery that is not proven to be FLORA's: answer it with 400 and do nothing else.

    Attributes:
        reason: Which flaw, for programs, such as `no_header`, `stale` or `mismatch`.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
