"""The key: in no repr, frame, error, attribute or log, however the server spells it or breaks the connection."""

import asyncio
import base64
import json
import logging
import traceback
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # it has no types
import pytest
from raw_flora import answer, raw_flora

from flora_async import FloraError, FloraSession, PollPolicy, RetryPolicy
from flora_async._http.secrets import Redactor, Secret

KEY = "sk_live_S3cretKey0123456789"
ESCAPED = "".join(f"\\u{ord(char):04x}" for char in KEY)
MIXED = KEY[:5] + "".join(f"\\u{ord(char):04X}" for char in KEY[5:])
PERCENT = "".join(f"%{ord(char):02x}" for char in KEY)
TWICE = PERCENT.replace("%", "%2525")
ENTITIES = "".join(f"&#{ord(char)};" if ord(char) % 2 else f"&#x{ord(char):04X};" for char in KEY)
SPELLINGS = [KEY, ESCAPED, MIXED, ESCAPED.replace("\\", "\\" * 16), PERCENT, TWICE, ENTITIES]
ONCE = RetryPolicy(attempts=1, settle=None)
ENVELOPE = {"error": {"code": f"bad_{KEY}", "message": f"no {KEY}", "fields": [{"field": KEY, "message": KEY}]}}


def everything(error: BaseException | None) -> str:
    """What a crash reporter could show of an error: text, attributes, causes, and the locals of all but the tests."""
    shown = []
    while error is not None:
        shown += [str(error), repr(error), repr(error.args), repr(vars(error))]
        stack = traceback.TracebackException.from_exception(error, capture_locals=True).stack
        shown += [str(frame.locals) for frame in stack if frame.filename != __file__]
        error = error.__cause__ or error.__context__
    return "\n".join(shown)


@pytest.mark.parametrize(
    "response",
    [
        answer(ENVELOPE, status=400),
        answer(ENVELOPE),
        answer({"error": {"code": "x", "message": "y"}}, status=400, X_Echo=KEY, request_id=f"req_{KEY}"),
        answer(b"", status=302, Location=f"https://evil.example/{KEY}"),
        answer(b"", status=302, Location=f"https://evil.example/{PERCENT}"),
        answer(f'{{"error": {{"code": "x", "message": "{ESCAPED}"}}}}'.encode(), status=403),
        answer(f'{{"error": {{"code": "x", "message": "{MIXED}"}}}}'.encode(), status=403),
        answer(f'{{"run_id": 5, "status": "{ESCAPED}", "outputs": "{MIXED}"}}'.encode()),
        answer(f"<html>{KEY}</html>".encode()),
        answer({"error": {"code": "x", "message": f"no {PERCENT}"}}, status=403),
        answer({"error": {"code": "x", "message": f"no {TWICE}"}}, status=403),
        answer(f"<p>{ENTITIES}</p>".encode(), status=502),
        answer({"error": {"code": "x", "message": base64.b64encode(f"x{KEY}".encode()).decode()}}, status=403),
        answer(json.dumps(ENVELOPE).encode("utf-16"), status=403),
        answer(b"", status=302, Location=f"https://{KEY}.evil.example/"),
        answer(ENVELOPE, status=403, Set_Cookie=f"session={PERCENT}; Path=/"),
        answer({"run_id": "run_1", "status": "failed", "error_code": KEY, "error_message": f"no {KEY}"}),
        f"HTTP/1.1 {KEY}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nContent-Length: {KEY}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nContent-Encoding: {KEY}\r\nContent-Length: 1\r\n\r\nx".encode(),
    ],
    ids=lambda response: str(response[:50]),
)
async def test_a_server_that_sends_the_key_back_gets_it_into_no_error_and_no_log(
    response: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "flora_async")

    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(response)
        writer.close()

    poll = PollPolicy(initial=0.001, maximum=0.01, outage=0.01)
    async with raw_flora(serve) as url, FloraSession(KEY, base_url=url, retry=ONCE, poll=poll) as flora:
        jobs = [
            flora.techniques.runs.create("caption", inputs={"prompt": "x"}),
            flora.wait_for_run("run_1", raise_on_failure=True),
            flora.request("GET", "/models"),
        ]
        for outcome in await asyncio.gather(*jobs, return_exceptions=True):
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, FloraError)
                assert KEY not in everything(outcome)
                assert ESCAPED not in everything(outcome)
                assert PERCENT not in everything(outcome)
                assert KEY not in everything(outcome).replace("\\x00", "")
                assert TWICE not in everything(outcome)
                assert ENTITIES not in everything(outcome)
                assert base64.b64encode(KEY[2:-2].encode())[2:-2].decode() not in everything(outcome)
    assert KEY not in caplog.text


async def test_no_frame_of_a_broken_connection_holds_the_key() -> None:
    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with raw_flora(serve) as url, FloraSession(KEY, base_url=url, retry=ONCE, timeout=0.2) as flora:
        await _broken(flora)


async def _broken(flora: FloraSession) -> None:
    caught: Any = None
    try:
        await flora.techniques.runs.create("caption", inputs={"prompt": "x"})
    except FloraError as error:
        caught = error
    assert f"Bearer {KEY}" not in everything(caught)
    chain = [caught]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    assert len(chain) > 1
    assert not [
        frame for error in chain for frame in traceback.extract_tb(error.__traceback__) if "aiohttp" in frame.filename
    ]


async def test_no_frame_of_a_cancelled_request_is_aiohttps() -> None:
    arrived = asyncio.Event()

    async def serve(_: bytes, __: bytes, ___: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.sleep(0.01)

    async with raw_flora(serve) as url, FloraSession(KEY, base_url=url) as flora:
        task = asyncio.create_task(flora.generations.retrieve("run_1"))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    assert not [frame for frame in traceback.extract_tb(caught.value.__traceback__) if "aiohttp" in frame.filename]


def test_a_part_of_a_secret_is_secret_too() -> None:
    secret = Secret(KEY)
    assert {repr(part) for part in (secret, secret[:10], secret[3:], secret[::2], secret[5])} == {"'***'"}
    assert secret[:3] == "sk_"


async def test_no_attribute_of_a_session_shows_the_key_however_deep_it_is() -> None:
    gateway = {"X-Gateway": f"gateway {KEY}"}
    async with FloraSession(KEY, base_url="http://127.0.0.1:1", headers=gateway, retry=ONCE) as flora:
        await asyncio.gather(flora.generations.retrieve("run_1"), return_exceptions=True)
        found, seen = [(flora, "flora"), (flora.with_options(timeout=1), "view")], set[int]()
        while found:
            thing, path = found.pop()
            if id(thing) in seen or path.count(".") > 8:
                continue
            seen.add(id(thing))
            assert not any(shown in repr(thing) for shown in (KEY, repr(KEY.encode("utf-16-le"))[2:-4])), path
            named = {
                **{str(number): item for number, item in enumerate(thing if isinstance(thing, list | tuple) else ())},
                **(thing if isinstance(thing, dict) else getattr(thing, "__dict__", {})),
                **{name: getattr(thing, name, None) for name in getattr(type(thing), "__slots__", ())},
            }
            found += [(item, f"{path}.{name}") for name, item in named.items()]
    assert len(seen) > 100


async def test_nothing_that_holds_the_key_can_be_pickled() -> None:
    flora = FloraSession(KEY, base_url="http://127.0.0.1:1")
    for thing in (flora, flora.with_options(timeout=1), flora.run, flora.techniques, Redactor(KEY), Redactor("short")):
        # Cloudpickle is what takes a function to a cluster, with all that the function refers to.
        with pytest.raises(TypeError, match="make one where it is used"):
            cloudpickle.dumps(lambda thing=thing: thing)


def test_other_text_is_left_as_it_is() -> None:
    redactor = Redactor(KEY)
    for text in ("", "100 %", "caf\\u00e9 \\u003c", KEY[:-1], "\\", "\ud800"):
        assert redactor.text(text) == text
        body = text.encode(errors="surrogatepass")
        assert redactor.body(body) == body
    assert Redactor("short").body(b"short") == b"short"


@pytest.mark.parametrize("before", [b"", b"a", b"ab", b"abc", b'{"Authorization": "Bearer '])
def test_a_key_in_base64_or_in_a_wide_encoding_is_masked(before: bytes) -> None:
    redactor = Redactor(KEY)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        shown = redactor.body(b"<" + encode(before + KEY.encode() + b"z") + b">")
        assert b"***" in shown
        assert len(shown) <= len(encode(before)) + 14  # a few characters at each edge are left
    for encoding in ("utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be"):
        shown = redactor.body(f"{before.decode()}{KEY}!".encode(encoding))
        assert KEY[:4].encode() not in shown.replace(b"\0", b"")


@pytest.mark.parametrize("spelled", SPELLINGS, ids=range(len(SPELLINGS)))
def test_a_key_is_found_wherever_it_lies_in_a_large_body(spelled: str) -> None:
    redactor = Redactor(KEY)
    for before in range(64 * 1024 - len(spelled) - 8, 64 * 1024 + 1, 7):
        body = b"\\u00e9" + b"y" * before + spelled.encode() + b"z" * 70_000 + spelled.encode()
        assert redactor.body(body) == b"\\u00e9" + b"y" * before + b"***" + b"z" * 70_000 + b"***"


def test_no_body_takes_time_that_grows_with_the_square_of_its_length() -> None:
    # With a search that tries every backslash as the first of a spelling, this takes days.
    body = ESCAPED[:6].encode() + b"\\" * 2**20
    assert Redactor(KEY).body(body) == body
