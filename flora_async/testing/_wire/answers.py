"""Answers of the local FLORA, as they are before a fault changes them."""

import json
from collections.abc import Mapping
from typing import Any

import attrs

_CODES = {
    400: "input_validation_error",
    401: "unauthorized",
    402: "insufficient_credits",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    422: "idempotency_conflict",
    429: "rate_limited",
    502: "internal_error",
    503: "service_unavailable",
    504: "service_unavailable",
}


def default_code(status: int) -> str:
    """Return the error code that FLORA most often sends with a status."""
    return _CODES.get(status, "unknown_error")


@attrs.frozen
class Answer:
    """A complete answer: status, body and every header that does not belong to the connection.

    Attributes:
        from_flora: Whether FLORA itself answers, with a `request-id`, and not a proxy in front of it.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)
    from_flora: bool = attrs.field(default=True, kw_only=True)

    def with_headers(self, headers: Mapping[str, str]) -> "Answer":
        """Return a copy with these headers added."""
        return attrs.evolve(self, headers={**self.headers, **headers})


def json_answer(payload: Any, status: int = 200) -> Answer:  # noqa: ANN401 - any JSON value
    """Answer with a JSON value."""
    return Answer(status, json.dumps(payload).encode())


def error_answer(status: int, code: str, message: str, fields: Mapping[str, str] | None = None) -> Answer:
    """Answer with FLORA's error envelope; `fields` maps each invalid field to its problem."""
    error: dict[str, Any] = {"code": code, "message": message}
    if fields:
        error["fields"] = [{"field": field, "message": text} for field, text in fields.items()]
    return json_answer({"error": error}, status)


class RefusedError(Exception):
    """An operation refuses a request.

    Args:
        answer: The error to answer with.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


NOT_FOUND = error_answer(404, "not_found", "Not found.")


def not_found() -> RefusedError:
    """Refuse with 404."""
    return RefusedError(NOT_FOUND)


def invalid_fields(problems: Mapping[str, str]) -> RefusedError:
    """Refuse with 400; `problems` maps each invalid field to its problem."""
    field, text = next(iter(problems.items()))
    return RefusedError(error_answer(400, "input_validation_error", f"{field}: {text}", problems))


def conflict(message: str) -> RefusedError:
    """Refuse with 409: the object exists, but its state does not allow the operation."""
    return RefusedError(error_answer(409, "conflict", message))
