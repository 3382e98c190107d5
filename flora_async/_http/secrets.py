"""Keep the API key out of everything that is shown: reprs, errors and log records."""

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Final, NoReturn, SupportsIndex

# A shorter secret could be an ordinary word, and masking that would damage answers.
_MIN_LENGTH: Final = 8
_MASK: Final = "***"
# JSON that holds JSON doubles them: this is four levels deep.
_MAX_BACKSLASHES: Final = 16
# Looking through this many bytes takes milliseconds; meanwhile no other thread runs.
_STEP: Final = 64 * 1024


def _refuse_pickling(_: object, __: SupportsIndex) -> NoReturn:
    raise TypeError("a session of flora_async cannot be pickled, as it holds the API key: make one where it is used")


class Secret(str):
    """Text that is sent as it is but shows as `'***'` in every repr, sliced or whole, and cannot be pickled."""

    __slots__ = ()
    __reduce_ex__ = _refuse_pickling

    def __repr__(self) -> str:
        return f"'{_MASK}'"

    def __getitem__(self, index: SupportsIndex | slice) -> "Secret":
        return Secret(super().__getitem__(index))


class _SecretBytes(bytes):
    """Bytes that show as `b'***'` in every repr, and cannot be pickled."""

    __slots__ = ()
    __reduce_ex__ = _refuse_pickling

    def __repr__(self) -> str:
        return f"b'{_MASK}'"


class Redactor:
    """Masks a secret in what a server sends: plain, escaped as in URLs, JSON or HTML, in Base64, or in UTF-16.

    Args:
        secret: What to mask; text that is shorter than 8 characters is not looked for.
    """

    __slots__ = ("_escaped", "_literals", "_longest", "_pattern", "_secret", "_wide")

    def __init__(self, secret: str) -> None:
        self._secret = _SecretBytes(secret.encode()) if len(secret) >= _MIN_LENGTH else None
        # A run of backslashes without a limit would take time that grows with the square of its length.
        escape = rb"(?:\\{1,%d}(?:u00|x)|%%(?:25){0,3})" % _MAX_BACKSLASHES
        spelling = rb"(?:%b|%b%02x|&#x0{0,4}%02x;|&#0{0,4}%d;)"
        spellings = [spelling % (re.escape(bytes((code,))), escape, code, code, code) for code in secret.encode()]
        self._wide: list[bytes] = [_SecretBytes(part) for part in _in_utf_16_and_32(secret)]
        self._literals: list[bytes] = [_SecretBytes(part) for part in (secret.encode(), *_in_base64(secret))]
        literals = [re.escape(literal) for literal in (*self._literals, *self._wide)]
        self._pattern = re.compile(b"|".join([b"".join(spellings), *literals]), re.IGNORECASE)
        codes = b"|".join({b"%02x" % code for code in secret.encode()})
        numbers = b"|".join({b"%d" % code for code in secret.encode()})
        escaped = rb"(?:\\u00|\\x|%%(?:25){0,3}|&#x0{0,4})(?:%b)|&#0{0,4}(?:%b);" % (codes, numbers)
        self._escaped = re.compile(escaped, re.IGNORECASE)
        self._longest = len(spellings) * (_MAX_BACKSLASHES + len("u00ff"))

    def text(self, text: str) -> str:
        """The text without the secret."""
        content = text.encode(errors="surrogatepass")
        return text if self.is_clean(content) else self._masked(content).decode(errors="surrogatepass")

    def is_clean(self, body: bytes) -> bool:
        """Whether a quick look shows that a body does not hold the secret."""
        if self._secret is None or not (b"\\" in body or b"%" in body or b"&" in body or self._names(body)):
            return True
        return len(body) <= _STEP and not self._may_hold(body)

    def body(self, body: bytes) -> bytes:
        """A body without the secret. One that is large and not clean takes time, but lets other threads run."""
        return body if self.is_clean(body) else self._masked(body)

    def headers(self, headers: Mapping[str, str]) -> list[tuple[str, str]]:
        """Headers without the secret."""
        together = "\n".join([f"{name}\n{value}" for name, value in headers.items()])
        if self.is_clean(together.encode(errors="surrogatepass")):
            return list(headers.items())
        return [(self.text(name), self.text(value)) for name, value in headers.items()]

    def _may_hold(self, content: bytes) -> bool:
        return self._secret is not None and (self._names(content) or self._escaped.search(content) is not None)

    def _names(self, content: bytes) -> bool:
        if b"\0" in content and any(literal in content for literal in self._wide):
            return True
        for literal in self._literals:  # noqa: SIM110 - faster, and done for every answer
            if literal in content:
                return True
        return False

    def _masked(self, content: bytes) -> bytes:
        pieces: list[bytes] = []
        done = 0
        for end in range(_STEP, len(content) + _STEP, _STEP):
            # A spelling that begins before the end of the step may go on behind it.
            start, part = done, content[done : end + self._longest]
            for match in self._pattern.finditer(part) if self._may_hold(part) else ():
                if start + match.start() >= end:
                    break
                pieces += content[done : start + match.start()], _MASK.encode()
                done = start + match.end()
            rest = max(done, min(end, len(content)))
            pieces.append(content[done:rest])
            done = rest
        return b"".join(pieces)


def _in_utf_16_and_32(secret: str) -> list[bytes]:
    """What is always a part of the secret there, whichever byte of a character comes first."""
    return [secret.encode("utf-16-le")[:-1], secret.encode("utf-32-le")[:-3]]


def _in_base64(secret: str) -> list[bytes]:
    """What is always a part of the secret there, whatever is beside it."""
    plain = secret.encode()
    # Three bytes make four characters, so those at the edges depend on the neighbors.
    packed = [b64encode(bytes(before) + plain)[(0, 2, 3)[before] :].rstrip(b"=")[:-1] for before in range(3)]
    return list(dict.fromkeys([*packed, *(part.translate(bytes.maketrans(b"+/", b"-_")) for part in packed)]))
