"""Find the `Flora-Signature` header in any framework's headers, and parse it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from flora_async.errors import WebhookVerificationError

Headers: TypeAlias = Mapping[Any, Any] | Iterable[tuple[Any, Any]] | str | bytes
"""Any framework's mapping, (name, value) pairs as in ASGI, or the header's value itself."""

# As it is sent, and as in WSGI's environ and Django's `request.META`.
_NAMES: Final = {"flora-signature", "http_flora_signature"}
_MAX_HEADER: Final = 4096
# `int` would read the digits of every script. A float holds 15 digits exactly.
_SECONDS: Final = re.compile("[0-9]{1,15}")


class Signature(NamedTuple):
    """A parsed header.

    Attributes:
        timestamp: When it was signed, in Unix seconds, exactly as written in the header, since that text is signed.
        candidates: The hexadecimal signatures of scheme `v1`, any of which may match.
    """

    timestamp: str
    candidates: tuple[str, ...]


def find_signature(headers: Headers) -> Signature:
    """Find the header and parse it.

    Raises:
        WebhookVerificationError: It is missing, repeated or malformed.
        TypeError: `headers` has the wrong type.
    """
    values = list(_values(headers))
    if not values or not values[0].strip():
        raise WebhookVerificationError(
            "There is no Flora-Signature header: pass all headers of the request; without one, it is not from FLORA",
            "no_header",
        )
    if len(values) > 1:
        raise _malformed("is repeated")
    if len(values[0]) > _MAX_HEADER:
        raise _malformed(f"is longer than {_MAX_HEADER} characters")
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
        raise _malformed(f"has a timestamp that is not in Unix seconds: t={timestamps[0][:20]!r}")
    if not candidates:
        raise WebhookVerificationError("The Flora-Signature header has no signature (v1=…)", "no_signature")
    return Signature(timestamps[0], candidates)


def _malformed(problem: str) -> WebhookVerificationError:
    return WebhookVerificationError(
        f"The Flora-Signature header {problem}: FLORA does not send such a header", "malformed"
    )


def _values(headers: Headers) -> Iterator[str]:
    """All values of the header."""
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
    """A name or value as text; "" for anything else."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""
