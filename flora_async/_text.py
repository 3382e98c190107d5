"""Make text from a server or a file safe to show."""

from typing import Final

MAX_SHOWN: Final = 200
# Joiners belong to words and emoji of many scripts; on their own they show nothing and move nothing.
_JOINERS: Final = frozenset("\u200c\u200d")


def printable(text: str, limit: int = MAX_SHOWN) -> str:
    r"""Show text on one line, at most `limit` characters long, in which every character can be seen.

    Runs of white space become one space. Control characters, bidi overrides, lone surrogates and whatever else cannot
    be printed become U+FFFD, so that text from a server cannot forge a line or reverse what is written.

    Example:
        >>> printable("all good\r\n\x1b[31mERROR")
        'all good �[31mERROR'
    """
    # A message can be a whole page: look at no more of it than can be shown, with room for white space that shrinks.
    text = " ".join(text[: 16 * limit].split())
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in _JOINERS else "\ufffd" for char in text)


def encodable(text: str) -> str:
    """Replace what cannot be encoded as UTF-8: lone surrogates, which JSON may contain, become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if not text.isascii() else text
