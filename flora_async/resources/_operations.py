"""Carry out an operation of the route table: fetch, list or change something."""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from attrs import AttrsInstance, evolve

from flora_async._checks import (
    check_characters,
    check_idempotency_key,
    free_form,
    identifier,
    items,
    non_blank,
    page_size,
)
from flora_async._http.client import Client
from flora_async._http.defaults import check_query
from flora_async._http.responses import Response
from flora_async._http.routes import ROUTES, Route
from flora_async._http.submission import Submission
from flora_async._http.urls import ParameterValue, check_path
from flora_async._repr import bounded
from flora_async.models import Page
from flora_async.models._codec import decode, decode_page, parse_json, to_body
from flora_async.polling import RunTracker
from flora_async.resources._pager import Pager

ModelT = TypeVar("ModelT")

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})  # RFC 9110, 9.2.2
_METHODS: Final = _IDEMPOTENT | {"POST", "PATCH"}


class Operations:
    """The operations on one of FLORA's nouns; its repr lists them."""

    def __repr__(self) -> str:
        names = [name for name in dir(self) if not name.startswith("_")]
        return bounded(f"<{type(self).__name__}: {', '.join(names)}", ">")


async def fetch(client: Client, operation: str, model: type[ModelT], ids: Mapping[str, str]) -> ModelT:
    """Read something.

    Raises:
        FloraError: Any error of the request, after all retries.
        TypeError: An id is not text.
        ValueError: An id is blank.
    """
    request = client.request(ROUTES[operation], ids)
    return await client.fetch(request, partial(read_model, model))


def paginate(  # noqa: PLR0913 - the parts of a list
    client: Client,
    operation: str,
    model: type[ModelT],
    ids: Mapping[str, str] | None = None,
    *,
    items_key: str,
    filters: Mapping[str, str | None] | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    complete: Callable[[ModelT], ModelT] | None = None,
    on_page: Callable[[Sequence[ModelT]], None] | None = None,
) -> Pager[ModelT]:
    """A list; nothing is requested yet.

    Args:
        client: Sends the requests.
        operation: The operation's name in the route table.
        model: What an item is read as.
        ids: The ids in the path.
        items_key: FLORA's name for the items in the answer.
        filters: FLORA's own filters; those that are None are left out.
        limit: Items on one page; None = FLORA's default.
        cursor: The page to begin at; None = the first.
        complete: Adds to an item what FLORA may leave out.
        on_page: Called with the items of each page.

    Raises:
        ValueError: `limit` is out of range, or a filter is blank.
        TypeError: A filter or the cursor is not text.
    """
    route, ids = ROUTES[operation], ids or {}
    client.url(route, ids)  # a bad id is refused here, not with the first page
    query = {name: _filter(name, value) for name, value in (filters or {}).items() if value is not None}
    size = page_size(limit)
    if cursor is not None and not isinstance(cursor, str):
        raise TypeError(f"cursor must be text, as a page's next_cursor is, not {cursor!r:.60}")

    async def fetch_page(at: str | None) -> Page[ModelT]:
        request = client.request(route, ids, params={**query, "limit": size, "cursor": at})
        page = await client.fetch(request, partial(read_page, model, items_key))
        if on_page is not None:
            on_page(page.items)
        return page if complete is None else evolve(page, items=tuple(map(complete, page.items)))

    return Pager(fetch_page, cursor, operation)


def _filter(name: str, value: object) -> str:
    return str(identifier(name, value) if name.endswith("_id") else non_blank(name, value))


async def mutate(  # noqa: PLR0913 - the parts of a change
    client: Client,
    operation: str,
    model: type[ModelT],
    ids: Mapping[str, str] | None = None,
    *,
    body: Mapping[str, Any] | None = None,
    idempotency_key: str | None,
    read: Callable[[Response], ModelT] | None = None,
    tracker: RunTracker | None = None,
    subject: str | None = None,
) -> ModelT:
    """Change something, at most once.

    Args:
        client: Sends the request.
        operation: The operation's name in the route table.
        model: What the answer is read as.
        ids: The ids in the path.
        body: What to send; entries that are None are left out. None = an empty body.
        idempotency_key: The caller's key; None = a new one.
        read: Reads the answer; None = as the model.
        tracker: Tells hooks of the runs that the answer names; None = it is not about runs.
        subject: What is run.

    Raises:
        SubmissionUnknownError: It may have been carried out, but no answer says so.
        FloraError: It was certainly not carried out; this is why.
        ValueError: The key, or something in the body, cannot be sent; nothing was.
        TypeError: Likewise.
    """
    route, key = ROUTES[operation], new_key(idempotency_key)
    # FLORA refuses a POST with an empty body, so one without arguments sends `{}`.
    content = None if route.method == "DELETE" else to_content(body or {})
    request = client.request(route, ids or {}, body=content, idempotency_key=key)
    submission = Submission(idempotency_key=key, policy=client.policy, route=route)
    read = read or partial(read_model, model)
    if tracker is None:
        return await client.submit(request, read, submission)
    with tracker.starting(client, subject, key, is_in_doubt=lambda: submission.in_doubt) as announce:
        answer = await client.submit(request, read, submission)
        several: Sequence[Any] = getattr(answer, "runs", [answer])
        announce(*(run for run in several if run.run_id))
    return answer


async def request_json(  # noqa: PLR0913 - the parts of a request
    client: Client,
    method: str,
    path: str,
    *,
    params: Mapping[str, ParameterValue] | None,
    data: object,
    idempotency_key: str | None,
) -> Any:  # noqa: ANN401 - any JSON value
    """Reach an operation that is not in the route table; `FloraSession.request` documents it."""
    body = None if data is None else _encode("json", data)
    params = check_query(params, "params")
    if not isinstance(method, str):
        raise TypeError(f"method must be text, not {method!r:.40}")
    method = method.upper()
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(sorted(_METHODS))}, not {method!r:.40}")
    key = None if idempotency_key is None else check_idempotency_key(idempotency_key)
    if key is None and method not in _IDEMPOTENT:
        key = new_key(None)
    template = check_path(path).replace("{", "{{").replace("}", "}}")
    # Only a caller who passes a key can know that the operation honors it.
    route = Route(method, template, spends=True, honors_key=idempotency_key is not None)
    request = client.request(route, {}, params=params, body=body, idempotency_key=key)
    if method in _IDEMPOTENT or key is None:
        return await client.fetch(request, _read_json)
    submission = Submission(idempotency_key=key, policy=client.policy, route=route)
    return await client.submit(request, _read_json, submission)


def new_key(given: str | None) -> str:
    """The caller's idempotency key, checked, or a new one."""
    return str(uuid.uuid4()) if given is None else check_idempotency_key(given)


def read_model(model: type[ModelT], response: Response) -> ModelT:
    """Read an answer as a model.

    Raises:
        DecodeError: It cannot be read.
    """
    return decode(response.body, model, request_id=response.request_id)


def to_json(name: str, value: object, model: type[AttrsInstance]) -> dict[str, Any]:
    """Convert a structured part of a body, given as a model or as a mapping with FLORA's own names.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(value, model):
        return to_body(value)
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be of type {model.__name__} or a mapping, not {value!r:.60}")
    return free_form(name, value)


def all_to_json(name: str, values: object, model: type[AttrsInstance]) -> list[dict[str, Any]]:
    """Convert several structured parts, each as `to_json` does.

    Raises:
        TypeError: It is not a sequence of them.
    """
    return [to_json(f"{name}[{number}]", value, model) for number, value in enumerate(items(name, values))]


def to_content(body: Mapping[str, Any]) -> bytes:
    """Encode a body as JSON; entries that are None are left out.

    Raises:
        ValueError: A number is not finite, or text holds half of a character.
        TypeError: A value is not JSON.
    """
    given = {name: value for name, value in body.items() if value is not None}
    return _encode("The arguments", given)


def _encode(name: str, data: object) -> bytes:
    try:
        text = json.dumps(data, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} cannot be written as JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"{name} cannot be written as JSON: nested too deeply") from None
    if "\\ud" in text:  # beyond the BMP, or half of a character
        check_characters(name, json.dumps(data, ensure_ascii=False))
    return text.encode()


def read_page(model: type[ModelT], items_key: str, response: Response) -> Page[ModelT]:
    return decode_page(response.body, model, items_key, request_id=response.request_id)


def _read_json(response: Response) -> Any:  # noqa: ANN401 - any JSON value
    return parse_json(response.body, request_id=response.request_id) if response.body.strip() else None
