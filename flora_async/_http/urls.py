"""Build and check URLs: where the key may go, how paths are encoded, which of the server's URLs are followed.

Pure functions over text (RFC 3986). A URL from the server is never used as it was sent: its origin is compared, and
then its path and query are appended to the known origin, so that two parsers cannot disagree about its host.
"""

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from socket import inet_aton, inet_ntoa
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode, urljoin, urlsplit

from flora_async._checks import PUBLIC_IDS, identifier
from flora_async._http.addresses import is_public
from flora_async.errors import UntrustedURLError

_PORTS: Final = {"https": 443, "http": 80}
_NOT_IN_URLS: Final = re.compile(r"[\x00-\x20\x7f\\]")
_ENCODED_DOT: Final = re.compile("%2e", re.IGNORECASE)
_NOT_IN_ENCODED: Final = re.compile(r"[^!-~]")
_PLAIN_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*")
# Servers take no longer ones, and a run can be polled by its id instead.
_MAX_URL: Final = 4096
_VIDEO_ENDINGS: Final = (".mp4", ".webm", ".mov", ".m4v", ".qt", ".mkv", ".avi", ".ogv")

START_PARAMETER: Final = "flora_start"
"""The query parameter of a callback URL that names the start, so that a delivery shows whose run it is about."""

ParameterValue = str | int | float | bool | None


class Origin(NamedTuple):
    """Scheme, host and port of a URL (RFC 6454)."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """The origin as a URL without a path; a default port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if _PORTS[self.scheme] == self.port else f":{self.port}")


def origin_of(url: str) -> Origin:
    """The origin of an absolute http(s) URL.

    Raises:
        ValueError: The URL is not absolute, not http(s), has user information, or contains characters that no URL has.
    """
    _check_characters(url)
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("it is not an absolute http or https URL")
    if "@" in parts.netloc:
        raise ValueError("it contains user information")
    host = parts.hostname.rstrip(".")
    if not host or not host.isascii():
        raise ValueError("its host is not ASCII (an international name begins with xn--)")
    if "%" in host and ":" not in host:
        raise ValueError("its host is percent-encoded")
    return Origin(parts.scheme, host, _PORTS[parts.scheme] if parts.port is None else parts.port)


def _check_characters(url: str) -> None:
    if _NOT_IN_URLS.search(url):
        raise ValueError("it contains white space, a control character or a backslash")


def check_endpoint(name: str, url: object, *, allow_http: bool) -> str:
    """Check a base URL or trusted origin, and return it without a trailing slash.

    Raises:
        TypeError: It is not text.
        ValueError: It cannot be used; plain http is for loopback only unless `allow_http`.
    """
    if not isinstance(url, str):
        raise TypeError(f"{name} must be a URL as text, not {url!r:.60}")
    origin = _origin_or_error(name, url)
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError(f"{name} {url!r:.200} must end before any '?' or '#'")
    if origin.scheme == "http" and not allow_http and not is_loopback(origin.host):
        raise ValueError(f"{name} {url!r:.200} would send the API key unencrypted: use https, or allow_http=True")
    return f"{origin}{_encoded(parts.path.rstrip('/'))}"


def _origin_or_error(name: str, url: str) -> Origin:
    try:
        return origin_of(url)
    except ValueError as error:
        shown = "" if "@" in url else f" {url!r:.200}"  # the part before an @ may be a password
        raise ValueError(f"{name}{shown} cannot be used: {error}") from None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_private_name(host: str) -> bool:
    """Whether a host is a literal address that is not public, or a name that never has a public one."""
    try:
        address = host if ":" in host else inet_ntoa(inet_aton(host))  # which also reads 127.1, 0x7f.1 and 2130706433
        return not is_public(address)
    except (OSError, ValueError):
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))


def _encoded(text: str) -> str:
    return _NOT_IN_ENCODED.sub(lambda match: quote(match.group()), text)


def segment(name: str, value: object) -> str:
    """Encode an id as exactly one path segment.

    Raises:
        TypeError: It is not text.
        ValueError: It is blank, `.` or `..`, holds what no id does, such as a line break, or is a workspace's or a
            project's and does not have FLORA's form.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, not {value!r:.60}")
    if name not in PUBLIC_IDS and _PLAIN_SEGMENT.fullmatch(value):  # as nearly all that FLORA gives out
        return value
    if not value.strip():
        raise ValueError(f"{name} must not be blank: pass FLORA's id or slug")
    if value in {".", ".."}:  # a proxy may resolve these as path steps, encoded or not
        raise ValueError(f"{name} must not be {value!r:.60}: pass FLORA's id or slug")
    return quote(identifier(name, value), safe="")


def check_path(path: object) -> str:
    """Check a path below the base URL, with or without a query.

    Raises:
        TypeError: It is not text.
        ValueError: It names another host, climbs above the base URL, or holds characters that no URL has.
    """
    if not isinstance(path, str):
        raise TypeError(f"path must be text, not {path!r:.200}")
    if not path.startswith("/") or path.startswith("//") or _NOT_IN_URLS.search(path) or "#" in path:
        raise ValueError(f"path {path!r:.200} must start with one '/' and be percent-encoded, such as '/models'")
    if any(part in {".", ".."} for part in _ENCODED_DOT.sub(".", path.partition("?")[0]).split("/")):
        raise ValueError(f"path {path!r:.200} must not climb with '.' or '..'")
    return _encoded(path)


def with_query(url: str, parameters: Mapping[str, ParameterValue] | None) -> str:
    """The URL with its query; parameters that are None are left out, bools become `true` and `false`.

    Raises:
        ValueError: A parameter holds characters that UTF-8 cannot write.
    """
    if not parameters:
        return url
    given = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in parameters.items()
        if value is not None
    }
    try:
        query = urlencode(given, quote_via=quote)
    except UnicodeEncodeError as error:
        raise ValueError(f"{error.object!r:.60} holds characters that UTF-8 cannot write") from None
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{query}"


def check_trusted(url: object, *, allow_http: bool) -> str:
    """Check an origin whose poll URLs may be followed: scheme and host alone.

    Raises:
        TypeError: It is not text.
        ValueError: As `check_endpoint`, or it has a path, which would be ignored.
    """
    checked = check_endpoint("trusted_origins", url, allow_http=allow_http)
    if checked != str(origin_of(checked)):
        raise ValueError(f"trusted_origins {url!r:.200} has a path: trust is for whole origins, {origin_of(checked)}")
    return checked


class Endpoints:
    """The base URL and the origins besides it whose poll URLs may be followed.

    Args:
        base_url: As `check_endpoint` gave it.
        trusted: Other origins, as `check_trusted` gave them. They are followed, but never with the key.
    """

    def __init__(self, base_url: str, trusted: Iterable[str] = ()) -> None:
        self.base_url = base_url
        self._origin = origin_of(base_url)
        self._root = f"{self._origin}/"
        self._trusted = frozenset(origin_of(url) for url in trusted)
        self._is_local = is_loopback(self._origin.host)

    def resolve(self, url: str) -> tuple[str, bool]:
        """Make a URL that the server named absolute, and say whether the key may be sent with it.

        Raises:
            UntrustedURLError: It is at neither the base URL's origin nor a trusted one, or is malformed.
        """
        if len(url) <= _MAX_URL and url.startswith(self._root) and _PLAIN_PATH.fullmatch(url, len(self._root)):
            return url, True  # as FLORA writes them: nothing to resolve or encode
        if len(url) > _MAX_URL:
            raise UntrustedURLError(url, f"it has more than {_MAX_URL} characters")
        try:
            _check_characters(url)
            absolute = urljoin(f"{self.base_url}/", url)
            origin, parts = origin_of(absolute), urlsplit(_encoded(absolute))
        except ValueError as error:
            raise UntrustedURLError(url, str(error)) from None
        if origin != self._origin and origin not in self._trusted:
            raise UntrustedURLError(
                url, f"it is not at {self._origin}. Wait by run id, or add its origin to trusted_origins."
            )
        query = f"?{parts.query}" if parts.query else ""
        return f"{origin}{parts.path}{query}", origin == self._origin

    def media(self, url: object) -> str:
        """A URL of a file or a storage host that FLORA named, encoded: https to a public host.

        A FLORA on this machine may name hosts on this machine. What a name resolves to is judged by `may_connect`.

        Raises:
            UntrustedURLError: It is anything else.
        """
        try:
            origin = origin_of(url if isinstance(url, str) else "")
            parts = urlsplit(_encoded(str(url)))
        except ValueError as error:
            raise UntrustedURLError(str(url), str(error)) from None
        if origin not in self._trusted and origin != self._origin:
            if self._is_local and is_loopback(origin.host):
                pass
            elif origin.scheme != "https":
                raise UntrustedURLError(str(url), "it is not https")
            elif _is_private_name(origin.host):
                raise UntrustedURLError(str(url), "its host is not public")
        query = f"?{parts.query}" if parts.query else ""
        return f"{origin}{parts.path}{query}"

    def may_connect(self, host: str, port: int, address: str) -> bool:
        """Whether a transfer to a host and port may connect to an address that the host resolves to."""
        if any((host, port) == (origin.host, origin.port) for origin in (self._origin, *self._trusted)):
            return True
        if self._is_local and is_loopback(host):
            return is_loopback(address)
        return is_public(address)


def is_video_url(url: str) -> bool:
    """Whether the URL's path ends like a video file."""
    return urlsplit(url).path.lower().endswith(_VIDEO_ENDINGS)


def check_https(name: str, url: object) -> str:
    """An absolute https URL that FLORA can call.

    Raises:
        TypeError: It is not text.
        ValueError: It is not https, or not a URL.
    """
    if not isinstance(url, str):
        raise TypeError(f"{name} must be a URL as text, not {url!r:.200}")
    origin = _origin_or_error(name, url)
    if origin.scheme != "https":
        raise ValueError(f"{name} {url!r:.200} must start with https://: FLORA follows no other")
    return url
