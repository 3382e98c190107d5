"""Keep the API key out of everything that is shown: reprs, errors and log records."""

import re
from collections.abc import Mapping
from typing import Final, SupportsIndex

# A shorter secret could be an ordinary word, and masking that would damage answers.
_MIN_LENGTH: Final = 8
_MASK: Final = "***"
# JSON that holds JSON doubles them: this is four levels deep.
_MAX_BACKSLASHES: Final = 16
# Looking through this many bytes takes milliseconds; meanwhile no other thread runs.
_STEP: Final = 64 * 1024


class Secret(str):
    """Text that is sent as it is but shows as `'***'` in every repr, sliced or whole."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{_MASK}'"

    def __getitem__(self, index: SupportsIndex | slice) -> "Secret":
        return Secret(super().__getitem__(index))


class Redactor:
    """Masks a secret in what a server sends, whether spelled plainly, percent-encoded or as JSON escapes.

    Args:
        secret: What to mask; text that is shorter than 8 characters is not looked for.
    """

    __slots__ = ("_escaped", "_longest", "_pattern", "_secret")

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode() if len(secret) >= _MIN_LENGTH else None
        # A run of backslashes without a limit would take time that grows with the square of its length.
        escape = rb"(?:\\{1,%d}(?:u00|x)|%%)" % _MAX_BACKSLASHES
        spellings = [rb"(?:%b|%b%02x)" % (re.escape(bytes((code,))), escape, code) for code in secret.encode()]
        self._pattern = re.compile(b"".join(spellings), re.IGNORECASE)
        codes = b"|".join({b"%02x" % code for code in secret.encode()})
        self._escaped = re.compile(rb"(?:\\u00|\\x|%%)(?:%b)" % codes, re.IGNORECASE)
        self._longest = len(spellings) * (_MAX_BACKSLASHES + len("u00ff"))

    def text(self, text: str) -> str:
        """The text without the secret."""
        content = text.encode(errors="surrogatepass")
        return text if self.is_clean(content) else self._masked(content).decode(errors="surrogatepass")

    def is_clean(self, body: bytes) -> bool:
        """Whether a quick look shows that a body does not hold the secret."""
        if self._secret is None or not (b"\\" in body or b"%" in body or self._secret in body):
            return True
        return len(body) <= _STEP and not self._may_hold(body)

    def body(self, body: bytes) -> bytes:
        """A body without the secret. One that is large and not clean takes time, but lets other threads run."""
        return body if self.is_clean(body) else self._masked(body)

    def headers(self, headers: Mapping[str, str]) -> list[tuple[str, str]]:
        """Headers without the secret."""
        return [(self.text(name), self.text(value)) for name, value in headers.items()]

    def _may_hold(self, content: bytes) -> bool:
        return self._secret is not None and (self._secret in content or self._escaped.search(content) is not None)

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
