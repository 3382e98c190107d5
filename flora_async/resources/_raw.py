"""Operations that have no method of their own, sent with the same care as those that have."""

import uuid
from collections.abc import Mapping
from typing import Any, Final

from flora_async._codec import parse_json
from flora_async._road import Road
from flora_async._urls import ParameterValue, check_path
from flora_async._wire import Response, check_idempotency_key

_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})  # idempotent by RFC 9110, 9.2.2
_METHODS: Final = _REPEATABLE | {"POST", "PATCH"}


async def raw_request(  # noqa: PLR0913 - the parts of a request
    road: Road,
    method: str,
    path: str,
    *,
    params: Mapping[str, ParameterValue] | None,
    body: bytes | None,
    idempotency_key: str | None,
) -> Any:  # noqa: ANN401 - any JSON value
    """Send a request; what may cost money is repeated in doubt only under a key that is the caller's own.

    Raises:
        SubmissionUnknownError: A POST or PATCH may have been carried out, but no answer says so.
        FloraError: Any other error of the request.
        ValueError: The path, the method or the key cannot be right; nothing was sent.
        TypeError: One of them is no text.
    """
    if not isinstance(method, str):
        raise TypeError(f"method must be text, not {method!r:.40}")
    method = method.upper()
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(sorted(_METHODS))}, not {method!r:.40}")
    key = None if idempotency_key is None else check_idempotency_key(idempotency_key)
    if key is None and method not in _REPEATABLE:
        key = str(uuid.uuid4())
    request = road.request(method, check_path(path), params=params, body=body, idempotency_key=key)
    if method in _REPEATABLE or key is None:
        return await road.fetch(request, _read_json)
    return await road.submit(request, _read_json, idempotency_key=key, resend=idempotency_key is not None)


def _read_json(response: Response) -> Any:  # noqa: ANN401 - any JSON value
    return parse_json(response.body, request_id=response.request_id) if response.body.strip() else None
