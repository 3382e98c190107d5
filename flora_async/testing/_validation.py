"""What FLORA refuses in a request, as the `fields` of its error envelope."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from flora_async.testing._runs import STATUSES
from flora_async.testing._techniques import FakeTechnique

_LIMIT = 20
_HIGHEST_LIMIT = 100


def start_problems(payload: Mapping[str, Any], technique: FakeTechnique) -> dict[str, str]:
    """What is wrong with the body of a start request, by field; empty when nothing is."""
    problems = {}
    if payload.get("mode") not in ("async", "stream"):
        problems["mode"] = "Expected async or stream"
    callback_url = payload.get("callback_url", "https://")
    if not (isinstance(callback_url, str) and callback_url.startswith("https://")):
        problems["callback_url"] = "Expected an HTTPS URL"
    key = payload.get("idempotency_key", "none")
    if not (isinstance(key, str) and key):
        problems["idempotency_key"] = "Expected a string that is not empty"
    inputs = payload.get("inputs")
    if isinstance(inputs, list) and inputs:
        return problems | _input_problems(inputs, technique)
    return problems | {"inputs": "Expected a list of at least one input"}


def _input_problems(inputs: list[Any], technique: FakeTechnique) -> dict[str, str]:
    problems = {}
    missing = set(technique.inputs)
    types = {**technique.inputs, **technique.optional_inputs}
    given = set()
    for number, item in enumerate(inputs):
        match item:
            case {"id": str(id_), "type": str(type_), "value": str(), **more} if not more:
                missing.discard(id_)
                if id_ not in types:
                    problems[id_] = "Unknown input"
                elif id_ in given:
                    problems[id_] = "Given twice"
                elif type_ != types[id_]:
                    problems[id_] = f"Expected {types[id_]}"
                given.add(id_)
            case _:
                problems[f"inputs[{number}]"] = "Expected the strings id, type and value"
    return problems | dict.fromkeys(sorted(missing), "Required")


def read_page(query: Mapping[str, str]) -> tuple[int, int | None, dict[str, str]]:
    """The limit, the number of the last run seen, and what is wrong with the query of a history request."""
    problems = {}
    limit, seen = _LIMIT, None
    if (text := query.get("limit")) is not None:
        limit = int(text) if text.isascii() and text.isdigit() else 0
        if not 1 <= limit <= _HIGHEST_LIMIT:
            problems["limit"] = f"Expected a number from 1 to {_HIGHEST_LIMIT}"
    if (text := query.get("cursor")) is not None:
        try:
            seen = int(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            problems["cursor"] = "Not a cursor of this server"
    if query.get("status", "pending") not in STATUSES:
        problems["status"] = f"Expected one of {', '.join(STATUSES)}"
    return limit, seen, problems


def cursor_after(number: int) -> str:
    """The cursor of what comes after the run with this number."""
    return base64.b64encode(str(number).encode()).decode()
