"""URLs: an id stays one segment, a path stays below the base, and the key never leaves for another host."""

import re
from typing import Any
from unicodedata import category
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep import Sweep
from yarl import URL

from flora_async import UntrustedURLError
from flora_async._http.urls import (
    Endpoints,
    check_endpoint,
    check_https,
    check_path,
    check_trusted,
    is_video_url,
    origin_of,
    segment,
    with_query,
)

BASE = "https://app.flora.ai/api/v1"
# Media at another host, a port of its own, and an address: none of them ever sees the key.
TRUSTED = ("https://media.flora.ai", "https://cdn.example:8443", "http://127.0.0.1:8080", "http://[::1]:8080")
ENDPOINTS = Endpoints(BASE, TRUSTED)
ORIGINS = {origin_of(url): url == BASE for url in (BASE, *TRUSTED)}

IDS = """a/b ... ? # %2e %2E%2e %2F a\\b //x a;b a@b a:b https://evil.example/ &=+ ~-_ run_1?key=1#x ü 日本語 🌸
\uff0e\uff0e""".split()  # noqa: SIM905 - as a list, one a line, it would be a page
IDS += ["a b", "a\xa0b", "a\u202eb", "a\ufeffb", "👩\u200d🚀"]
# Copied with what stands around them, or read from a file line by line: they would be sent, and FLORA knows no such id.
NO_IDS = [
    "a\nb",
    "a\r",
    "a\n",
    " x",
    "x ",
    "\tx",
    "x\u2003",
    "\x00",
    "a\x7fb",
    "a\x1b[0m",
    "a\x85b",
    "a\u2028b",
    "a\u2029",
]

FOLLOWED = [
    ("https://app.flora.ai/api/v1/runs/run_1", "https://app.flora.ai/api/v1/runs/run_1", True),
    ("/api/v1/runs/run_1", "https://app.flora.ai/api/v1/runs/run_1", True),
    ("runs/run_1", "https://app.flora.ai/api/v1/runs/run_1", True),
    ("//app.flora.ai/runs", "https://app.flora.ai/runs", True),
    ("HTTPS://APP.Flora.AI/Runs", "https://app.flora.ai/Runs", True),
    ("https://app.flora.ai:443/runs", "https://app.flora.ai/runs", True),
    ("https://app.flora.ai:/runs", "https://app.flora.ai/runs", True),
    ("https://app.flora.ai./runs", "https://app.flora.ai/runs", True),
    ("https://app.flora.ai/a?b=%2F&c=ü#d", "https://app.flora.ai/a?b=%2F&c=%C3%BC", True),
    ("https://app.flora.ai/@evil.example/?u=https://evil.example", None, True),
    ("https://app.flora.ai/a%2Fb/%E2%82%AC", None, True),
    ("https://media.flora.ai/run_1", None, False),
    ("https://cdn.example:8443/run_1", None, False),
    ("http://127.0.0.1:8080/run_1", None, False),
    ("http://[::1]:8080/run_1", None, False),
    ("https:runs", "https://app.flora.ai/api/v1/runs", True),
    ("https:///runs", "https://app.flora.ai/runs", True),
    ("////evil.example/", "https://app.flora.ai//evil.example/", True),
]
REFUSED = """
https://evil.example/x //evil.example/x https://app.flora.ai.evil.example/ https://evilapp.flora.ai/ https://flora.ai/
https://app.flora.ai@evil.example/ https://app.flora.ai:443@evil.example/ https://x@app.flora.ai/ //x@app.flora.ai/
https://user:pass@app.flora.ai/ https://@app.flora.ai/ https://evil.example\\@app.flora.ai/ https://app.flora.ai\\@evil.example
https:\\\\evil.example/ \\\\evil.example/ /\\evil.example/ https://app.flora.ai\\.evil.example/ https:/\\evil.example
\x00//evil.example \x7f//evil.example https://app.flora.ai\x00/
https://evil.example#@app.flora.ai/ https://evil.example?@app.flora.ai/ https://evil.example/app.flora.ai
https://app.flora.ai%40evil.example/ https://app.flora.ai%2eevil.example https://app.flora.ai%00.evil.example
https://app.flora.ai%2f@evil.example/ https://app%2eflora.ai/ https://app.flora.ai%2f.evil.example/ https://app.flora.ai;x/
https://app.flora.ai:80/ https://app.flora.ai:0/ https://app.flora.ai:8443/ https://app.flora.ai:99999/
https://app.flora.ai:-443/ https://app.flora.ai:x/ https://app.flora.ai:443:443/ https://app.flora.ai,x/
https://app.flora.ai:\uff14\uff14\uff13/ https://\uff41pp.flora.ai/ https://app\u3002flora\u3002ai/ https://app\uff0eflora.ai/
https://app.flora.aí/ https://xn--app-flora.ai/ https://\u0430pp.flora.ai/ https://app.flora\u2024ai/
https://app.flora.ai\u2100evil.example/ https://app\u00ad.flora.ai/ https://.app.flora.ai/ https://app..flora.ai/
http://app.flora.ai/runs http:runs http://app.flora.ai:443/runs http://media.flora.ai/x http:///runs HTTP://app.flora.ai/
javascript:alert(1) file:///etc/passwd file://app.flora.ai/x data:text/html,x ftp://app.flora.ai/ wss://app.flora.ai/
blob:https://app.flora.ai/x https+x://app.flora.ai/ https://:443/ https://./ https://[::1 https://]/
https://[::1]/ https://[app.flora.ai]/ https://[v1.app]/ http://[::1%25lo]:8080/ http://[::1]:80/ http://[::ffff:7f00:1]:8080/
http://127.0.0.1/ https://127.0.0.1:8080/ http://127.1:8080/ http://2130706433:8080/ http://localhost:8080/
https://media.flora.ai:8443/ https://cdn.example/ https://cdn.example:443/
""".split()  # noqa: SIM905 - as a list, one a line, it would be a page
REFUSED += [
    "https://app.flora.ai\t.evil.example/",
    "https://app.flora.ai\n/",
    "ht\ntps://app.flora.ai/",
    " //evil.example",
]
REFUSED += ["//\tevil.example", "/\t/evil.example", "https://app.flora.ai \r\nHost: x", "https://app.flora.ai/ "]
PIECES = r"https: http: // / \ @ : 443 :8080 ? # %40 %2f . .. [ ] app.flora.ai media.flora.ai cdn.example x".split()  # noqa: SIM905 - likewise
PIECES += ["evil.example", "127.0.0.1", "[::1]", "\uff41", "\u2100", "\u3002", "\u017f", "\x00", "\t", " "]
BAD_BASES = r"""app.flora.ai /api/v1 //app.flora.ai https:app.flora.ai https:// ftp://x https://. https://x/?a https://x/#a
https://u:p@x https://x:port https://x:99999 https://[::1 file:///etc https://\x""".split()  # noqa: SIM905 - as a list, one a line, it would be a page
BAD_BASES += ["", "https://x y", "https://x\n", "https://x/\ud800", "https://x\uff1f"]


untimed = settings(deadline=None)


def check_segment(value: str) -> None:
    encoded = segment("run_id", value)
    path = f"/techniques/{encoded}/runs"
    url = BASE + check_path(path)
    assert unquote(encoded) == value
    assert urlsplit(url)._replace(path="/") == urlsplit("https://app.flora.ai/")
    assert urlsplit(url).path.split("/") == ["", "api", "v1", "techniques", encoded, "runs"]
    sent = URL(url, encoded=True)
    assert (sent.host, sent.raw_path_qs, str(sent)) == ("app.flora.ai", f"/api/v1{path}", url)
    assert sent.raw_parts == ("/", "api", "v1", "techniques", encoded, "runs")


def test_a_hostile_id_stays_one_segment() -> None:
    with Sweep() as sweep:
        for value in IDS:
            with sweep.row(value):
                check_segment(value)


@untimed
@given(st.text(min_size=1))
def test_any_id_stays_one_segment_or_is_refused_by_name(value: str) -> None:
    is_printable = not any(category(char) in {"Cc", "Zl", "Zp"} for char in value)
    if value.strip() != value or not is_printable or value in {"", ".", ".."}:
        with pytest.raises(ValueError, match="run_id"):
            segment("run_id", value)
    else:
        check_segment(value)


def test_an_id_with_a_line_break_or_blanks_around_it_is_refused_with_the_remedy() -> None:
    with Sweep() as sweep:
        for value in NO_IDS:
            remedy = rf"run_id {re.escape(repr(value))} must not have .*: strip it, or pass it as FLORA lists it"
            with sweep.row(value), pytest.raises(ValueError, match=remedy):
                segment("run_id", value)


@pytest.mark.parametrize("value", [".", ".."])
def test_an_id_that_is_a_step_in_a_path_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="technique_id must not be '"):
        segment("technique_id", value)


@pytest.mark.parametrize("value", ["", " ", "\n\t", "\u2003", "\ud800", "a\udfff"])
def test_an_id_that_is_blank_or_no_utf_8_is_refused_by_name(value: str) -> None:
    with pytest.raises(ValueError, match="run_id"):
        segment("run_id", value)


@pytest.mark.parametrize("value", [None, 5, b"run_1", ["run_1"], True])
def test_an_id_that_is_no_text_is_refused_by_name(value: object) -> None:
    with pytest.raises(TypeError, match="run_id must be text"):
        segment("run_id", value)


@pytest.mark.parametrize(
    ("path", "sent"),
    [("/models", "/models"), ("/a%2Fb", "/a%2Fb"), ("/ü", "/%C3%BC"), ("/a?b=../c", "/a?b=../c"), ("/a//b", "/a//b")],
)
def test_a_path_is_put_behind_the_base_url(path: str, sent: str) -> None:
    assert check_path(path) == sent


@pytest.mark.parametrize(
    "path", ["", "models", "//evil.example", "https://evil.example", "@evil.example", ":80/", ".x/"]
)
@pytest.mark.parametrize("after", ["", "?a=b"])
def test_a_path_that_could_name_a_host_is_refused(path: str, after: str) -> None:
    with pytest.raises(ValueError, match="must start with one '/'"):
        check_path(path + after)


@pytest.mark.parametrize("path", ["/..", "/../x", "/a/../b", "/./a", "/a/.", "/%2e%2E/x", "/.%2E/x", "/a/%2e./x?y"])
def test_a_path_that_climbs_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="must not climb"):
        check_path(path)


@pytest.mark.parametrize("path", ["/a b", "/a\n", "/\t", "/a\\b", "/\\evil.example", "/a#b", "/\x00", "/\ud800"])
def test_a_path_with_characters_that_no_url_has_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"path|surrogates"):
        check_path(path)


@pytest.mark.parametrize(
    ("parameters", "query"),
    [
        (None, ""),
        ({}, ""),
        ({"cursor": None}, ""),
        ({"limit": 5, "cursor": None, "q": "a b&c=d/ü"}, "?limit=5&q=a%20b%26c%3Dd%2F%C3%BC"),
        ({"a": True, "b": False, "c": 0.5, "d": ""}, "?a=true&b=false&c=0.5&d="),
    ],
)
def test_a_query_is_encoded_and_leaves_out_what_is_none(parameters: dict[str, Any] | None, query: str) -> None:
    assert with_query(f"{BASE}/models", parameters) == f"{BASE}/models{query}"


def test_parameters_are_added_to_the_query_that_a_path_has() -> None:
    url = with_query(f"{BASE}/models?type=image", {"limit": 5})
    assert parse_qsl(urlsplit(url).query) == [("type", "image"), ("limit", "5")]


def test_a_url_at_a_trusted_origin_is_followed_and_the_key_goes_to_the_base_only() -> None:
    with Sweep() as sweep:
        for url, expected, with_key in FOLLOWED:
            with sweep.row(url, expected, with_key):
                assert ENDPOINTS.resolve(url) == (expected or url, with_key)


def test_a_url_elsewhere_is_not_followed() -> None:
    with Sweep() as sweep:
        for url in REFUSED:
            with sweep.row(url):
                with pytest.raises(UntrustedURLError) as caught:
                    ENDPOINTS.resolve(url)
                assert caught.value.url == url
                assert str(caught.value).splitlines() == [str(caught.value)[:200]]


@pytest.mark.parametrize("url", ["https://app.flora.ai/\ud800", "/runs/\ud800", "https://\ud800/", "?\udfff"])
def test_a_url_that_no_utf_8_can_write_is_not_followed(url: str) -> None:
    with pytest.raises(UntrustedURLError):
        ENDPOINTS.resolve(url)


@settings(deadline=None, max_examples=1000)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=9).map("".join))
def test_no_url_is_ever_followed_to_another_host_whoever_reads_it(url: str) -> None:
    try:
        absolute, with_key = ENDPOINTS.resolve(url)
    except UntrustedURLError:
        return
    assert ORIGINS[origin_of(absolute)] is with_key
    by_urllib, *by_yarl = urlsplit(absolute), URL(absolute), URL(absolute, encoded=True)
    for seen in by_yarl:
        assert (seen.scheme, seen.host, seen.user) == (by_urllib.scheme, by_urllib.hostname, None)
        assert seen.port == (by_urllib.port or 443)
    assert absolute.isascii()


@pytest.mark.parametrize(
    ("given_url", "kept"),
    [
        ("https://app.flora.ai/api/v1/", BASE),
        ("HTTPS://App.Flora.Ai:443/api/v1", BASE),
        ("https://proxy.example/flöra//", "https://proxy.example/fl%C3%B6ra"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:80/v1", "http://127.0.0.1/v1"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_a_base_url_is_https_or_loopback_and_written_one_way(given_url: str, kept: str) -> None:
    assert check_endpoint("base_url", given_url, allow_http=False) == kept


@pytest.mark.parametrize(
    "url", ["http://app.flora.ai", "http://localhost.evil.example", "http://10.0.0.1", "http://127.0.0.1.evil.example"]
)
def test_plain_http_beyond_this_machine_has_to_be_allowed(url: str) -> None:
    with pytest.raises(ValueError, match="unencrypted"):
        check_endpoint("base_url", url, allow_http=False)
    assert check_endpoint("base_url", url, allow_http=True) == url


def test_a_base_url_that_cannot_be_one_is_refused() -> None:
    with Sweep() as sweep:
        for url in BAD_BASES:
            with sweep.row(url), pytest.raises(ValueError, match=r"base_url|surrogates"):
                check_endpoint("base_url", url, allow_http=True)


@pytest.mark.parametrize(
    "url", ["https://media.flora.ai/outputs", "http://media.flora.ai", "media.flora.ai", "https://x?y"]
)
def test_a_trusted_origin_is_a_whole_https_origin(url: str) -> None:
    assert check_trusted("https://Media.flora.ai:443/", allow_http=False) == "https://media.flora.ai"
    with pytest.raises(ValueError, match="trusted_origins"):
        check_trusted(url, allow_http=False)


@pytest.mark.parametrize("url", [None, 5, b"https://x", URL("https://x")])
def test_a_url_that_is_no_text_is_refused_by_name(url: object) -> None:
    with pytest.raises(TypeError, match="base_url must be a URL as text"):
        check_endpoint("base_url", url, allow_http=True)
    with pytest.raises(TypeError, match="callback_url must be a URL as text"):
        check_https("callback_url", url)


@pytest.mark.parametrize(
    "url", ["http://example.com/hook", "http://127.0.0.1/", "example.com", "https://u@example.com", ""]
)
def test_a_url_that_flora_shall_call_is_https(url: str) -> None:
    assert check_https("callback_url", "https://example.com/hook?a=b#c") == "https://example.com/hook?a=b#c"
    with pytest.raises(ValueError, match="callback_url"):
        check_https("callback_url", url)


@pytest.mark.parametrize(
    ("url", "is_video"),
    [
        ("https://x/a.mp4", True),
        ("https://x/A.MOV?s=1", True),
        ("https://x/a.png?f=.mp4", False),
        ("https://mp4", False),
    ],
)
def test_a_video_is_known_by_the_end_of_its_path(url: str, is_video: bool) -> None:
    assert is_video_url(url) is is_video
