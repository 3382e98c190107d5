"""Read the `name=value` arguments of commands."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flora_async import InputValue, storage
from flora_async.media.store_urls import is_store_url, without_password


def read_pairs(option: str, pairs: Iterable[str]) -> dict[str, str]:
    """Return the names and values of an option that is given several times.

    Raises:
        ValueError: A pair does not look like `name=value`, or a name is given twice.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.strip():
            raise ValueError(f"{option} {pair!r:.100} must look like id=value")
        if name in values:
            raise ValueError(f"{option} {name!r:.100} is given twice: give each name one value")
        values[name] = value
    return values


def read_inputs(pairs: Iterable[str]) -> dict[str, InputValue]:
    """Return the inputs of a run: `id=text`, `id=@file`, or `id=@@text` for text that begins with @.

    Raises:
        ValueError: A pair is malformed, or names a file that does not exist.
        ImportError: A file is in a store, and what reads it is not installed.
    """
    return {name: _file_or_text(name, value) for name, value in read_pairs("--input", pairs).items()}


def read_params(option: str, pairs: Iterable[str]) -> dict[str, Any]:
    """Return parameters: JSON where the value is JSON, text otherwise, and `name=@file` for a file.

    Raises:
        ValueError: A pair is malformed, or names a file that does not exist.
    """
    return {name: json_or_text(_file_or_text(name, value)) for name, value in read_pairs(option, pairs).items()}


def _file_or_text(name: str, value: str) -> InputValue:
    if value.startswith("@@"):
        return value[1:]
    if not value.startswith("@"):
        return value
    if is_store_url(value[1:]):
        return storage.open(value[1:])
    path = Path(value[1:])
    if not path.is_file():
        raise ValueError(f"{name}={value:.200}: there is no such file; write @@ for text that begins with @")
    return path


def without_passwords(pairs: Iterable[str]) -> list[str]:
    """The pairs as they may be shown: a file in a store without the password of its URL."""
    return [without_password(pair)[0] if "=@" in pair and "=@@" not in pair else pair for pair in pairs]


def json_or_text(value: object) -> Any:  # noqa: ANN401 - any JSON value
    """Return what a text says as JSON, or the text; anything but text stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
