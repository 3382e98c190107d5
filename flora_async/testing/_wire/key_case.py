"""The three ways in which FLORA is known to spell the keys of its answers."""

import re
from functools import lru_cache
from typing import Any, Literal, TypeAlias

KeyCase: TypeAlias = Literal["camel", "snake", "both"]

# Keys inside these mappings come from users or from other servers and are never renamed.
_FREE_FORM = {
    *("data", "form_fields", "layer_editor_documents", "metadata", "model_parameters", "node_inputs"),
    *("node_outputs", "node_params", "params", "properties", "style"),
}
# Here only the keys of the first level are the user's; the values are FLORA's objects.
_KEYED_BY_USER = {"created"}


def convert_keys(payload: Any, case: KeyCase) -> Any:  # noqa: ANN401 - any JSON value
    """Return a snake_case payload with its keys spelled in another case.

    `both` is the mixture that API surfaces of different ages produce: camelCase at the top and at every second level
    below it, snake_case in between, and ids under both names. Values and free-form mappings are left alone.

    Example:
        >>> convert_keys({"run_id": "run_1", "poll_url": "…", "meta": {"next_cursor": "a_b"}}, "both")
        {'runId': 'run_1', 'run_id': 'run_1', 'pollUrl': '…', 'meta': {'next_cursor': 'a_b'}}
        >>> convert_keys({"upload": {"form_fields": {"a_b": "c"}}}, "camel")
        {'upload': {'formFields': {'a_b': 'c'}}}
    """
    return payload if case == "snake" else _convert(payload, case, 0)


def _convert(value: Any, case: KeyCase, depth: int) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return [_convert(item, case, depth) for item in value]
    if isinstance(value, dict):
        return {
            name: _convert_field(key, item, case, depth + 1)
            for key, item in value.items()
            for name in _spellings(key, case, depth % 2)
        }
    return value


def _convert_field(key: str, value: Any, case: KeyCase, depth: int) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict) and key in _FREE_FORM:
        return value
    if isinstance(value, dict) and key in _KEYED_BY_USER:
        return {name: _convert(item, case, depth) for name, item in value.items()}
    return _convert(value, case, depth)


@lru_cache(maxsize=1024)  # FLORA has a few hundred keys, and every answer contains a dozen of them
def _spellings(key: str, case: KeyCase, parity: int) -> tuple[str, ...]:
    camel = re.sub("_([a-z])", lambda match: match[1].upper(), key)
    if case == "camel":
        return (camel,)
    if key.endswith("_id"):
        return camel, key
    return (key if parity else camel,)
