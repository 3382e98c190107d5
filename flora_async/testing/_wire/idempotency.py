"""Idempotency keys, in the versions that FLORA's developer site and its API reference describe."""

import hashlib
import json
from typing import Literal, NamedTuple, TypeAlias

from flora_async.testing._wire.answers import Answer, error_answer
from flora_async.testing._wire.forms import boundary_of
from flora_async.testing._wire.requests import RecordedRequest

Idempotency: TypeAlias = Literal["replay", "conflict"]

_LIFETIMES = {"replay": 24 * 3600.0, "conflict": 2 * 3600.0}


class _Used(NamedTuple):
    """The request that used a key; the time is Unix seconds."""

    time: float
    fingerprint: str
    answer: Answer


def idempotency_key(request: RecordedRequest) -> str | None:
    """Return the key of a request: that of its body, else that of its header."""
    in_body = request.json.get("idempotency_key") if isinstance(request.json, dict) else None
    return in_body if isinstance(in_body, str) else request.headers.get("Idempotency-Key")


class IdempotencyKeys:
    """The keys that the server remembers.

    A key is looked up when a request arrives and remembered once the request has been carried out, so two requests
    with one key that are in flight at the same time are both carried out, as FLORA documents.
    """

    def __init__(self, idempotency: Idempotency) -> None:
        self._idempotency = idempotency
        self._used: dict[str, _Used] = {}

    def find(self, request: RecordedRequest, now: float) -> Answer | None:
        """Return the answer to a request whose key is known, or `None` if the request is to be carried out."""
        used = self._used.get(idempotency_key(request) or "")
        if used is None or now - used.time >= _LIFETIMES[self._idempotency]:
            return None
        if self._idempotency == "conflict":
            return error_answer(409, "idempotency_duplicate", "Duplicate idempotency key.")
        if used.fingerprint != _fingerprint(request):
            return error_answer(422, "idempotency_conflict", "Idempotency key was used with another body.")
        return used.answer.with_headers({"idempotent-replayed": "true"})

    def remember(self, request: RecordedRequest, answer: Answer, now: float) -> None:
        """Remember the answer to a request that has been carried out, if the request has a key."""
        if key := idempotency_key(request):
            self._used[key] = _Used(now, _fingerprint(request), answer)


def _fingerprint(request: RecordedRequest) -> str:
    body = request.json
    if request.is_form:  # every attempt has another boundary
        body = hashlib.sha256(request.body.replace(boundary_of(request), b"")).hexdigest()
    return json.dumps([request.method, request.path, body], sort_keys=True)
