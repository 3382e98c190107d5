"""Every error that flora_async raises on purpose.

```text
FloraError                          anything below; `.run` is the last seen run when one is known
├── APIConnectionError              no complete response arrived: DNS, TCP, TLS, a truncated body
│   └── APITimeoutError             … within the timeout (also a TimeoutError)
├── APIStatusError                  FLORA returned an error status
│   ├── BadRequestError             400  fix the request: `.fields` names what is wrong
│   ├── AuthenticationError         401  fix the API key
│   ├── InsufficientCreditsError    402  top up the workspace
│   ├── PermissionDeniedError       403  ask the workspace's owner
│   ├── NotFoundError               404  fix the id
│   ├── ConflictError               409
│   │   └── IdempotencyError        409  this idempotency key was used by an earlier call
│   ├── UnprocessableEntityError    422  the same idempotency key with a different body
│   ├── RateLimitError              429  wait `.retry_after` seconds
│   └── InternalServerError         5xx  an error on FLORA's side; try later
├── DecodeError                     the response cannot be read; `.path` says where
├── SessionClosedError              the session was closed (also a RuntimeError); runs are still running
├── UntrustedURLError               the server named a URL at an origin that is not trusted
├── RunFailedError                  the run was not completed: `.run.failure` says why and what helps
├── WaitTimeoutError                the deadline passed first (also a TimeoutError); the run is still running
├── SubmissionUnknownError          the outcome of a start is unknown; nothing was sent under a second key
├── InputError                      the technique does not accept these inputs (also a ValueError); nothing was sent
├── UploadError                     a file could not be uploaded; nothing was spent on a run
├── DownloadError                   an output could not be saved completely; the run is not affected
├── WebhookVerificationError        a webhook could not be verified as FLORA's; `.reason` says why
├── SkippedError                    a batch did not start this row; nothing was spent on it
│   └── BudgetExceededError         … because it could have cost more than `max_cost` leaves
├── BatchInterruptedError           the rows' source or `on_progress` raised in `run_all`; `.results` has the rest
├── JournalError                    the journal is in use, damaged, or belongs to another batch
└── ClusterLostError                the connection to the Dask cluster was lost; the run is not affected
```

Arguments that can be checked before anything is sent raise the built-in `ValueError` or `TypeError`; using a
session from a second event loop raises `RuntimeError`.
"""

from flora_async.errors.requests import (
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
    SessionClosedError,
    UnprocessableEntityError,
    UntrustedURLError,
)
from flora_async.errors.runs import (
    BatchInterruptedError,
    BudgetExceededError,
    ClusterLostError,
    DownloadError,
    InputError,
    JournalError,
    RunFailedError,
    SkippedError,
    SubmissionUnknownError,
    UploadError,
    WaitTimeoutError,
    WebhookVerificationError,
)

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BatchInterruptedError",
    "BudgetExceededError",
    "ClusterLostError",
    "ConflictError",
    "DecodeError",
    "DownloadError",
    "FieldError",
    "FloraError",
    "IdempotencyError",
    "InputError",
    "InsufficientCreditsError",
    "InternalServerError",
    "JournalError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "RunFailedError",
    "SessionClosedError",
    "SkippedError",
    "SubmissionUnknownError",
    "UnprocessableEntityError",
    "UntrustedURLError",
    "UploadError",
    "WaitTimeoutError",
    "WebhookVerificationError",
]

# Tracebacks show the public module, not the private one that defines the class.
for _name in __all__:
    globals()[_name].__module__ = __name__
