"""Headers and query parameters that a session, or a view of it, adds to each of its requests to FLORA."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen
from yarl import URL

from flora_async._http.secrets import Secret
from flora_async._http.transport import Request
from flora_async._http.urls import ParameterValue, with_query

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t -~]*")
# What this package, or HTTP itself, decides for each request.
_RESERVED: Final = frozenset({
    "accept", "accept-encoding", "authorization", "connection", "content-encoding", "content-length", "content-type",
    "expect", "host", "idempotency-key", "keep-alive", "proxy-authorization", "proxy-connection", "range", "te",
    "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


def conceal_values(headers: object) -> object:
    """Headers with values that no repr shows; whatever is wrong with them is for `check_headers` to say."""
    if not isinstance(headers, Mapping):
        return None if headers is None else type(headers)
    return {
        name: Secret(value) if isinstance(value, str) else None if value is None else type(value)
        for name, value in headers.items()
    }


def check_headers(headers: object) -> dict[str, Secret | None]:
    """Check concealed headers. No message here shows a value.

    Raises:
        TypeError: They are not a mapping of text, or of None.
        ValueError: A name or a value is malformed, or the name is one that this package sends itself.
    """
    if headers is None:
        return {}
    if not isinstance(headers, dict):
        raise TypeError(f"headers must be a mapping of names to values, not of type {getattr(headers, '__name__', '')}")
    seen: set[str] = set()
    for name, value in headers.items():
        if not isinstance(name, str):
            raise TypeError(f"headers: a name must be text, not {name!r:.60}")
        if not _NAME.fullmatch(name):
            raise ValueError(f"headers: {name!r:.60} is not the name of a header")
        if name.lower() in _RESERVED:
            raise ValueError(f"headers: {name!r} is set for each request as it needs: leave it out")
        if name.lower() in seen:
            raise ValueError(f"headers: {name!r} is given twice")
        seen.add(name.lower())
        if isinstance(value, type):
            raise TypeError(f"headers: the value of {name!r} must be text, not of type {value.__name__}")
        if value is not None and not _VALUE.fullmatch(value):
            raise ValueError(f"headers: the value of {name!r} must be printable ASCII on one line")
    return headers


def check_query(query: object, argument: str = "query") -> dict[str, ParameterValue]:
    """Check query parameters.

    Raises:
        TypeError: They are not a mapping of text to text, numbers, bools or None.
        ValueError: A name is blank, a number is not finite, or a text cannot be written in UTF-8.
    """
    if query is None:
        return {}
    if not isinstance(query, Mapping):
        raise TypeError(f"{argument} must be a mapping of names to values, not of type {type(query).__name__}")
    for name, value in query.items():
        if not isinstance(name, str):
            raise TypeError(f"{argument}: a name must be text, not {name!r:.60}")
        if not name.strip():
            raise ValueError(f"{argument}: a name must not be blank")
        if not isinstance(value, str | int | float | None):
            raise TypeError(
                f"{argument}: the value of {name!r:.60} must be text or a number, not {type(value).__name__}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{argument}: the value of {name!r:.60} must be finite, not {value!r}")
        with_query("", {name: value})  # where it cannot be written, it is refused here
    return dict(query)


@frozen
class RequestDefaults:
    """What is added to each request to FLORA, and to no request to any other host.

    Attributes:
        headers: Headers by name.
        query: Query parameters, unless the request has them already.
    """

    headers: Mapping[str, Secret] = field(factory=dict)
    query: Mapping[str, ParameterValue] = field(factory=dict, repr=False)

    def updated(self, headers: object, query: object) -> "RequestDefaults":
        """These with others, which replace those of the same name; a value of None removes one.

        Args:
            headers: Headers, concealed.
            query: Query parameters.

        Raises:
            TypeError: As `check_headers` and `check_query`.
            ValueError: Likewise.
        """
        given = check_headers(headers)
        replaced = {name.lower() for name in given}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in replaced}
        added = {name: value for name, value in given.items() if value is not None}
        merged: dict[str, Any] = {**self.query, **check_query(query)}
        return RequestDefaults(kept | added, {name: value for name, value in merged.items() if value is not None})

    def __bool__(self) -> bool:
        """Whether there is anything to add."""
        return bool(self.headers or self.query)

    def added_to(self, request: Request) -> Request:
        """The request with the defaults, if it goes to FLORA."""
        if "Authorization" not in request.headers:
            return request
        url = request.url
        missing = {name: value for name, value in self.query.items() if name not in url.query}
        if missing:
            url = URL(with_query(str(url), missing), encoded=True)
        return request._replace(url=url, headers={**self.headers, **request.headers})
