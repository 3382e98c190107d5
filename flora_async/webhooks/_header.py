"""The `Flora-Signature` header: found in whatever a framework calls headers, and taken apart."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from flora_async.errors import WebhookVerificationError

Headers: TypeAlias = Mapping[Any, Any] | Iterable[tuple[Any, Any]] | str | bytes
"""A mapping of any framework, (name, value) pairs as ASGI has them, or the header's value itself."""

# As it is sent, and as WSGI's environ and Django's `request.META` have it.
_NAMES: Final = {"flora-signature", "http_flora_signature"}
_LONGEST_HEADER: Final = 4096
# `int` reads the digits of every script; 15 of these are a number that a float holds exactly.
_SECONDS: Final = re.compile("[0-9]{1,15}")


class Signature(NamedTuple):
    """What the header says.

    Attributes:
        timestamp: When it was signed, in Unix seconds, digit by digit as it was signed.
        candidates: The hexadecimal signatures of scheme `v1`, of which any may be the right one.
    """

    timestamp: str
    candidates: tuple[str, ...]


def find_signature(headers: Headers) -> Signature:
    """Find the header and take it apart.

    Raises:
        WebhookVerificationError: It is missing, there twice, or not as FLORA writes it.
        TypeError: `headers` are no headers.
    """
    values = list(_values(headers))
    if not values or not values[0].strip():
        raise WebhookVerificationError(
            "There is no Flora-Signature header: pass all headers of the request; if it has none, it is not FLORA's",
            "no_header",
        )
    if len(values) > 1:
        raise _malformed("is there more than once")
    if len(values[0]) > _LONGEST_HEADER:
        raise _malformed(f"is longer than {_LONGEST_HEADER} characters")
    return _parse(values[0])


def _parse(header: str) -> Signature:
    parts = [(name.strip(), value.strip()) for name, _, value in (part.partition("=") for part in header.split(","))]
    timestamps = [value for name, value in parts if name == "t"]
    candidates = tuple(value for name, value in parts if name == "v1" and value)
    if not timestamps:
        raise WebhookVerificationError("The Flora-Signature header has no timestamp (t=…)", "no_timestamp")
    if len(timestamps) > 1:
        raise _malformed("has more than one timestamp (t=…)")
    if not _SECONDS.fullmatch(timestamps[0]):
        raise _malformed(f"has a timestamp that is no Unix time in seconds: t={timestamps[0][:20]!r}")
    if not candidates:
        raise WebhookVerificationError("The Flora-Signature header has no signature (v1=…)", "no_signature")
    return Signature(timestamps[0], candidates)


def _malformed(flaw: str) -> WebhookVerificationError:
    return WebhookVerificationError(f"The Flora-Signature header {flaw}: it is not as FLORA writes it", "malformed")


def _values(headers: Headers) -> Iterator[str]:
    """Every value of the header, since a second one is a flaw."""
    if isinstance(headers, str | bytes):
        yield _text(headers)
        return
    items = getattr(headers, "items", None)
    pairs: Any = items() if callable(items) else headers
    try:
        named = [value for name, value in pairs if _text(name).lower() in _NAMES]
    except (TypeError, ValueError):
        kind = type(headers).__name__
        raise TypeError(
            f"headers must be a mapping, (name, value) pairs or the value of Flora-Signature, not {kind}"
        ) from None
    for value in named:
        yield from map(_text, value if isinstance(value, list | tuple) else [value])


def _text(value: object) -> str:
    """A name or value as text; of anything else, nothing."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""
