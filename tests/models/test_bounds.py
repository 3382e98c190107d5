"""Bounds: what an answer may cost before it is refused, and where a large one is read."""

import json
import threading
from typing import TYPE_CHECKING

import pytest
from conftest import OpenSession

from flora_async import DecodeError, FloraSession, ResponseLimits
from flora_async._http.client import read_response
from flora_async._http.responses import Response, raise_for_status
from flora_async.errors import FloraError, InternalServerError
from flora_async.testing import FakeFlora, Oversize, Replace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.mark.parametrize(("size", "inline"), [(500, True), (16 * 1024, True), (16 * 1024 + 1, False)])
async def test_a_response_that_could_block_the_event_loop_is_read_in_a_thread(size: int, inline: bool) -> None:
    def read(response: Response, *_: object) -> bool:
        assert len(response.body) == size
        return threading.current_thread() is threading.main_thread()

    assert await read_response(read, Response(200, {}, b"x" * size), "more") is inline


async def test_a_large_page_and_a_large_run_are_read_whole(fake: FakeFlora, flora: FloraSession) -> None:
    run = {"run_id": "run_1", "status": "completed", "outputs": [{"type": "text", "url": "A caption, " * 2_000}]}
    fake.inject(Replace({"technique_runs": [run] * 100}), on="history")
    assert len((await flora.techniques.runs.list()).items) == 100
    fake.inject(Replace(run), on="poll")
    assert (await flora.wait_for_run("run_1")).outputs[0].text == "A caption, " * 2_000


async def test_an_error_in_a_thread_is_the_same_error(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Replace({"technique_runs": [None] * 10_001}), on="history")
    with pytest.raises(DecodeError, match="a list of at most 10000 items") as caught:
        await flora.techniques.runs.list()
    assert caught.value.request_id == fake.requests[0].request_id


def test_an_error_page_of_any_size_is_not_parsed() -> None:
    body = json.dumps({"error": {"code": "c", "message": "m", "padding": "x" * 20_000}}).encode()
    with pytest.raises(InternalServerError) as caught:
        raise_for_status(Response(503, {}, body), 0.0)
    assert (caught.value.code, caught.value.body) == (None, body)


LIMITS = ResponseLimits(run=100_000, page=200_000)


@pytest.mark.parametrize(
    ("label", "name"),
    [("start", "run"), ("poll", "run"), ("history", "page"), ("technique", "page"), ("other", "page")],
)
async def test_each_limit_of_a_session_holds_for_the_answers_that_it_names(
    fake: FakeFlora, session_on: OpenSession, label: str, name: str
) -> None:
    flora = session_on(fake, limits=LIMITS)
    run = await flora.techniques.runs.create("caption", inputs={"prompt": "x"})
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "start": lambda: flora.techniques.runs.create("caption", inputs={"prompt": "x"}),
        "poll": lambda: flora.wait_for_run(run),
        "history": flora.techniques.runs.list,
        "technique": lambda: flora.techniques.retrieve("caption"),
        "other": flora.workspaces.list,
    }
    size = getattr(LIMITS, name)
    route = "workspaces.list" if label == "other" else label
    fake.inject(Oversize(size + 1), on=route, times=None)
    with pytest.raises(FloraError) as caught:
        await calls[label]()
    refused = caught.value if isinstance(caught.value, DecodeError) else caught.value.__cause__
    assert f"more than {size:,} bytes were sent; ResponseLimits({name}=…) allows more" in str(refused)


async def test_a_higher_limit_lets_a_longer_text_through(fake: FakeFlora, session_on: OpenSession) -> None:
    text = "A caption, " * 150_000
    run = {"run_id": "run_1", "status": "completed", "outputs": [{"type": "text", "url": text}]}
    flora = session_on(fake, limits=ResponseLimits(run=4 * 1024**2))
    fake.inject(Replace(run), on="poll")
    assert (await flora.wait_for_run("run_1")).outputs[0].text == text
