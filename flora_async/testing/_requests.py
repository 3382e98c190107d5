"""What arrived at the local FLORA, and which operation it asks for."""

import json
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

import attrs
from multidict import CIMultiDictProxy, MultiMapping

Operation: TypeAlias = Literal["start", "poll", "history", "technique", "media", "other"]


class Route(NamedTuple):
    """An operation and the names in its path, percent-decoded; a name that the path has not is empty."""

    operation: Operation
    technique: str = ""
    run: str = ""
    file: str = ""


def route(method: str, path: str) -> Route:  # noqa: PLR0911 - one for each operation
    """Read a path as it came over the wire: it is split before it is decoded, so `%2F` is part of a name."""
    match method, [unquote(segment) for segment in path.split("/")]:
        case "POST", ["", "api", "v1", "techniques", technique, "runs"]:
            return Route("start", technique)
        case "GET", ["", "api", "v1", "techniques", technique, "runs", run]:
            return Route("poll", technique, run)
        case "GET", ["", "api", "v1", "runs", run]:
            return Route("poll", run=run)
        case "GET", ["", "api", "v1", "techniques", technique]:
            return Route("technique", technique)
        case "GET", ["", "api", "v1", "technique-runs"]:
            return Route("history")
        case "GET", ["", "media", run, file]:
            return Route("media", run=run, file=file)
    return Route("other")


def _parsed(request: "RecordedRequest") -> Any:  # noqa: ANN401  any JSON value
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
        json: The body parsed, `None` if it is not JSON.
    """

    method: str
    target: str
    query: MultiMapping[str]
    headers: CIMultiDictProxy[str]
    body: bytes
    request_id: str
    json: Any = attrs.field(init=False, repr=False, default=attrs.Factory(_parsed, takes_self=True))

    @property
    def path(self) -> str:
        """The target without its query, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def route(self) -> Route:
        """The operation and the names in the path."""
        return route(self.method, self.path)

    @property
    def operation(self) -> Operation:
        """Which operation it asks for: start, poll, history, technique, media or other."""
        return self.route.operation
