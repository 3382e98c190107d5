"""What the local FLORA answers, before anything goes wrong with it."""

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
    """The error code that FLORA most often sends with a status."""
    return _CODES.get(status, "unknown_error")


@attrs.frozen
class Answer:
    """An answer ready to send: status, body and the headers that are not the connection's business."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)

    def plus(self, **headers: str) -> "Answer":
        """The same answer with more headers; `_` in a name stands for `-`."""
        added = {name.replace("_", "-"): value for name, value in headers.items()}
        return attrs.evolve(self, headers={**self.headers, **added})


def json_answer(payload: Any, status: int = 200) -> Answer:  # noqa: ANN401  any JSON value
    """Answer with a JSON value."""
    return Answer(status, json.dumps(payload).encode())


def error_answer(status: int, code: str, message: str, fields: Mapping[str, str] | None = None) -> Answer:
    """Answer with FLORA's error envelope; `fields` says what is wrong with which field."""
    error: dict[str, Any] = {"code": code, "message": message}
    if fields:
        error["fields"] = [{"field": field, "message": text} for field, text in fields.items()]
    return json_answer({"error": error}, status)


class RefusedError(Exception):
    """An operation does not do what it was asked.

    Args:
        answer: What FLORA says instead.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


NOT_FOUND = error_answer(404, "not_found", "Not found.")


def not_found() -> RefusedError:
    """There is no such thing, or the key may not see it."""
    return RefusedError(NOT_FOUND)


def wrong_fields(problems: Mapping[str, str]) -> RefusedError:
    """The request is not what FLORA takes; `problems` by field."""
    field, text = next(iter(problems.items()))
    return RefusedError(error_answer(400, "input_validation_error", f"{field}: {text}", problems))


def conflict(message: str) -> RefusedError:
    """The thing is there, but in no state for this."""
    return RefusedError(error_answer(409, "conflict", message))
