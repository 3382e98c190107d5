"""The asyncio-first SDK for FLORA: paid runs start safely, waiting is cheap and never lost.

Example:
    >>> from flora_async import FloraSession
    >>> async with FloraSession() as flora:
    ...     run = await flora.run("caption", {"prompt": "a red bicycle"})
    >>> run.outputs[0].text
    'Caption: a red bicycle'
"""

from flora_async._codec import to_dict
from flora_async._pages import Pager
from flora_async._version import __version__
from flora_async.config import PollPolicy, RetryPolicy
from flora_async.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    DecodeError,
    FieldError,
    FloraError,
    IdempotencyError,
    InsufficientCreditsError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RunFailedError,
    SubmissionUnknownError,
    UnprocessableEntityError,
    UntrustedURLError,
    WaitTimeoutError,
)
from flora_async.models import (
    OutputType,
    Page,
    Run,
    RunInput,
    RunOutput,
    RunStatus,
    TechniqueReference,
    TechniqueRun,
)
from flora_async.polling import wait_for_run, watch_run
from flora_async.session import FloraSession

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "DecodeError",
    "FieldError",
    "FloraError",
    "FloraSession",
    "IdempotencyError",
    "InsufficientCreditsError",
    "InternalServerError",
    "NotFoundError",
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
    "RunStatus",
    "SubmissionUnknownError",
    "TechniqueReference",
    "TechniqueRun",
    "UnprocessableEntityError",
    "UntrustedURLError",
    "WaitTimeoutError",
    "__version__",
    "to_dict",
    "wait_for_run",
    "watch_run",
]
