"""Find the token of a start in the query of a delivery's URL."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from flora_async._http.urls import START_PARAMETER

Query: TypeAlias = str | bytes | Mapping[str, Any]
"""The query of a URL, percent-encoded, or a framework's mapping of its parameters."""

_MAX_QUERY: Final = 8192
_MAX_TOKEN: Final = 200


def start_token(query: Query) -> str | None:
    """The token that the callback URL of a start carried; None if there is none, or several.

    Raises:
        TypeError: `query` has the wrong type.
    """
    if isinstance(query, str | bytes):
        text = query.decode("latin-1") if isinstance(query, bytes) else query
        if len(text) > _MAX_QUERY:
            return None
        found: list[Any] = [value for name, value in parse_qsl(text.removeprefix("?")) if name == START_PARAMETER]
    elif isinstance(query, Mapping):
        value = query.get(START_PARAMETER)
        found = list(value) if isinstance(value, list | tuple) else [value]
    else:
        raise TypeError(f"query must be text, bytes or a mapping, not {type(query).__name__}")
    token = found[0] if len(found) == 1 else None
    return token if isinstance(token, str) and 0 < len(token) <= _MAX_TOKEN else None
