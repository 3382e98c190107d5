"""Any bytes as an answer, a delivery or a journal: a result or one of the documented errors, in bounded memory.

The examples are the same in every run (`derandomize`). What single functions make of any input is tested beside them:
models in `test_codec.py` and `test_leniency.py`, damaged journals in `test_journal_file.py`, signatures in
`test_webhook_signatures.py`. Here whole calls meet a hostile server over real sockets.
"""

import asyncio
import gzip
import json
import tempfile
import tracemalloc
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import IMAGE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_flora import answer, raw_flora

from flora_async import DecodeError, FloraError, FloraSession, JournalError, PollPolicy, RetryPolicy
from flora_async.batch.sqlite import SqliteJournal
from flora_async.config import ResponseLimits
from flora_async.errors import WebhookVerificationError
from flora_async.models import TechniqueRun
from flora_async.models._codec import decode, decode_page
from flora_async.testing import VirtualClock
from flora_async.webhooks import WebhookEvent, WebhookReceiver, sign, unwrap

KEY: Final = "sk_live_S3cretKey0123456789"
SECRET: Final = "whsec_test"
ONCE: Final = RetryPolicy(attempts=1, settle=None, resolve=False, outage=0)
POLL: Final = PollPolicy(initial=0, maximum=5, timeout=20, outage=10)
IMPATIENT: Final = PollPolicy(initial=0, outage=0)
MAX_PEAK: Final = 64 * 1024**2
fuzzed = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

RUN: Final[dict[str, Any]] = {
    "run_id": "run_1",
    "status": "completed",
    "charged_cost": 0.05,
    "created_at": 1780000000000,
    "outputs": [{"output_id": "o", "type": "imageUrl", "url": "https://media.flora.ai/o.png"}],
    "poll_url": "/api/v1/technique-runs/run_1",
}
PAGE: Final = {"technique_runs": [RUN, RUN], "meta": {"next_cursor": "c", "total_estimate": 2}}
ERROR: Final = {"error": {"code": "rate_limited", "message": "Slow.", "fields": [{"field": "a", "message": "b"}]}}
EVENT: Final = {"id": "whd_1", "type": "run.completed", "data": {"run_id": "run_1", "status": "completed"}}
NAMES: Final = sorted({*RUN, *RUN["outputs"][0], *PAGE, *EVENT, *ERROR["error"], "error", "meta", "next_cursor", KEY})
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["run_1", KEY]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def spliced(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes of a valid text with others put in, or in their stead, or with its end missing."""
    start = draw(st.integers(0, len(whole)))
    end = draw(st.integers(start, min(len(whole), start + 20)) | st.just(len(whole)))
    junk = st.binary(max_size=8) | st.sampled_from(
        [b"NaN", b"1e999", b"9" * 5000, b"[" * 300, b"\\ud800", b'"', b"null"]
    )
    return whole[:start] + draw(junk) + whole[end:]


WHOLE: Final = [json.dumps(value).encode() for value in (RUN, PAGE, ERROR, EVENT)]
BODIES: Final = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.sampled_from(WHOLE)
    | st.sampled_from(WHOLE).flatmap(spliced)
)
PACKED: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": bytes,
    "identity": bytes,
}
HEADER_NAMES: Final = st.sampled_from(
    ["Retry-After", "retry-after-ms", "Date", "Location", "request-id", "Content-Type", "Set-Cookie", "x-should-retry"]
)
HEADER_VALUES: Final = (
    st.binary(max_size=20)
    | st.integers(-5, 10**9).map(lambda number: str(number).encode())
    | st.sampled_from([KEY.encode(), b"/api/v1/" + KEY.encode(), b"true", b"text/event-stream", b"\\" * 4000])
)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """A response of HTTP, more or less."""
    body = draw(BODIES)
    status = draw(
        st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 404, 409, 422, 429, 500, 503]) | st.integers(100, 999)
    )
    lines = [b"HTTP/1.1 %d X" % status]
    if draw(st.booleans()):
        encoding = draw(st.sampled_from(sorted(PACKED)))
        packed = PACKED[encoding](body)
        body = draw(st.just(packed) | spliced(packed))
        lines.append(b"Content-Encoding: " + encoding.encode())
    framing = draw(st.sampled_from(["exact", "exact", "short", "long", "chunked", "cut", "none"]))
    length = {"exact": len(body), "short": len(body) // 2, "long": len(body) + 9}.get(framing)
    if length is not None:
        lines.append(b"Content-Length: %d" % length)
    elif framing != "none":
        lines.append(b"Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n" % (len(body), body) + (b"0\r\n\r\n" if framing == "chunked" else b"zz\r\n")
    headers = draw(st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=4))
    lines += [name.encode() + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"", body])


ANSWERS: Final = st.lists(responses() | responses().flatmap(spliced) | st.binary(max_size=60), min_size=1, max_size=4)
CALLS: Final[dict[str, Callable[[FloraSession], Awaitable[Any]]]] = {
    "start": lambda flora: flora.techniques.runs.create("caption", inputs={"prompt": "x"}),
    "generation": lambda flora: flora.generations.create(type="image", project_id="prj_1", prompt="x"),
    "poll": lambda flora: flora.wait_for_run("run_1", raise_on_failure=True),
    "page": lambda flora: flora.techniques.runs.list(),
    "list": lambda flora: _all(flora.techniques.list()),
    "technique": lambda flora: flora.run("cctv-cam", IMAGE),
    "request": lambda flora: flora.request("GET", "/models"),
}


async def _all(pager: AsyncIterable[Any]) -> list[Any]:
    return [item async for item in pager]


class HostileFlora:
    """A server that sends the given bytes, one after another and the last again and again, and closes."""

    def __init__(self) -> None:
        self.answers = [b""]

    async def serve(self, _head: bytes, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()


@pytest.mark.parametrize("call", CALLS)
def test_any_answer_is_a_result_or_an_error_of_ours_that_shows_no_key(call: str) -> None:
    hostile = HostileFlora()
    with asyncio.Runner() as runner:
        server = raw_flora(hostile.serve)
        url = runner.run(server.__aenter__())

        async def once(answers: list[bytes]) -> None:
            hostile.answers = list(answers)
            before = asyncio.all_tasks()
            async with FloraSession(KEY, base_url=url, retry=ONCE, poll=POLL, clock=VirtualClock()) as flora:
                message = details = "a result"
                try:
                    await CALLS[call](flora)
                except FloraError as error:
                    message, details = str(error), f"{error!r} {error.__cause__!r} {vars(error)}"
                assert message.splitlines() == [message[:200]]
                assert KEY not in details
            assert {task for task in asyncio.all_tasks() - before if "handle" not in repr(task)} == set()

        @fuzzed
        @given(ANSWERS)
        def check(answers: list[bytes]) -> None:
            runner.run(once(answers))

        check()
        runner.run(server.__aexit__(None, None, None))


@fuzzed
@given(BODIES, st.sampled_from(["signed", "unsigned", "other"]), st.text(max_size=30))
def test_any_delivery_is_an_event_or_an_error_of_verification(body: bytes, signature: str, header: str) -> None:
    headers = {"signed": sign(body, SECRET), "unsigned": header, "other": sign(body, "whsec_other")}[signature]
    message = "verified"
    try:
        unwrap(body, headers, SECRET)
    except WebhookVerificationError as error:
        message = str(error)
    assert message.splitlines() == [message[:200]]
    assert signature == "signed" or message != "verified"


@fuzzed
@given(BODIES, st.booleans())
def test_a_receiver_answers_any_delivery_and_passes_on_events_only(body: bytes, is_signed: bool) -> None:
    events: list[WebhookEvent] = []
    receiver = WebhookReceiver(SECRET, on_event=events.append)
    status = asyncio.run(_deliver(receiver, body, sign(body, SECRET) if is_signed else body.decode("latin-1")))
    assert status == (204 if events else 400)


async def _deliver(receiver: WebhookReceiver, body: bytes, signature: str) -> int:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"flora-signature", signature.encode("latin-1"))]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": body[:30], "headers": headers}
    await receiver(scope, receive, send)
    return int(sent[0]["status"])


@fuzzed
@given(st.binary(max_size=300), st.sampled_from([b"", b"SQLite format 3\x00"]), st.none() | st.binary(max_size=100))
def test_any_file_as_a_journal_is_refused_and_left_as_it_was(content: bytes, magic: bytes, log: bytes | None) -> None:
    async def opened(path: Path) -> None:
        await (await SqliteJournal.open(path, None)).close()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "batch.sqlite")
        files = {path: magic + content} | ({} if log is None else {Path(f"{path}-wal"): log})
        for file, text in files.items():
            file.write_bytes(text)
        with pytest.raises(JournalError):
            asyncio.run(opened(path))
        assert {file: file.read_bytes() for file in files} == files


def _filled(start: bytes, item: bytes, end: bytes, size: int, count: int = 10**9) -> bytes:
    count = min(count, (size - len(start) - len(end)) // (len(item) + 1))
    return start + b",".join([item] * count) + end


RUN_START: Final = b'{"run_id": "r", "status": "completed", "outputs": ['
LARGEST: Final = {
    "values": _filled(b'{"technique_runs": [], "x": [', b'"12345678"', b"]}", ResponseLimits().page, 249_990),
    "empty objects": _filled(b'{"technique_runs": [], "x": [', b"{}", b"]}", ResponseLimits().page, 99_990),
    "runs": _filled(b'{"technique_runs": [', RUN_START + b"{},{},{}]}", b"]}", ResponseLimits().page, 9_999),
    "outputs": _filled(RUN_START, b'{"type": "text", "url": "u"}', b"]}", ResponseLimits().run, 9_999),
    "odd fields": b'{"run_id": "r", "status": "completed", %b}'
    % b",".join(b'"field_%d": %d' % (i, i) for i in range(49_000)),
    "one text": b'{"technique_runs": [], "x": "' + "\U0001f600".encode() * 2_000_000 + b'"}',
    "not text": b'{"technique_runs": [], "x": "' + b"\xff" * 8_000_000 + b'"}',
}


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_answers_that_are_read_need_64_mib_at_most(name: str) -> None:
    body = LARGEST[name]
    is_page = body.startswith(b'{"technique_runs"')
    assert len(body) <= (ResponseLimits().page if is_page else ResponseLimits().run)
    tracemalloc.start()
    try:
        read = decode_page(body, TechniqueRun, "technique_runs") if is_page else decode(body, TechniqueRun)
        assert read is not None
        assert tracemalloc.get_traced_memory()[1] <= MAX_PEAK
    finally:
        tracemalloc.stop()


@asynccontextmanager
async def _sending(response: bytes) -> AsyncIterator[FloraSession]:
    async def serve(_: bytes, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(response)

    async with raw_flora(serve) as url, FloraSession(KEY, base_url=url, retry=ONCE, poll=IMPATIENT) as flora:
        yield flora


@pytest.mark.parametrize(("call", "size"), [("poll", ResponseLimits().run), ("page", ResponseLimits().page)])
async def test_a_small_body_that_unpacks_to_a_huge_one_is_given_up_at_its_limit(call: str, size: int) -> None:
    stream = zlib.compressobj(wbits=31)
    bomb = b"".join(stream.compress(b" " * 1024**2) for _ in range(256)) + stream.flush()
    async with _sending(answer(bomb, Content_Encoding="gzip")) as flora:
        tracemalloc.start()
        try:
            with pytest.raises(DecodeError, match=f"more than {size:,} bytes"):
                await CALLS[call](flora)
            assert tracemalloc.get_traced_memory()[1] <= MAX_PEAK
        finally:
            tracemalloc.stop()
