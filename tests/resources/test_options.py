"""Views of a session: their own options, and everything else of the session."""

from typing import Any

import pytest
from conftest import IMAGE, SWIFT_POLL, SWIFT_RETRY, OpenSession
from sweep import Sweep

from flora_async import FloraSession, RateLimitError, RetryPolicy
from flora_async.testing import FakeFlora, Status, VirtualClock

SECRET = "tok_0123456789"


async def test_options_of_a_view_are_on_starts_polls_and_batches_and_not_on_the_session(
    fake: FakeFlora, session_on: OpenSession
) -> None:
    flora = session_on(fake, headers={"X-Team": "studio", "X-Old": "1"}, query={"tenant": "a"})
    view = flora.with_options(headers={"x-old": None}).with_options(headers={"X-Job": SECRET}, query={"trace": 1})
    run = await view.run("cctv-cam", IMAGE)
    assert run.poll_url is not None
    assert "tenant" not in run.poll_url
    await view.run_all("caption", [{"prompt": "a"}])
    assert len(fake.requests) > 3
    for request in fake.requests:
        assert (request.headers["X-Team"], request.headers["X-Job"]) == ("studio", SECRET)
        assert "X-Old" not in request.headers
        assert (request.query["tenant"], request.query["trace"]) == ("a", "1")
    sent = len(fake.requests)
    await flora.techniques.list()
    assert "X-Job" not in fake.requests[sent].headers
    assert fake.requests[sent].headers["X-Old"] == "1"


async def test_a_429_of_a_view_pauses_the_session(fake: FakeFlora, session_on: OpenSession) -> None:
    clock = VirtualClock()
    flora = session_on(fake, clock=clock)
    fake.inject(Status(429, retry_after=7))
    with pytest.raises(RateLimitError):
        await flora.with_options(retry=RetryPolicy(attempts=1)).techniques.list()
    began = clock.monotonic()
    await flora.techniques.list()
    assert clock.monotonic() - began >= 7


async def test_a_view_shares_what_the_session_remembers(fake: FakeFlora, flora: FloraSession) -> None:
    await flora.with_options(timeout=5).run("cctv-cam", {"input_image": b"\x89PNG\r\n\x1a\n"})
    sent = len(fake.requests)
    await flora.run("cctv-cam", {"input_image": b"\x89PNG\r\n\x1a\n"})
    names = {request.route.name for request in fake.requests[sent:]}
    assert not names & {"techniques.retrieve", "assets.create", "workspaces.list"}, names


async def test_only_the_session_itself_is_entered_and_closed(flora: FloraSession) -> None:
    view = flora.with_options(poll=SWIFT_POLL, retry=SWIFT_RETRY)
    with pytest.raises(RuntimeError, match="view"):
        await view.__aenter__()
    with pytest.raises(RuntimeError, match="view"):
        await view.close()
    assert repr(view).startswith("<view of a FloraSession open")


def test_bad_options_are_refused_without_showing_a_value(flora: FloraSession) -> None:
    bad: list[dict[str, Any]] = [
        *(
            {"headers": {name: SECRET}}
            for name in ("authorization", "Idempotency-Key", "Content-Type", "HOST", "a b", "")
        ),
        {"headers": {"X-A": f"{SECRET}\r\nX-B: 1"}},
        {"headers": {"X-A": SECRET.encode()}},
        {"headers": {"X-A": SECRET, "x-a": SECRET}},
        {"headers": SECRET},
        {"query": SECRET},
        {"query": {"a": [SECRET]}},
        {"timeout": 0},
        {"retry": 3},
        {"poll": 3},
    ]
    with Sweep() as sweep:
        for options in bad:
            with sweep.row(str(list(options.items()))):
                with pytest.raises((TypeError, ValueError)) as caught:
                    flora.with_options(**options)
                assert SECRET not in str(caught.value)
