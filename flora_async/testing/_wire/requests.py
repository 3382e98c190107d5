"""What arrived at the local FLORA, and which operation it asks for."""

import json
from typing import Any

import attrs
from multidict import CIMultiDictProxy, MultiMapping

from flora_async.testing._wire.operations import Origin, Route


def _parsed(request: "RecordedRequest") -> Any:  # noqa: ANN401  any JSON value
    if request.is_form:
        return None
    try:
        return json.loads(request.body)
    except ValueError:
        return None


@attrs.frozen(kw_only=True)
class RecordedRequest:
    """A request as the local FLORA received it.

    Attributes:
        method: The HTTP method.
        target: The request target as it was sent: path and query, percent-encoded.
        query: The decoded query parameters.
        headers: The headers, looked up in any case.
        body: The body, `b""` if there was none.
        request_id: The `request-id` of the answer.
        origin: Where it arrived: `flora`, or `media` for the storage host.
        route: The operation and the names in the path.
        json: The body parsed, `None` if it is not JSON.
    """

    method: str
    target: str
    query: MultiMapping[str]
    headers: CIMultiDictProxy[str]
    body: bytes = attrs.field(repr=False)
    request_id: str
    origin: Origin
    route: Route = attrs.field(repr=False)
    json: Any = attrs.field(init=False, repr=False, default=attrs.Factory(_parsed, takes_self=True))

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
        """Which operation it asks for.

        `start`, `poll`, `history` and `technique` are what technique runs need, `media` and `upload` what the
        storage host does; all else has its name in FLORA's SDKs, such as `assets.create`, or is `other`.
        """
        return self.route.operation
