"""Keep the API key out of everything that is shown: reprs, errors and log records."""

import re
from collections.abc import Mapping
from typing import Final, SupportsIndex

# A shorter secret is an ordinary word, and replacing it would damage answers.
_MIN_LENGTH: Final = 8
_MASK: Final = "***"
_ESCAPE: Final = rb"\u00"


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

    __slots__ = ("_escaped", "_pattern", "_secret")

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode() if len(secret) >= _MIN_LENGTH else None
        spellings = (rf"(?:{re.escape(char)}|(?:\\+u00|\\+x|%){ord(char):02x})" for char in secret)
        self._pattern = re.compile("".join(spellings), re.IGNORECASE)
        codes = {f"{ord(char):02x}" for char in secret}
        either_case = "|".join(sorted(codes | {code.upper() for code in codes}))
        self._escaped = re.compile(rf"\\u00(?:{either_case})".encode())

    def text(self, text: str) -> str:
        """The text without the secret."""
        if self._secret is None or not ("%" in text or "\\" in text or self._secret in text.encode(errors="replace")):
            return text
        return self._pattern.sub(_MASK, text)

    def body(self, body: bytes) -> bytes:
        """A body without the secret. One that does not hold it is found quickly to be so, and returned as it is."""
        if self._secret is None or (self._secret not in body and not (_ESCAPE in body and self._escaped.search(body))):
            return body
        return self._pattern.sub(_MASK, body.decode("latin-1")).encode("latin-1")

    def headers(self, headers: Mapping[str, str]) -> list[tuple[str, str]]:
        """Headers without the secret."""
        return [(self.text(name), self.text(value)) for name, value in headers.items()]
