"""Parse JSON tolerantly, but within limits on size and depth."""

import codecs
import json
import math
from collections.abc import Callable
from typing import Any, Final

from flora_async.errors import DecodeError

# Real answers nest about ten levels deep. Interpreters give up at different depths; this one is the same on all.
MAX_DEPTH: Final = 200
# Each model comes from an object, and each value ends at a comma or a bracket, so these limit what a body can become.
# They also limit how long the parser keeps other threads waiting: about 50 ms, most of it for the names of fields, each
# of which is followed by a colon. Both marks occur in long texts as well.
_MAX_CONTAINERS: Final = 100_000
_MAX_COMMAS: Final = 250_000
_MAX_COLONS: Final = 150_000
# Python takes time for an integer that grows with the square of its length.
_MAX_DIGITS: Final = 1_000
_STEP: Final = 1024 * 1024
_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def parse_json(body: bytes, *, request_id: str | None = None) -> Any:  # noqa: ANN401 - any JSON value
    """Read a body as JSON, even if its encoding is not clean.

    A byte order mark and trailing NULs are skipped, UTF-16 and UTF-32 are recognized, and other bytes that are not
    UTF-8 become U+FFFD. Numbers that JSON does not have (NaN,
    Infinity, 1e999), or that are too long to be read, stay text. So every value that is read can be written as JSON
    and read back as an equal one.

    Raises:
        DecodeError: The body is not JSON, or larger or deeper than any real answer; `transient`, because it is
            probably not from FLORA.
    """
    containers = body.count(b"{") + body.count(b"[")
    if containers > _MAX_CONTAINERS or (
        len(body) > _MAX_COLONS and (body.count(b",") > _MAX_COMMAS or body.count(b":") > _MAX_COLONS)
    ):
        raise DecodeError("", "it holds too many values", request_id=request_id, transient=True)
    text = _text(body).removeprefix("\ufeff").rstrip("\0")
    try:
        data = _decode(text)
        deep = containers > MAX_DEPTH and _is_deep(data)
    except RecursionError:
        data, deep = None, True
    except ValueError:
        raise DecodeError("", _describe_text(text), request_id=request_id, transient=True) from None
    if deep:
        reason = f"it is nested more than {MAX_DEPTH} levels deep"
        raise DecodeError("", reason, request_id=request_id, transient=True)
    return data


def _text(body: bytes) -> str:
    if b"\0" in body[:4] or body[:2] in _MARKS:
        try:
            return body.decode(json.detect_encoding(body))
        except UnicodeDecodeError:
            pass
    try:
        return body.decode()
    except UnicodeDecodeError:  # which takes far longer to replace
        pieces = (body[start : start + _STEP] for start in range(0, len(body), _STEP))
        return "".join(codecs.iterdecode(pieces, "utf-8", "replace"))


def _is_deep(data: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Whether data is nested too deeply; checked level by level, without recursion."""
    level, depth = [data], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return True
        level = [
            value
            for container in level
            if type(container) in _CONTAINERS
            for value in (container.values() if type(container) is dict else container)
            if type(value) in _CONTAINERS
        ]
    return False


_CONTAINERS: Final = frozenset({dict, list})


def _finite(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


_decode: Final[Callable[[str], Any]] = json.JSONDecoder(
    parse_constant=str, parse_float=_finite, parse_int=_integer
).decode


def _describe_text(text: str) -> str:
    """Name no more than the first character: a proxy's page can quote the request, key included."""
    start = text.lstrip()[:1]
    return f"it is not JSON, as it begins with {start!r}" if start else "it is empty"
