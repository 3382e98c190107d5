"""The three ways in which FLORA is known to write its keys."""

import re
from functools import lru_cache
from typing import Any, Literal, TypeAlias

KeyCase: TypeAlias = Literal["camel", "snake", "both"]

# A mapping under one of these names is the user's, or another server's, down to the last key.
_FREE = {
    *("data", "form_fields", "layer_editor_documents", "metadata", "model_parameters", "node_inputs"),
    *("node_outputs", "node_params", "params", "properties", "style"),
}
# Of these only the first level is: names that the user chose for what FLORA describes.
_NAMED_BY_USER = {"created"}


def recase(payload: Any, case: KeyCase) -> Any:  # noqa: ANN401  any JSON value
    """The payload, written in snake_case, with its keys in another case.

    `both` is the mix that surfaces of different age give: camelCase at the top and at every second level
    below, snake_case between, and ids under both names. Only FLORA's own fields are keys of a payload; what
    users send is in its values and in its free-form mappings, which stay as they are.

    Example:
        >>> recase({"run_id": "run_1", "poll_url": "…", "meta": {"next_cursor": "a_b"}}, "both")
        {'runId': 'run_1', 'run_id': 'run_1', 'pollUrl': '…', 'meta': {'next_cursor': 'a_b'}}
        >>> recase({"upload": {"form_fields": {"a_b": "c"}}}, "camel")
        {'upload': {'formFields': {'a_b': 'c'}}}
    """
    return payload if case == "snake" else _renamed(payload, case, 0)


def _renamed(value: Any, case: KeyCase, depth: int) -> Any:  # noqa: ANN401  any JSON value
    if isinstance(value, list):
        return [_renamed(item, case, depth) for item in value]
    if isinstance(value, dict):
        return {
            name: _within(key, item, case, depth + 1)
            for key, item in value.items()
            for name in _names(key, case, depth % 2)
        }
    return value


def _within(key: str, value: Any, case: KeyCase, depth: int) -> Any:  # noqa: ANN401  any JSON value
    if isinstance(value, dict) and key in _FREE:
        return value
    if isinstance(value, dict) and key in _NAMED_BY_USER:
        return {name: _renamed(item, case, depth) for name, item in value.items()}
    return _renamed(value, case, depth)


@lru_cache(maxsize=1024)  # FLORA has some hundred keys, and each answer a dozen of them
def _names(key: str, case: KeyCase, parity: int) -> tuple[str, ...]:
    camel = re.sub("_([a-z])", lambda match: match[1].upper(), key)
    if case == "camel":
        return (camel,)
    if key.endswith("_id"):
        return camel, key
    return (key if parity else camel,)
