"""Sign and verify, as on FLORA's page "Webhooks": HMAC-SHA256 (RFC 2104) over `"{t}."` and the raw body.

The signed message consists of the very bytes that arrived, so nothing is parsed before it is verified.
"""

import hashlib
import hmac
import time
from typing import Final, TypeAlias

from flora_async._checks import PRINTABLE, check_number
from flora_async.errors import DecodeError, WebhookVerificationError
from flora_async.models import WebhookEvent
from flora_async.models._codec import decode
from flora_async.webhooks._header import Headers, find_signature

Body: TypeAlias = str | bytes | bytearray | memoryview
"""A body as it arrived, not yet parsed."""

Key: TypeAlias = hmac.HMAC | TypeError | ValueError
"""A secret as a keyed hash, from which it cannot be recovered; for an unusable secret, the error to raise."""

TOLERANCE: Final = 300.0

_MAX_TIMESTAMP: Final = 10**15


def sign(body: Body, secret: str, *, timestamp: float | None = None) -> str:
    """Sign a body as FLORA does, to test code that receives webhooks.

    Args:
        body: The body as it will be sent; text is sent as UTF-8.
        secret: The workspace's signing secret (`whsec_…`), with its prefix.
        timestamp: The time of signing in Unix seconds; a fraction is dropped. None = now.

    Returns:
        The value of the header `Flora-Signature`: `t=<seconds>,v1=<hex>`.

    Raises:
        ValueError: `secret` is empty or malformed, or `timestamp` is out of range.
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
    if seconds >= _MAX_TIMESTAMP:
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
    """Return if a webhook is from FLORA, unchanged and recent; raise otherwise.

    The signature is checked first, in constant time, so that a caller without the secret learns nothing from the rest.

    Args:
        body: The raw body, exactly as it arrived; JSON that was parsed and written again has another signature.
        headers: The request's headers: any mapping (names in any case, text or bytes, WSGI's `HTTP_FLORA_SIGNATURE`
            too), a sequence of (name, value) pairs, or the value of `Flora-Signature` itself.
        secret: The workspace's signing secret (`whsec_…`), with its prefix.
        tolerance: Seconds by which the signature may be older than this machine's clock, or ahead of it; None or 0 =
            any age, which accepts recorded webhooks that are replayed. Default 300.
        now: The time in Unix seconds; None = this machine's.

    Raises:
        WebhookVerificationError: It cannot be verified; `reason` is `no_header`, `no_timestamp`,
            `no_signature`, `malformed`, `mismatch`, `stale` or `future`.
        ValueError: `secret` is empty or malformed, or `tolerance` or `now` is out of range.
        TypeError: An argument has the wrong type.

    Example:
        >>> headers = {"flora-signature": "t=1780000000,v1=00"}
        >>> verify(b"{}", headers, "whsec_test", now=1_780_000_010)
        Traceback (most recent call last):
        flora_async.errors.WebhookVerificationError: No signature matches: ...
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
    """Verify a webhook and read its event. It may be delivered more than once: act once on each `event.id`.

    Args:
        body: As in `verify`.
        headers: As in `verify`.
        secret: As in `verify`.
        tolerance: As in `verify`.
        now: As in `verify`.

    Returns:
        The event.

    Raises:
        WebhookVerificationError: As in `verify`; or the body is not a JSON object (`reason` is `not_json`), or lacks
            essential fields (`malformed`).
        ValueError: `secret` is empty or malformed, or `tolerance` or `now` is out of range.
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
        problem = f"is not an event at {error.path}" if error.path else "is not a JSON object"
        raise WebhookVerificationError(
            f"The webhook is signed, but its body {problem}: {error.reason}", "malformed" if error.path else "not_json"
        ) from error


def check(body: bytes, headers: Headers, key: Key, *, tolerance: float | None, now: float | None) -> None:
    """`verify`, with the secret as a key."""
    hashing = usable(key)
    check_tolerance(tolerance)
    seconds = time.time() if now is None else now
    check_number("now", seconds)
    signature = find_signature(headers)
    if not _matches(signature.candidates, signature.timestamp, body, hashing):
        raise WebhookVerificationError(
            "No signature matches: pass the body exactly as it arrived, and the secret of the run's workspace; "
            "if both are right, it is not from FLORA",
            "mismatch",
        )
    age = seconds - int(signature.timestamp)
    if tolerance and abs(age) > tolerance:
        when, clock = ("ago", "ahead") if age > 0 else ("from now", "behind")
        raise WebhookVerificationError(
            f"Signed {abs(age):.0f} s {when}, beyond the tolerance of {tolerance:g} s: it is replayed, "
            f"or this machine's clock is {clock}",
            "stale" if age > 0 else "future",
        )


def conceal(secret: object) -> Key:
    """Turn the secret into a key, or into the error to raise, so that no traceback has a frame with the secret."""
    if not isinstance(secret, str):
        return TypeError(f"secret must be text, not {type(secret).__name__}")
    if not secret:
        return ValueError("secret is empty: it is the workspace's signing secret (whsec_…), shown with a new API key")
    if not PRINTABLE.fullmatch(secret):
        return ValueError("secret contains white space, a line break or a non-ASCII character: copy it again")
    return hmac.new(secret.encode(), digestmod=hashlib.sha256)


def usable(key: Key) -> hmac.HMAC:
    """Return the keyed hash of a secret, or raise the error of an unusable one.

    Raises:
        TypeError: The secret is not text.
        ValueError: The secret is empty, or contains characters that no secret has.
    """
    if isinstance(key, Exception):
        raise key
    return key


def check_tolerance(tolerance: float | None) -> None:
    """Refuse a tolerance that is not a number of seconds.

    Raises:
        TypeError: It is not a number.
        ValueError: It is negative or not finite.
    """
    if tolerance is not None:
        check_number("tolerance", tolerance)


def raw(body: Body) -> bytes:
    """The bytes that were signed.

    Raises:
        TypeError: It is not a raw body, such as JSON that was parsed.
    """
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")  # text that was never bytes matches no signature
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(f"body must be the raw body, as bytes or text, not {type(body).__name__}")
    return bytes(body)


def _digest(timestamp: str, body: bytes, hashing: hmac.HMAC) -> str:
    message = hashing.copy()
    message.update(f"{timestamp}.".encode())
    message.update(body)
    return message.hexdigest()


def _matches(candidates: tuple[str, ...], timestamp: str, body: bytes, hashing: hmac.HMAC) -> bool:
    """Whether a candidate is the right signature, which stays in this frame."""
    expected = _digest(timestamp, body, hashing).encode()
    return any(hmac.compare_digest(candidate.encode("utf-8", "surrogatepass"), expected) for candidate in candidates)
