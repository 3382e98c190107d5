"""The asyncio-first SDK for FLORA: paid runs start safely, waiting is cheap and never lost.

Example:
    >>> from flora_async import FloraSession
    >>> async with FloraSession() as flora:
    ...     run = await flora.run("caption", {"prompt": "a red bicycle"})
    >>> run.outputs[0].text
    'Caption: a red bicycle'
"""

from typing import TYPE_CHECKING, Any

from flora_async._codec import to_dict
from flora_async._pages import Pager
from flora_async._saving import download
from flora_async._version import __version__
from flora_async.config import PollPolicy, RetryPolicy
from flora_async.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    ConflictError,
    DecodeError,
    DownloadError,
    FieldError,
    FloraError,
    IdempotencyError,
    InputError,
    InsufficientCreditsError,
    InternalServerError,
    JournalError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RunFailedError,
    SkippedError,
    SubmissionUnknownError,
    UnprocessableEntityError,
    UntrustedURLError,
    UploadError,
    WaitTimeoutError,
    WebhookVerificationError,
)
from flora_async.models import (
    OutputType,
    Page,
    Run,
    RunInput,
    RunOutput,
    RunStatus,
    Technique,
    TechniqueInput,
    TechniqueOutput,
    TechniqueReference,
    TechniqueRun,
)
from flora_async.polling import OnUpdate, RunReference, Wake, wait_for_run, watch_run
from flora_async.resources import Inputs, InputValue
from flora_async.session import FloraSession

if TYPE_CHECKING:
    from flora_async.batch import Batch, BatchResult, BatchSummary, RunRequest

_OF_THE_BATCH = {"Batch", "BatchResult", "BatchSummary", "RunRequest"}

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "Batch",
    "BatchResult",
    "BatchSummary",
    "BudgetExceededError",
    "ConflictError",
    "DecodeError",
    "DownloadError",
    "FieldError",
    "FloraError",
    "FloraSession",
    "IdempotencyError",
    "InputError",
    "InputValue",
    "Inputs",
    "InsufficientCreditsError",
    "InternalServerError",
    "JournalError",
    "NotFoundError",
    "OnUpdate",
    "OutputType",
    "Page",
    "Pager",
    "PermissionDeniedError",
    "PollPolicy",
    "RateLimitError",
    "RetryPolicy",
    "Run",
    "RunFailedError",
    "RunInput",
    "RunOutput",
    "RunReference",
    "RunRequest",
    "RunStatus",
    "SkippedError",
    "SubmissionUnknownError",
    "Technique",
    "TechniqueInput",
    "TechniqueOutput",
    "TechniqueReference",
    "TechniqueRun",
    "UnprocessableEntityError",
    "UntrustedURLError",
    "UploadError",
    "WaitTimeoutError",
    "Wake",
    "WebhookVerificationError",
    "__version__",
    "download",
    "to_dict",
    "wait_for_run",
    "watch_run",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as the type checker's imports above say
    """Load the batch when it is first asked for: a program that starts single runs does not wait for it."""
    if name not in _OF_THE_BATCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from flora_async import batch  # noqa: PLC0415 - see above

    return getattr(batch, name)
