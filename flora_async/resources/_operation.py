"""How an operation is carried out, whatever it is about: something is read, listed or changed."""

import json
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeVar

from attrs import evolve

from flora_async._codec import decode, decode_page
from flora_async._pages import Pager
from flora_async._road import Road
from flora_async._wire import Response, check_idempotency_key
from flora_async.models import Page
from flora_async.resources._arguments import page_size, words

ModelT = TypeVar("ModelT")

ChangeMethod = Literal["POST", "PUT", "PATCH", "DELETE"]


async def read(road: Road, path: str, kind: type[ModelT], *, counted_as: str = "other") -> ModelT:
    """Ask FLORA for something that nothing changes by.

    Raises:
        FloraError: Any error of the request, after all retries.
    """
    return await road.fetch(road.request("GET", path, kind=counted_as), partial(model_of, kind))


def listed(  # noqa: PLR0913 - the parts of a list
    road: Road,
    path: str,
    kind: type[ModelT],
    *,
    under: str,
    filters: Mapping[str, str | None] | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    counted_as: str = "other",
    complete: Callable[[ModelT], ModelT] | None = None,
) -> Pager[ModelT]:
    """A list, of which nothing is asked for yet.

    Args:
        road: The way to FLORA.
        path: The list's path.
        kind: What it is a list of.
        under: FLORA's name for the items in the answer.
        filters: FLORA's own filters; those that are None are left out.
        limit: Items on one page; None = as FLORA likes.
        cursor: The page to begin at; None = the first.
        counted_as: What the counts of traffic call a request for a page.
        complete: Adds to an item what FLORA may leave out.

    Raises:
        ValueError: `limit` is out of range, or a filter is blank.
        TypeError: A filter is no text.
    """
    query = {name: str(words(name, value)) for name, value in (filters or {}).items() if value is not None}
    size = page_size(limit)

    async def fetch(at: str | None) -> Page[ModelT]:
        request = road.request("GET", path, params={**query, "limit": size, "cursor": at}, kind=counted_as)
        page = await road.fetch(request, partial(_page, kind, under))
        return page if complete is None else evolve(page, items=tuple(map(complete, page.items)))

    return Pager(fetch, cursor)


async def change(  # noqa: PLR0913 - the parts of a change
    road: Road,
    method: ChangeMethod,
    path: str,
    kind: type[ModelT],
    *,
    body: Mapping[str, Any] | None = None,
    idempotency_key: str | None,
    heeds_key: bool = True,
    spends: bool = False,
) -> ModelT:
    """Have FLORA change something, at most once.

    Args:
        road: The way to FLORA.
        method: The HTTP method.
        path: The path.
        kind: What FLORA answers.
        body: What to send; what is None in it is left out. None = nothing to say.
        idempotency_key: The caller's key; None = a new one.
        heeds_key: Whether a repetition does no harm: FLORA says that the operation heeds the key, or the method is
            idempotent by itself.
        spends: Whether it costs money.

    Raises:
        SubmissionUnknownError: It may have been carried out, but no answer says so.
        FloraError: It was certainly not carried out; this is why.
        ValueError: The key, or something in the body, cannot be sent; nothing was.
        TypeError: Likewise.
    """
    key = str(uuid.uuid4()) if idempotency_key is None else check_idempotency_key(idempotency_key)
    # A POST that has nothing to say still needs a body: FLORA refuses an empty one.
    content = None if method == "DELETE" else _dump(body or {})
    counted_as = "start" if spends else "other"
    request = road.request(method, path, body=content, idempotency_key=key, kind=counted_as)
    return await road.submit(request, partial(model_of, kind), idempotency_key=key, resend=heeds_key, spends=spends)


def _dump(body: Mapping[str, Any]) -> bytes:
    said = {name: value for name, value in body.items() if value is not None}
    try:
        return json.dumps(said, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise type(error)(f"The arguments cannot be written as JSON: {error}") from None


def model_of(kind: type[ModelT], response: Response) -> ModelT:
    """What an answer tells.

    Raises:
        DecodeError: It cannot be read.
    """
    return decode(response.body, kind, request_id=response.request_id)


def _page(kind: type[ModelT], under: str, response: Response) -> Page[ModelT]:
    return decode_page(response.body, kind, under, request_id=response.request_id)
