"""The asyncio-first SDK for FLORA: paid runs start safely, waiting is cheap and never lost.

Example:
    >>> from flora_async import FloraSession
    >>> async with FloraSession() as flora:
    ...     run = await flora.run("caption", {"prompt": "a red bicycle"})
    >>> run.outputs[0].text
    'Caption: a red bicycle'
"""

import os
from typing import TYPE_CHECKING

from flora_async._http.recording import record_responses
from flora_async._lazy import lazy_names
from flora_async._logs import show_logs
from flora_async._version import __version__
from flora_async.config import PollPolicy, ResponseLimits, RetryPolicy
from flora_async.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BatchInterruptedError,
    BudgetExceededError,
    ClusterLostError,
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
    SessionClosedError,
    SkippedError,
    SubmissionUnknownError,
    UnprocessableEntityError,
    UntrustedURLError,
    UploadError,
    WaitTimeoutError,
    WebhookVerificationError,
)
from flora_async.models import (
    Failure,
    FailureHint,
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
from flora_async.models._codec import to_dict
from flora_async.polling import OnUpdate, RunReference, Wake, wait_for_run, watch_run
from flora_async.resources import Inputs, InputValue
from flora_async.resources._pager import Pager
from flora_async.session import FloraSession

if TYPE_CHECKING:
    from flora_async.batch import (
        ActionRequest,
        Batch,
        BatchPlan,
        BatchResult,
        BatchSummary,
        GenerationRequest,
        RunRequest,
    )
    from flora_async.hooks import Hooks
    from flora_async.media import download
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "batch": "ActionRequest Batch BatchPlan BatchResult BatchSummary GenerationRequest RunRequest",
            "hooks": "Hooks",
            "media": "download",
        },
    )

show_logs(os.environ.get("FLORA_LOG"))

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "ActionRequest",
    "AuthenticationError",
    "BadRequestError",
    "Batch",
    "BatchInterruptedError",
    "BatchPlan",
    "BatchResult",
    "BatchSummary",
    "BudgetExceededError",
    "ClusterLostError",
    "ConflictError",
    "DecodeError",
    "DownloadError",
    "Failure",
    "FailureHint",
    "FieldError",
    "FloraError",
    "FloraSession",
    "GenerationRequest",
    "Hooks",
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
    "ResponseLimits",
    "RetryPolicy",
    "Run",
    "RunFailedError",
    "RunInput",
    "RunOutput",
    "RunReference",
    "RunRequest",
    "RunStatus",
    "SessionClosedError",
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
    "record_responses",
    "to_dict",
    "wait_for_run",
    "watch_run",
]
