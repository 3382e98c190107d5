"""Idempotency keys: what production does with them, and the two versions that FLORA documents."""

import hashlib
import json
from typing import Final, Literal, NamedTuple, TypeAlias

from flora_async.testing._wire.answers import Answer, error_answer
from flora_async.testing._wire.forms import boundary_of
from flora_async.testing._wire.requests import RecordedRequest

Idempotency: TypeAlias = Literal["suppress", "replay", "conflict"]

_LIFETIMES: Final = {"suppress": 2 * 3600.0, "replay": 24 * 3600.0, "conflict": 2 * 3600.0}
# Production reads the key of these operations from one place only.
_BODY_ONLY: Final = {"techniques.runs.create", "runs.start_technique"}
_HEADER_ONLY: Final = {"generations.create", "runs.start_generation"}
_DESTINATION: Final = ("workspace_id", "project_id", "technique_id")


class _Used(NamedTuple):
    """The request that used a key; the time is Unix seconds."""

    time: float
    fingerprint: str
    answer: Answer


def idempotency_key(request: RecordedRequest) -> str | None:
    """Return the key that a request was sent with: that of its body, else that of its header."""
    return _body_key(request) or _header_key(request)


class IdempotencyKeys:
    """The keys that the server remembers.

    A key is looked up when a request arrives and remembered once the request has been carried out, so two requests
    with one key that are in flight at the same time are both carried out, as FLORA documents. A request that is
    answered with an error does not use its key.
    """

    def __init__(self, idempotency: Idempotency) -> None:
        self._idempotency = idempotency
        self._used: dict[tuple[str, ...], _Used] = {}

    def find(self, request: RecordedRequest, now: float) -> Answer | None:
        """Return the answer to a request whose key is known, or `None` if the request is to be carried out."""
        used = self._used.get(self._scope(request) or ())
        if used is None or now - used.time >= _LIFETIMES[self._idempotency]:
            return None
        if self._idempotency != "replay":
            return error_answer(409, "idempotency_duplicate", "Duplicate idempotency key.")
        if used.fingerprint != _fingerprint(request):
            return error_answer(422, "idempotency_conflict", "Idempotency key was used with another body.")
        return used.answer.with_headers({"idempotent-replayed": "true"})

    def remember(self, request: RecordedRequest, answer: Answer, now: float) -> None:
        """Remember the answer to a request that has been carried out, if the request has a key."""
        if scope := self._scope(request):
            self._used[scope] = _Used(now, _fingerprint(request), answer)

    def _scope(self, request: RecordedRequest) -> tuple[str, ...] | None:
        """Return the key and everything that has to be the same for it to count as repeated."""
        if self._idempotency != "suppress":
            key = idempotency_key(request)
            return (key,) if key else None
        operation = request.route.name
        if operation in _BODY_ONLY:
            key = _body_key(request)
        elif operation in _HEADER_ONLY:
            key = _header_key(request)
        else:
            key = idempotency_key(request)
        body = request.json if isinstance(request.json, dict) else {}
        destination = {**{name: str(body.get(name)) for name in _DESTINATION}, **request.route.path_params}
        return (key, operation, *destination.values()) if key else None


def _body_key(request: RecordedRequest) -> str | None:
    key = request.json.get("idempotency_key") if isinstance(request.json, dict) else None
    return key if isinstance(key, str) else None


def _header_key(request: RecordedRequest) -> str | None:
    return request.headers.get("Idempotency-Key")


def _fingerprint(request: RecordedRequest) -> str:
    body = request.json
    if request.is_form:  # every attempt has another boundary
        body = hashlib.sha256(request.body.replace(boundary_of(request), b"")).hexdigest()
    return json.dumps([request.method, request.path, body], sort_keys=True)
