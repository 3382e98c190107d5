"""The session's life: lazy, re-enterable, safe under any loop; and where its key goes."""

import asyncio
import gc
import logging
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import IMAGE, OpenSession

from flora_async import APIStatusError, AuthenticationError, FloraError, FloraSession, PollPolicy, RetryPolicy
from flora_async.testing import Drop, FakeFlora, Garbage, Redirect, Status, Truncate

KEY = "sk_live_do-not-show-me"


def test_operations_that_few_programs_use_are_loaded_on_first_use() -> None:
    program = (
        "import sys, flora_async\n"
        "flora = flora_async.FloraSession('sk_test_1')\n"
        "nouns = 'actions assets canvases feedback generations library models projects workspaces'.split()\n"
        "late = [f'flora_async.resources.{noun}' for noun in nouns] + ['flora_async.resources._uploads']\n"
        "assert not set(late) & sys.modules.keys(), set(late) & sys.modules.keys()\n"
        "flora.generations, flora.assets\n"
        "assert {'flora_async.resources.generations', 'flora_async.resources.assets'} <= sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)  # noqa: S603 - the program above


async def test_it_opens_nothing_until_it_is_used(fake: FakeFlora) -> None:
    flora = FloraSession(fake.api_key, base_url=fake.base_url)
    await flora.close()
    assert not fake.requests


def test_it_can_be_built_without_a_running_loop() -> None:
    assert repr(FloraSession(KEY)) == "<FloraSession open base_url='https://app.flora.ai/api/v1'>"


async def test_it_can_be_entered_again_after_closing(fake: FakeFlora) -> None:
    flora = FloraSession(fake.api_key, base_url=fake.base_url)
    for _ in range(2):
        async with flora:
            await flora.techniques.runs.list()
    assert len(fake.requests) == 2


def test_it_can_be_entered_again_under_another_loop() -> None:
    flora: FloraSession | None = None

    async def job() -> int:
        nonlocal flora
        async with FakeFlora(port=0 if flora is None else int(flora_port)) as fake:
            flora = flora or FloraSession(fake.api_key, base_url=fake.base_url)
            async with flora:
                await flora.techniques.runs.list()
            return int(fake.origin.rpartition(":")[2])

    flora_port = asyncio.run(job())
    assert asyncio.run(job()) == flora_port


@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")  # the session is left open on purpose
def test_it_serves_a_second_asyncio_run_even_if_it_was_never_closed() -> None:
    async def job(flora: FloraSession | None, port: int) -> tuple[FloraSession, int]:
        async with FakeFlora(port=port) as fake:
            flora = flora or FloraSession(fake.api_key, base_url=fake.base_url)
            await flora.techniques.runs.list()
            assert len(fake.requests) == 1
            return flora, int(fake.origin.rpartition(":")[2])

    flora, port = asyncio.run(job(None, 0))
    asyncio.run(job(flora, port))
    asyncio.run(flora.close())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_use_on_a_second_loop_while_the_first_is_alive_is_refused_with_a_remedy() -> None:
    flora = FloraSession(KEY, base_url="http://127.0.0.1:9", retry=RetryPolicy(attempts=1))
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        with pytest.raises(FloraError):
            first.run_until_complete(flora.request("GET", "/models"))
        with pytest.raises(RuntimeError, match="another event loop"):
            second.run_until_complete(flora.request("GET", "/models"))
        first.run_until_complete(flora.close())
    finally:
        first.close()
        second.close()


async def test_use_after_close_says_what_to_do(flora: FloraSession) -> None:
    await flora.close()
    assert "closed" in repr(flora)
    with pytest.raises(RuntimeError, match="enter it again"):
        await flora.techniques.runs.list()


async def test_entering_twice_at_once_is_refused(flora: FloraSession) -> None:
    async with flora:
        with pytest.raises(RuntimeError, match="entered already"):
            await flora.__aenter__()


def test_plain_with_is_explained() -> None:
    with pytest.raises(TypeError, match="async with"), FloraSession(KEY):  # type: ignore[misc]  # the mistake itself
        raise AssertionError("the body must not run")


async def test_a_borrowed_session_is_used_and_never_closed(fake: FakeFlora, session_on: OpenSession) -> None:
    async with aiohttp.ClientSession() as http:
        async with session_on(fake, http_session=http) as flora:
            await flora.techniques.runs.list()
        assert not http.closed
    assert len(fake.requests) == 1


async def test_a_borrowed_session_that_raises_for_status_by_itself_still_gives_our_errors(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    fake.inject(Status(401), on="history")
    async with aiohttp.ClientSession(raise_for_status=True) as http:
        with pytest.raises(AuthenticationError):
            await session_on(fake, http_session=http).techniques.runs.list()


async def test_a_borrowed_session_that_was_closed_is_named_as_the_cause(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    http = aiohttp.ClientSession()
    await http.close()
    with pytest.raises(RuntimeError, match="http_session"):
        await session_on(fake, http_session=http).techniques.runs.list()


async def test_connections_are_limited(fake: FakeFlora, session_on: OpenSession) -> None:
    connections = []

    async def note(_session: Any, _context: Any, params: aiohttp.TraceConnectionCreateEndParams) -> None:
        connections.append(params)

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(note)
    flora = session_on(fake, max_connections=3, trace_configs=[trace])
    async with asyncio.TaskGroup() as group:
        for _ in range(30):
            group.create_task(flora.request("GET", "/technique-runs"))
    assert len(fake.requests) == 30
    assert 1 <= len(connections) <= 3


async def test_no_cookie_is_kept(fake: FakeFlora, session_on: OpenSession) -> None:
    flora = session_on(fake)
    await flora.techniques.runs.list()
    await flora.techniques.runs.list()
    assert all("Cookie" not in request.headers for request in fake.requests)


BAD_SETTINGS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"api_key": None}, ValueError, "FLORA_API_KEY"),
    ({"api_key": ""}, ValueError, "FLORA_API_KEY"),
    ({"api_key": f" {KEY}"}, ValueError, "white space"),
    ({"api_key": f"{KEY}\n"}, ValueError, "line break"),
    ({"api_key": f"Bearer {KEY}"}, ValueError, "Bearer"),
    ({"api_key": f"bearer{KEY}"}, ValueError, "Bearer"),
    ({"api_key": f"{KEY}é"}, ValueError, "ASCII"),
    ({"api_key": KEY.encode()}, TypeError, "text"),
    ({"base_url": "app.flora.ai"}, ValueError, "base_url"),
    ({"base_url": "http://app.flora.ai/api/v1"}, ValueError, "allow_http"),
    ({"base_url": "ftp://app.flora.ai"}, ValueError, "http"),
    ({"base_url": "https://app.flora.ai?x=1"}, ValueError, "before any"),
    ({"base_url": "https://u:p@app.flora.ai"}, ValueError, "user information"),
    ({"base_url": 5}, TypeError, "base_url"),
    ({"timeout": 0}, ValueError, "timeout"),
    ({"timeout": -1}, ValueError, "timeout"),
    ({"timeout": float("nan")}, ValueError, "timeout"),
    ({"timeout": "60"}, TypeError, "timeout"),
    ({"timeout": True}, TypeError, "timeout"),
    ({"retry": 3}, TypeError, "RetryPolicy"),
    ({"poll": None}, TypeError, "PollPolicy"),
    ({"max_connections": 0}, ValueError, "max_connections"),
    ({"max_connections": True}, ValueError, "max_connections"),
    ({"http_session": "x"}, TypeError, "http_session"),
    ({"trusted_origins": "https://flora.ai"}, TypeError, "sequence"),
    ({"trusted_origins": ["http://flora.ai"]}, ValueError, "trusted_origins"),
    ({"trusted_origins": ["https://flora.ai/path"]}, ValueError, "path"),
]


@pytest.mark.parametrize(("settings", "kind", "words"), BAD_SETTINGS, ids=lambda value: str(value)[:40])
def test_a_bad_setting_fails_where_it_is_written_and_shows_no_key(
    settings: dict[str, Any], kind: type[Exception], words: str
) -> None:
    given = {"api_key": KEY, **settings}
    with pytest.raises(kind, match=words) as caught:
        FloraSession(**given)
    del given, settings
    assert KEY not in _everything_of(caught.value)


async def test_tracing_belongs_to_an_own_session(fake: FakeFlora, session_on: OpenSession) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(ValueError, match="http_session"):
            session_on(fake, http_session=http, trace_configs=[aiohttp.TraceConfig()])


def test_key_and_address_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLORA_API_KEY", KEY)
    monkeypatch.setenv("FLORA_BASE_URL", "https://flora.example/api/")
    assert "'https://flora.example/api'" in repr(FloraSession())
    assert "'https://other.example'" in repr(FloraSession(base_url="https://other.example"))


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/x", "http://localhost:1", "http://[::1]:1"])
def test_plain_http_is_allowed_on_this_machine(address: str) -> None:
    assert address in repr(FloraSession(KEY, base_url=address))


def test_plain_http_elsewhere_is_allowed_when_asked_for() -> None:
    assert "http://flora.example" in repr(FloraSession(KEY, base_url="http://flora.example", allow_http=True))


async def test_the_key_is_in_the_authorization_header_and_nowhere_else_in_the_request(fake: FakeFlora) -> None:
    fake.api_key = KEY
    async with FloraSession(KEY, base_url=fake.base_url, retry=RetryPolicy(attempts=1)) as flora:
        with pytest.raises(APIStatusError):
            await flora.techniques.runs.create("cctv-cam", inputs=IMAGE)
    (request,) = fake.requests
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    others = {name: value for name, value in request.headers.items() if name != "Authorization"}
    assert KEY not in f"{others} {request.target} {request.body!r}"
    assert request.headers["User-Agent"].startswith("flora-async/0.")


@pytest.mark.parametrize(
    "fault",
    [None, Status(401), Status(500), Drop(acts=True), Truncate(), Garbage(), Redirect("https://evil.example/")],
    ids=repr,
)
async def test_the_key_shows_in_no_log_repr_exception_or_local(
    fault: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeFlora(api_key=KEY) as fake:
        swift = RetryPolicy(attempts=2, initial=0, settle=0, rate_limit_pause=0)
        flora = FloraSession(KEY, base_url=fake.base_url, retry=swift, poll=PollPolicy(initial=0, outage=0))
        fake_origin, fake_runs = fake.origin, fake.runs
        if fault is not None:
            fake.inject(fault, times=None)
        shown = [repr(flora)]
        async with flora:
            for call in (
                lambda: flora.techniques.runs.create("cctv-cam", inputs=IMAGE),
                lambda: flora.wait_for_run("run_1"),
                lambda: flora.request("GET", "/technique-runs"),
                lambda: flora.run("cctv-cam", {"input_image": b"GIF89a" + bytes(9)}),
                lambda: flora.assets.upload(b"\0\0\0\x14ftypqt  " + bytes(5 * 1024**2), workspace_id="ws_local"),
                lambda: flora.download(f"{fake.origin}/media/none.png", tmp_path / "none"),
                lambda: flora.projects.create(name="Spring", workspace_id="ws_local"),
            ):
                try:
                    await call()
                except FloraError as error:
                    shown.append(_everything_of(error, hide=("fake", "KEY")))
    assert fake_origin
    assert fake_runs is not None
    assert shown
    assert KEY not in "".join(shown)
    assert KEY not in caplog.text


async def test_a_connection_that_fails_shows_no_key() -> None:
    async with FloraSession(KEY, base_url="http://127.0.0.1:9", retry=RetryPolicy(attempts=1)) as flora:
        with pytest.raises(FloraError) as caught:
            await flora.techniques.runs.list()
    assert KEY not in _everything_of(caught.value)


def _everything_of(error: BaseException, hide: tuple[str, ...] = ()) -> str:
    """What a crash reporter sees: message, attributes, causes, and the locals of every frame but the tests' own."""
    parts: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        parts += [str(seen), repr(seen), repr(vars(seen)), repr(seen.args)]
        for frame, _ in traceback.walk_tb(seen.__traceback__):
            if "/tests/" not in frame.f_code.co_filename and "_pytest" not in frame.f_code.co_filename:
                parts += [f"{name}={value!r}" for name, value in frame.f_locals.items() if name not in hide]
        seen = seen.__cause__ or seen.__context__
    return "\n".join(parts)
