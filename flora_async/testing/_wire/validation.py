"""What FLORA refuses in a request, as the `fields` of its error envelope."""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from flora_async.testing._wire.answers import RefusedError, error_answer, wrong_fields
from flora_async.testing._wire.requests import RecordedRequest

_LIMIT = 20
_HIGHEST_LIMIT = 100

ItemT = TypeVar("ItemT")


class Kind(NamedTuple):
    """What a field may hold, and how FLORA puts it."""

    expected: str
    fits: Callable[[Any], bool]


def one_of(choices: Iterable[str]) -> Kind:
    """One of these words."""
    known = tuple(choices)
    return Kind(f"one of {', '.join(known)}", lambda value: isinstance(value, str) and value in known)


def public_id(prefix: str) -> Kind:
    """A public id, such as `ws_1`."""
    return Kind(
        f"an id that starts with {prefix}_",
        lambda value: isinstance(value, str) and value.startswith(f"{prefix}_"),
    )


def list_of(kind: Kind, *, most: int | None = None) -> Kind:
    """A list of one to `most` of a kind."""
    bounds = "at least 1" if most is None else f"1 to {most}"
    return Kind(
        f"a list of {bounds}, each {kind.expected}",
        lambda value: (
            isinstance(value, list) and 1 <= len(value) <= (most or len(value)) and all(map(kind.fits, value))
        ),
    )


def or_null(kind: Kind) -> Kind:
    """The kind, or null."""
    return Kind(f"{kind.expected}, or null", lambda value: value is None or kind.fits(value))


TEXT: Final = Kind("a string that is not empty", lambda value: isinstance(value, str) and value != "")
HTTPS: Final = Kind("an HTTPS URL", lambda value: isinstance(value, str) and value.startswith("https://"))
MAPPING: Final = Kind("an object", lambda value: isinstance(value, dict))
NUMBER: Final = Kind("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool))
WORKSPACE: Final = public_id("ws")
PROJECT: Final = public_id("prj")


def body_of(request: RecordedRequest) -> dict[str, Any]:
    """The JSON object that is the body.

    Raises:
        RefusedError: It is none.
    """
    if not isinstance(request.json, dict):
        raise RefusedError(error_answer(400, "invalid_json", "The body is not a JSON object."))
    return request.json


def read_body(request: RecordedRequest, required: Mapping[str, Kind] | None = None, **optional: Kind) -> dict[str, Any]:
    """The body of a request, with these fields and no others; a key for idempotency may always be there.

    Raises:
        RefusedError: It is no JSON object, or its fields are others.
    """
    body = body_of(request)
    if problems := field_problems(body, required or {}, {**optional, "idempotency_key": TEXT}):
        raise wrong_fields(problems)
    return body


def read_optional_body(request: RecordedRequest, **optional: Kind) -> dict[str, Any]:
    """The body of a request that may come without one."""
    return read_body(request, None, **optional) if request.body else {}


def field_problems(
    body: Mapping[str, Any], required: Mapping[str, Kind], optional: Mapping[str, Kind], path: str = ""
) -> dict[str, str]:
    """What is wrong with the fields of an object that stands at `path`."""
    problems = {f"{path}{name}": "Required" for name in required if name not in body}
    for name, value in body.items():
        kind = required.get(name) or optional.get(name)
        if kind is None:
            problems[f"{path}{name}"] = "Unknown field"
        elif not kind.fits(value):
            problems[f"{path}{name}"] = f"Expected {kind.expected}"
    return problems


def query_problems(query: Mapping[str, str], **kinds: Kind) -> dict[str, str]:
    """What is wrong with the parameters of a query that are there."""
    return {
        name: f"Expected {kind.expected}"
        for name, kind in kinds.items()
        if name in query and not kind.fits(query[name])
    }


def page_of(
    name: str,
    query: Mapping[str, str],
    rows: Iterable[tuple[int, ItemT]],
    show: Callable[[ItemT], dict[str, Any]],
    problems: Mapping[str, str],
) -> dict[str, Any]:
    """The page of a list that a query asks for.

    Args:
        name: The key of the items.
        query: Says with `limit` and `cursor` which page.
        rows: What matches the query, each with its number, falling.
        show: What FLORA says about one.
        problems: What else is wrong with the query.

    Raises:
        RefusedError: Something is wrong with the query.
    """
    limit, seen, wrong = _read_page(query)
    if wrong := {**wrong, **problems}:
        raise wrong_fields(wrong)
    matching = list(rows)
    rest = matching if seen is None else [row for row in matching if row[0] < seen]
    page = rest[:limit]
    next_cursor = base64.b64encode(str(page[-1][0]).encode()).decode() if len(rest) > limit else None
    return {
        name: [show(item) for _, item in page],
        "meta": {"next_cursor": next_cursor, "total_estimate": len(matching)},
    }


def _read_page(query: Mapping[str, str]) -> tuple[int, int | None, dict[str, str]]:
    """The limit, the number of the last item seen, and what is wrong with them."""
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
    return limit, seen, problems
