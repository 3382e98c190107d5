"""How FLORA remembers idempotency keys: one way by its developer site, another by its API reference."""

import hashlib
import json
from typing import Literal, NamedTuple, TypeAlias

from flora_async.testing._wire.answers import Answer, error_answer
from flora_async.testing._wire.forms import boundary_of
from flora_async.testing._wire.requests import RecordedRequest

Idempotency: TypeAlias = Literal["replay", "conflict"]

_LIFETIMES = {"replay": 24 * 3600.0, "conflict": 2 * 3600.0}


class _Acted(NamedTuple):
    """What was carried out under a key; the time is Unix seconds."""

    time: float
    fingerprint: str
    answer: Answer


def key_of(request: RecordedRequest) -> str | None:
    """The key of a request: the body's, else the header's."""
    in_body = request.json.get("idempotency_key") if isinstance(request.json, dict) else None
    return in_body if isinstance(in_body, str) else request.headers.get("Idempotency-Key")


class KeyMemory:
    """The keys of the whole server.

    A key is looked up when a request arrives and kept when it has acted, so two requests in flight at once
    with one key both act. That is FLORA's documented flaw, not this class's.
    """

    def __init__(self, idempotency: Idempotency) -> None:
        self._idempotency = idempotency
        self._acted: dict[str, _Acted] = {}

    def find(self, request: RecordedRequest, now: float) -> Answer | None:
        """The answer that its key alone decides, or `None` if it has to act."""
        acted = self._acted.get(key_of(request) or "")
        if acted is None or now - acted.time >= _LIFETIMES[self._idempotency]:
            return None
        if self._idempotency == "conflict":
            return error_answer(409, "idempotency_duplicate", "Duplicate idempotency key.")
        if acted.fingerprint != _fingerprint(request):
            return error_answer(422, "idempotency_conflict", "Idempotency key was used with another body.")
        return acted.answer.plus(idempotent_replayed="true")

    def keep(self, request: RecordedRequest, answer: Answer, now: float) -> None:
        """Remember what a request did, if it has a key."""
        if key := key_of(request):
            self._acted[key] = _Acted(now, _fingerprint(request), answer)


def _fingerprint(request: RecordedRequest) -> str:
    body = request.json
    if request.is_form:  # whose boundary is another at each attempt
        body = hashlib.sha256(request.body.replace(boundary_of(request), b"")).hexdigest()
    return json.dumps([request.method, request.path, body], sort_keys=True)
