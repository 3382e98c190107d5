"""Every error that flora_async raises on purpose.

```text
FloraError                          anything below; `.run` is the last seen run when one is known
├── APIConnectionError              no whole answer came back: DNS, TCP, TLS, a cut or unreadable body
│   └── APITimeoutError             … within the time given (also a TimeoutError)
├── APIStatusError                  FLORA answered with a status that is no success
│   ├── BadRequestError             400  fix the request: `.fields` names what is wrong
│   ├── AuthenticationError         401  fix the API key
│   ├── InsufficientCreditsError    402  top up the workspace
│   ├── PermissionDeniedError       403  ask the workspace's owner
│   ├── NotFoundError               404  fix the id
│   ├── ConflictError               409
│   │   └── IdempotencyError        409  this idempotency key was used by an earlier call
│   ├── UnprocessableEntityError    422  the same idempotency key with another body
│   ├── RateLimitError              429  wait `.retry_after` seconds
│   └── InternalServerError         5xx  FLORA's side; try later
├── DecodeError                     the answer has another shape than promised; `.path` says where
├── UntrustedURLError               the server named a URL at an origin that is not trusted
├── RunFailedError                  the run ended `failed`: `.run.error_code` says why
├── WaitTimeoutError                the deadline passed first (also a TimeoutError); the run goes on
├── SubmissionUnknownError          a start has no known outcome; nothing was sent under a second key
├── InputError                      the technique does not take these inputs (also a ValueError); nothing was sent
├── UploadError                     a file did not become an asset; nothing was spent on a run
├── DownloadError                   an output could not be saved whole; the run is what it was
├── WebhookVerificationError        a delivery that is not proven to be FLORA's; `.reason` says which flaw
├── SkippedError                    a batch did not start this row; nothing was spent on it
│   └── BudgetExceededError         … since it could have cost more than `max_cost` leaves
└── JournalError                    the file is in use, damaged, or no journal of this batch
```

Arguments that can be judged before anything is sent raise the built-in `ValueError` or `TypeError`; using a
session after `close()` raises `RuntimeError`.
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
    UnprocessableEntityError,
    UntrustedURLError,
)
from flora_async.errors.runs import (
    BudgetExceededError,
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
    "BudgetExceededError",
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
    "SkippedError",
    "SubmissionUnknownError",
    "UnprocessableEntityError",
    "UntrustedURLError",
    "UploadError",
    "WaitTimeoutError",
    "WebhookVerificationError",
]

# Tracebacks name the room that people import from, not the corner that a class is written in.
for _name in __all__:
    globals()[_name].__module__ = __name__
