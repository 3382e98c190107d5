"""Recognize what is in a store, and show its URL without secrets."""

import os
import re
import sys
from typing import Any, Final
from urllib.parse import unquote, urlsplit

_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+:(?::[a-z][a-z0-9+.-]+:)*//", re.IGNORECASE)
_WEB: Final = frozenset({"http", "https"})


def is_url(value: object) -> bool:
    """Whether a text is a URL and not a path."""
    return isinstance(value, str) and _URL.match(value) is not None


def is_stored(value: object) -> bool:
    """Whether a value names a file of a store: a `UPath` that is not a path of this machine, or fsspec's `OpenFile`."""
    upath, core = sys.modules.get("upath"), sys.modules.get("fsspec.core")  # what is not loaded cannot be an instance
    is_upath = upath is not None and isinstance(value, upath.UPath) and not isinstance(value, os.PathLike)
    return is_upath or (core is not None and isinstance(value, core.OpenFile))


def shown_url(url: str) -> str:
    """A URL without its password and without its query."""
    return without_password(url.partition("?")[0])[0]


def without_password(url: str) -> tuple[str, dict[str, Any]]:
    """Take user name and password out of a URL; `container@account`, as in abfs, is neither."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    user, at, host = host.rpartition("@")
    if not at or ":" not in user:
        return url, {}
    name, _, password = user.partition(":")
    return f"{scheme}{separator}{host}{slash}{path}", {"username": unquote(name), "password": unquote(password)}


def refuse_store_url(name: str, value: object) -> None:
    """Refuse the URL of a store, given as text, where FLORA takes a file.

    Raises:
        ValueError: The text is such a URL.
    """
    if is_store_url(value):
        shown = shown_url(str(value))
        raise ValueError(f"{name} {shown!r:.120} cannot be used, as FLORA fetches https alone: {STORE_REMEDY}")


def is_store_url(value: object) -> bool:
    """Whether a text is a URL that FLORA cannot fetch, as `s3://bucket/photo.png` is."""
    return is_url(value) and urlsplit(str(value)).scheme.lower() not in _WEB


STORE_REMEDY: Final = "for a file in a store, pass flora_async.storage.open(url)"
