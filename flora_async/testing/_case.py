"""The three ways in which FLORA is known to write its keys."""

import re
from typing import Any, Literal, TypeAlias

Case: TypeAlias = Literal["camel", "snake", "both"]


def recase(payload: Any, case: Case) -> Any:  # noqa: ANN401  any JSON value
    """The payload, written in snake_case, with its keys in another case.

    `both` is the mix that surfaces of different age give: camelCase at the top and at every second level
    below, snake_case between, and ids under both names. Only FLORA's own fields are keys of a payload; what
    users send is in its values, which stay as they are.

    Example:
        >>> recase({"run_id": "run_1", "poll_url": "…", "meta": {"next_cursor": "a_b"}}, "both")
        {'runId': 'run_1', 'run_id': 'run_1', 'pollUrl': '…', 'meta': {'next_cursor': 'a_b'}}
    """
    return payload if case == "snake" else _renamed(payload, case, 0)


def _renamed(value: Any, case: Case, depth: int) -> Any:  # noqa: ANN401  any JSON value
    if isinstance(value, list):
        return [_renamed(item, case, depth) for item in value]
    if isinstance(value, dict):
        return {
            name: _renamed(item, case, depth + 1) for key, item in value.items() for name in _names(key, case, depth)
        }
    return value


def _names(key: str, case: Case, depth: int) -> tuple[str, ...]:
    camel = re.sub("_([a-z])", lambda match: match[1].upper(), key)
    if case == "camel":
        return (camel,)
    if key.endswith("_id"):
        return camel, key
    return (key if depth % 2 else camel,)
