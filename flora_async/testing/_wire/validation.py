"""Validation of request bodies and queries, reported in the `fields` of FLORA's error envelope."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from flora_async.testing._wire.answers import RefusedError, error_answer, invalid_fields
from flora_async.testing._wire.requests import RecordedRequest

_DEFAULT_LIMIT = 20
_MAX_LIMIT = 100

_PUBLIC_IDS: Final = {"workspace_id": re.compile(r"ws_[\w-]+"), "project_id": re.compile(r"prj_[\w-]+")}

ItemT = TypeVar("ItemT")


class FieldType(NamedTuple):
    """The values that a field may have, and how the error message describes them."""

    expected: str
    accepts: Callable[[Any], bool]


def one_of(choices: Iterable[str]) -> FieldType:
    """Accept one of these strings."""
    known = tuple(choices)
    return FieldType(f"one of {', '.join(known)}", lambda value: isinstance(value, str) and value in known)


def public_id(prefix: str) -> FieldType:
    """Accept a public id, such as `ws_1`."""
    return FieldType(
        f"an id that starts with {prefix}_",
        lambda value: isinstance(value, str) and value.startswith(f"{prefix}_"),
    )


def list_of(item: FieldType, *, max_length: int | None = None) -> FieldType:
    """Accept a list of at least one item."""
    bounds = "at least 1" if max_length is None else f"1 to {max_length}"
    return FieldType(
        f"a list of {bounds}, each {item.expected}",
        lambda value: (
            isinstance(value, list) and 1 <= len(value) <= (max_length or len(value)) and all(map(item.accepts, value))
        ),
    )


def nullable(field: FieldType) -> FieldType:
    """Accept null as well."""
    return FieldType(f"{field.expected}, or null", lambda value: value is None or field.accepts(value))


TEXT: Final = FieldType("a string that is not empty", lambda value: isinstance(value, str) and value != "")
HTTPS: Final = FieldType("an HTTPS URL", lambda value: isinstance(value, str) and value.startswith("https://"))
MAPPING: Final = FieldType("an object", lambda value: isinstance(value, dict))
NUMBER: Final = FieldType("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool))
WORKSPACE: Final = public_id("ws")
PROJECT: Final = public_id("prj")


def json_object(request: RecordedRequest) -> dict[str, Any]:
    """Return the body of a request.

    Raises:
        RefusedError: The body is not a JSON object.
    """
    if not isinstance(request.json, dict):
        raise RefusedError(error_answer(400, "invalid_json", "The body is not a JSON object."))
    return request.json


def read_body(
    request: RecordedRequest, required: Mapping[str, FieldType] | None = None, **optional: FieldType
) -> dict[str, Any]:
    """Return the body of a request, which has only these fields and perhaps an idempotency key.

    Raises:
        RefusedError: The body is not a JSON object, or its fields are invalid.
    """
    return _validated(json_object(request), required or {}, optional)


def read_known_fields(
    request: RecordedRequest, required: Mapping[str, FieldType], **optional: FieldType
) -> dict[str, Any]:
    """Return these fields of the body of a request; FLORA ignores the others.

    Raises:
        RefusedError: The body is not a JSON object, or one of these fields is invalid.
    """
    body = json_object(request)
    return _validated({name: body[name] for name in body if name in {**required, **optional}}, required, optional)


def _validated(
    body: dict[str, Any], required: Mapping[str, FieldType], optional: Mapping[str, FieldType]
) -> dict[str, Any]:
    if problems := field_problems(body, required, {**optional, "idempotency_key": TEXT}):
        raise invalid_fields(problems)
    return body


def read_optional_body(request: RecordedRequest, **optional: FieldType) -> dict[str, Any]:
    """Return the body of a request that may have none."""
    return read_body(request, None, **optional) if request.body else {}


def field_problems(
    body: Mapping[str, Any], required: Mapping[str, FieldType], optional: Mapping[str, FieldType], path: str = ""
) -> dict[str, str]:
    """Return the problems of an object's fields, each under its path."""
    problems = {f"{path}{name}": "Required" for name in required if name not in body}
    for name, value in body.items():
        field = required.get(name) or optional.get(name)
        if field is None:
            problems[f"{path}{name}"] = "Unknown field"
        elif not field.accepts(value):
            problems[f"{path}{name}"] = f"Expected {field.expected}"
    return problems


def check_public_ids(values: Mapping[str, Any]) -> None:
    """Refuse malformed ids of workspaces and projects as FLORA does: with a server error.

    Raises:
        RefusedError: The `workspace_id` or the `project_id` is malformed.
    """
    for name, pattern in _PUBLIC_IDS.items():
        value = values.get(name)
        if isinstance(value, str) and not pattern.fullmatch(value):
            raise RefusedError(error_answer(500, "unknown_error", "An unknown error occurred."))


def query_problems(query: Mapping[str, str], **fields: FieldType) -> dict[str, str]:
    """Return the problems of those query parameters that are present."""
    return {
        name: f"Expected {field.expected}"
        for name, field in fields.items()
        if name in query and not field.accepts(query[name])
    }


def paginate(
    name: str,
    query: Mapping[str, str],
    rows: Iterable[tuple[int, ItemT]],
    render: Callable[[ItemT], dict[str, Any]],
    problems: Mapping[str, str],
) -> dict[str, Any]:
    """Return the page of a list that a query asks for.

    Args:
        name: The key of the items in the answer.
        query: The query, whose `limit` and `cursor` select the page.
        rows: The matching items, each with its number, highest number first.
        render: Turns an item into its payload.
        problems: Problems of other query parameters.

    Raises:
        RefusedError: A query parameter is invalid.
    """
    limit, last_seen, invalid = _read_page_query(query)
    if invalid := {**invalid, **problems}:
        raise invalid_fields(invalid)
    matching = list(rows)
    rest = matching if last_seen is None else [row for row in matching if row[0] < last_seen]
    page = rest[:limit]
    next_cursor = base64.b64encode(str(page[-1][0]).encode()).decode() if len(rest) > limit else None
    return {
        name: [render(item) for _, item in page],
        "meta": {"next_cursor": next_cursor, "total_estimate": len(matching)},
    }


def _read_page_query(query: Mapping[str, str]) -> tuple[int, int | None, dict[str, str]]:
    """Return the limit, the number of the last item seen, and the problems of both parameters."""
    problems = {}
    limit, last_seen = _DEFAULT_LIMIT, None
    if (text := query.get("limit")) is not None:
        limit = int(text) if text.isascii() and text.isdigit() else 0
        if not 1 <= limit <= _MAX_LIMIT:
            problems["limit"] = f"Expected a number from 1 to {_MAX_LIMIT}"
    if (text := query.get("cursor")) is not None:
        try:
            last_seen = int(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            problems["cursor"] = "Not a cursor of this server"
    return limit, last_seen, problems
