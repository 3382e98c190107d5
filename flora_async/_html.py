"""Build the HTML that notebooks show: all text is escaped, and only a few tags and attributes can occur."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Final
from urllib.parse import urlsplit

from flora_async._text import encodable, printable

_MAX_TEXT: Final = 500
_MAX_URL: Final = 4096
_WIDTH: Final = "160"
# What is not listed here cannot be built: no script, no style, no form, and no attribute that handles an event.
_ATTRIBUTES: Final[Mapping[str, frozenset[str]]] = {
    "a": frozenset({"href", "rel", "target"}),
    "audio": frozenset({"controls", "preload", "src"}),
    "b": frozenset(),
    "code": frozenset(),
    "div": frozenset(),
    "img": frozenset({"alt", "loading", "referrerpolicy", "src", "width"}),
    "table": frozenset(),
    "td": frozenset(),
    "th": frozenset(),
    "tr": frozenset(),
    "video": frozenset({"controls", "preload", "src", "width"}),
}


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


SPACE: Final = Html(" ")


def element(tag: str, *content: str, **attributes: str) -> Html:
    """Build an element; content that is not `Html` is shown as the text that it is.

    Raises:
        ValueError: The tag or an attribute is not one of the few that are allowed.
    """
    if tag not in _ATTRIBUTES or not attributes.keys() <= _ATTRIBUTES[tag]:
        raise ValueError(f"<{tag}> with {sorted(attributes)} is not allowed here")
    inside = "".join(part if isinstance(part, Html) else _escaped(part) for part in content)
    opening = " ".join((tag, *(f'{name}="{escape(value)}"' for name, value in attributes.items())))
    return Html(f"<{opening}>" if tag == "img" else f"<{opening}>{inside}</{tag}>")


def card(title: str, facts: Mapping[str, object], *below: Html) -> Html:
    """Build a table of facts under a title; those that are None or empty are left out."""
    rows = [
        element("tr", element("th", name), element("td", value if isinstance(value, Html) else str(value)))
        for name, value in facts.items()
        if value not in {None, ""}
    ]
    return element("div", element("b", title), element("table", *rows), *below)


def table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> Html:
    """Build a table with a heading."""
    lines = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    return element("table", element("tr", *(element("th", name) for name in names)), *lines)


def preview(kind: str, url: str) -> Html:
    """Show a medium by its URL, or the text of the URL if it cannot be linked.

    Args:
        kind: The type of the output, as FLORA names it: `imageUrl`, `videoUrl`, `audioUrl` or another.
        url: Where it is.
    """
    if not _is_linkable(url):
        return element("code", url)
    if kind == "videoUrl":
        return element("video", src=url, controls="", preload="metadata", width=_WIDTH)
    if kind == "audioUrl":
        return element("audio", src=url, controls="", preload="none")
    shown: str = url
    if kind == "imageUrl":
        shown = element("img", src=url, alt="output", width=_WIDTH, loading="lazy", referrerpolicy="no-referrer")
    return element("a", shown, href=url, rel="noopener noreferrer", target="_blank")


def usd(cost: float | None) -> str | None:
    """Show an amount."""
    return None if cost is None else f"{cost:.4g} USD"


def seconds(duration: float | None) -> str | None:
    """Show a duration."""
    return None if duration is None else f"{duration:.1f} s"


def _escaped(text: str) -> str:
    return escape(printable(encodable(text), _MAX_TEXT))


def _is_linkable(url: str) -> bool:
    """Whether a URL is one of http or https with a host, and nothing in it could be read as something else."""
    if len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or any(char in url for char in " \"'<>\\`"):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
