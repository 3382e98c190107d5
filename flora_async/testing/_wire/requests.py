"""Requests that the local FLORA has received."""

import json
from typing import Any

import attrs
from multidict import CIMultiDictProxy, MultiMapping

from flora_async._repr import ShortRepr
from flora_async.testing._wire.operations import Origin, Route


def _parse_json(request: "RecordedRequest") -> Any:  # noqa: ANN401 - any JSON value
    if request.is_form:
        return None
    try:
        return json.loads(request.body)
    except ValueError:
        return None


@attrs.frozen(kw_only=True)
class RecordedRequest(ShortRepr):
    """A request as the local FLORA received it.

    Attributes:
        method: The HTTP method.
        target: The request target as it was sent: path and query, percent-encoded.
        query: The decoded query parameters.
        headers: The headers; lookups ignore case.
        body: The body, `b""` if there was none.
        request_id: The `request-id` header of the answer.
        origin: The server that received it: `flora`, or `media` for the storage host.
        route: The operation and the parameters in the path.
        json: The parsed body, `None` if it is not JSON.
    """

    method: str
    target: str
    query: MultiMapping[str]
    headers: CIMultiDictProxy[str] = attrs.field(repr=False)  # the API key is among them
    body: bytes = attrs.field(repr=False)
    request_id: str
    origin: Origin
    route: Route = attrs.field(repr=False)
    json: Any = attrs.field(init=False, repr=False, default=attrs.Factory(_parse_json, takes_self=True))

    @property
    def path(self) -> str:
        """The target without its query, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def is_form(self) -> bool:
        """Whether the body is a multipart form."""
        return self.headers.get("Content-Type", "").lower().startswith("multipart/form-data")

    @property
    def operation(self) -> str:
        """The operation that was requested.

        `start`, `poll`, `history` and `technique` are the operations on technique runs, `media` and `upload` those
        of the storage host; any other operation has its name in FLORA's SDKs, such as `assets.create`. A request
        that matches no operation is `other`.
        """
        return self.route.operation
