"""Signing and verifying, as FLORA's page "Webhooks" has it: HMAC-SHA256 (RFC 2104) over `"{t}."` and the raw body.

The message is made from the very bytes that arrived, the timestamp's digits too: nothing is read before it is proven.
"""

import hashlib
import hmac
import re
import time
from typing import Final, TypeAlias

from flora_async._checks import check_number
from flora_async.errors import DecodeError, WebhookVerificationError
from flora_async.models import WebhookEvent
from flora_async.models._codec import decode
from flora_async.webhooks._header import Headers, find_signature

Body: TypeAlias = str | bytes | bytearray | memoryview
"""A body as it arrived, not yet parsed."""

Key: TypeAlias = hmac.HMAC | TypeError | ValueError
"""A secret as a keyed hash, from which it cannot be read back; of an impossible secret, what is wrong with it."""

TOLERANCE: Final = 300.0
_PRINTABLE: Final = re.compile("[!-~]+")
_FIRST_NO_SECONDS: Final = 10**15


def sign(body: Body, secret: str, *, timestamp: float | None = None) -> str:
    """Sign a body as FLORA does, to test what receives webhooks.

    Args:
        body: The body as it will be sent; text is sent as UTF-8.
        secret: The workspace's signing secret (`whsec_…`), the prefix included.
        timestamp: When it is signed, in Unix seconds; a fraction is cut off. None = now.

    Returns:
        The value of the header `Flora-Signature`: `t=<seconds>,v1=<hex>`.

    Raises:
        ValueError: `secret` cannot be a secret, or `timestamp` no time.
        TypeError: An argument has the wrong type.

    Example:
        >>> sign(b'{"id": "whd_1"}', "whsec_test", timestamp=1_780_000_000)
        't=1780000000,v1=cb0bafcd...'
    """
    key = conceal(secret)
    del secret
    hashing = usable(key)
    seconds = time.time() if timestamp is None else timestamp
    check_number("timestamp", seconds)
    if seconds >= _FIRST_NO_SECONDS:
        raise ValueError(f"timestamp must be in Unix seconds, not {seconds!r:.60}")
    return f"t={int(seconds)},v1={_digest(str(int(seconds)), raw(body), hashing)}"


def verify(
    body: Body,
    headers: Headers,
    secret: str,
    *,
    tolerance: float | None = TOLERANCE,
    now: float | None = None,
) -> None:
    """Return when a webhook is FLORA's, whole and fresh; raise when it is not.

    The signature is checked first, in constant time, so that nobody without the secret learns anything from the rest.

    Args:
        body: The raw body, exactly as it arrived; JSON that was parsed and written again has another signature.
        headers: The request's headers: any mapping (names in any case, text or bytes, WSGI's `HTTP_FLORA_SIGNATURE`
            too), a sequence of (name, value) pairs, or the value of `Flora-Signature` itself.
        secret: The workspace's signing secret (`whsec_…`), the prefix included.
        tolerance: How many seconds the signature may be old, or ahead of this machine's clock; None or 0 = any number,
            which lets recorded webhooks be played again. Default 300.
        now: The time in Unix seconds; None = the machine's.

    Raises:
        WebhookVerificationError: It is not proven to be FLORA's; `reason` is `no_header`, `no_timestamp`,
            `no_signature`, `malformed`, `mismatch`, `stale` or `future`.
        ValueError: `secret`, `tolerance` or `now` cannot be right.
        TypeError: An argument has the wrong type.

    Example:
        >>> headers = {"flora-signature": "t=1780000000,v1=00"}
        >>> verify(b"{}", headers, "whsec_test", now=1_780_000_010)
        Traceback (most recent call last):
        flora_async.errors.WebhookVerificationError: No signature fits: ...
    """
    key = conceal(secret)
    del secret
    check(raw(body), headers, key, tolerance=tolerance, now=now)


def unwrap(
    body: Body,
    headers: Headers,
    secret: str,
    *,
    tolerance: float | None = TOLERANCE,
    now: float | None = None,
) -> WebhookEvent:
    """Verify a webhook and read its event. Each may be delivered more than once: act once on each `event.id`.

    Args:
        body: As in `verify`.
        headers: As in `verify`.
        secret: As in `verify`.
        tolerance: As in `verify`.
        now: As in `verify`.

    Returns:
        The event.

    Raises:
        WebhookVerificationError: As in `verify`; or the body is no JSON object (`reason` is `not_json`), or lacks what
            FLORA promises (`malformed`).
        ValueError: `secret`, `tolerance` or `now` cannot be right.
        TypeError: An argument has the wrong type.

    Example:
        >>> from flora_async.webhooks import sign
        >>> body = b'{"id": "whd_1", "type": "run.failed", "data": {"run_id": "run_1", "status": "failed"}}'
        >>> unwrap(body, sign(body, "whsec_test"), "whsec_test").type
        'run.failed'
    """
    key = conceal(secret)
    del secret
    return read(raw(body), headers, key, tolerance=tolerance, now=now)


def read(body: bytes, headers: Headers, key: Key, *, tolerance: float | None, now: float | None) -> WebhookEvent:
    """`unwrap`, with the secret as a key."""
    check(body, headers, key, tolerance=tolerance, now=now)
    try:
        return decode(body, WebhookEvent)
    except DecodeError as error:
        flaw = f"is no event at {error.path}" if error.path else "is no JSON object"
        raise WebhookVerificationError(
            f"The webhook is signed, but its body {flaw}: {error.reason}", "malformed" if error.path else "not_json"
        ) from error


def check(body: bytes, headers: Headers, key: Key, *, tolerance: float | None, now: float | None) -> None:
    """`verify`, with the secret as a key."""
    hashing = usable(key)
    check_tolerance(tolerance)
    seconds = time.time() if now is None else now
    check_number("now", seconds)
    signature = find_signature(headers)
    if not _fits(signature.candidates, signature.timestamp, body, hashing):
        raise WebhookVerificationError(
            "No signature fits: pass the body exactly as it arrived, and the secret of the run's workspace; "
            "if both are right, it is not FLORA's",
            "mismatch",
        )
    age = seconds - int(signature.timestamp)
    if tolerance and abs(age) > tolerance:
        when, clock = ("ago", "ahead") if age > 0 else ("from now", "behind")
        raise WebhookVerificationError(
            f"Signed {abs(age):.0f} s {when}, beyond the tolerance of {tolerance:g} s: it is played again, "
            f"or this machine's clock is {clock}",
            "stale" if age > 0 else "future",
        )


def conceal(secret: object) -> Key:
    """The secret as a key.

    It refuses nothing, so that no error ever has a frame that holds the secret as it came.
    """
    if not isinstance(secret, str):
        return TypeError(f"secret must be text, not {type(secret).__name__}")
    if not secret:
        return ValueError("secret is empty: it is the workspace's signing secret (whsec_…), shown with a new API key")
    if not _PRINTABLE.fullmatch(secret):
        return ValueError("secret holds white space, a line break or a non-ASCII character: copy it again")
    return hmac.new(secret.encode(), digestmod=hashlib.sha256)


def usable(key: Key) -> hmac.HMAC:
    """The keyed hash, or else what is wrong with the secret, raised.

    Raises:
        TypeError: It is no text.
        ValueError: It is empty, or holds what no secret holds.
    """
    if isinstance(key, Exception):
        raise key
    return key


def check_tolerance(tolerance: float | None) -> None:
    """Refuse what is no number of seconds.

    Raises:
        TypeError: It is no number.
        ValueError: It is negative or no finite number.
    """
    if tolerance is not None:
        check_number("tolerance", tolerance)


def raw(body: Body) -> bytes:
    """The bytes that were signed.

    Raises:
        TypeError: It is no body, such as JSON already parsed.
    """
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")  # text that no bytes can have been gets a signature of nothing
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(f"body must be the raw body, as bytes or text, not {type(body).__name__}")
    return bytes(body)


def _digest(timestamp: str, body: bytes, hashing: hmac.HMAC) -> str:
    message = hashing.copy()
    message.update(f"{timestamp}.".encode())
    message.update(body)
    return message.hexdigest()


def _fits(candidates: tuple[str, ...], timestamp: str, body: bytes, hashing: hmac.HMAC) -> bool:
    """Whether one of them is the signature, which is known in this frame only."""
    expected = _digest(timestamp, body, hashing).encode()
    return any(hmac.compare_digest(candidate.encode("utf-8", "surrogatepass"), expected) for candidate in candidates)
