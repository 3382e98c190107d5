"""The history of runs and its pager; and `flora.request` for operations that have no method."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import IMAGE, OpenSession

from flora_async import (
    APIStatusError,
    DecodeError,
    FloraError,
    FloraSession,
    IdempotencyError,
    Page,
    Pager,
    RunStatus,
    SubmissionUnknownError,
    TechniqueRun,
)
from flora_async.testing import Drop, FakeFlora, Replace, Slow, Status


@pytest.fixture
async def fake() -> AsyncIterator[FakeFlora]:
    async with FakeFlora(history_lag=0) as server:
        yield server


async def fill(flora: FloraSession, count: int) -> list[str]:
    """Start runs and return their ids, newest first."""
    runs = [await flora.techniques.runs.create("cctv-cam", inputs=IMAGE) for _ in range(count)]
    return [run.run_id for run in reversed(runs)]


async def test_iteration_goes_over_the_items_of_all_pages_newest_first(fake: FakeFlora, flora: FloraSession) -> None:
    ids = await fill(flora, 7)
    listed = [run async for run in flora.techniques.runs.list(limit=3)]
    assert [run.run_id for run in listed] == ids
    assert [request.operation for request in fake.requests].count("history") == 3
    assert all(type(run) is TechniqueRun for run in listed)
    assert (listed[0].workspace_id, listed[0].project_id) == ("ws_local", "prj_local")
    assert listed[0].technique is not None
    assert listed[0].technique.name == "CCTV cam"


async def test_awaiting_gives_the_first_page_alone(fake: FakeFlora, flora: FloraSession) -> None:
    ids = await fill(flora, 3)
    page = await flora.techniques.runs.list(limit=2)
    assert isinstance(page, Page)
    assert [run.run_id for run in page.items] == ids[:2]
    assert page.total_estimate == 3
    assert page.next_cursor
    assert [request.operation for request in fake.requests].count("history") == 1


async def test_a_cursor_continues_where_an_earlier_page_ended(flora: FloraSession) -> None:
    ids = await fill(flora, 5)
    page = await flora.techniques.runs.list(limit=2)
    rest = [run.run_id async for run in flora.techniques.runs.list(limit=2, cursor=page.next_cursor)]
    assert rest == ids[2:]


async def test_pages_are_fetched_as_they_are_asked_for(fake: FakeFlora, flora: FloraSession) -> None:
    ids = await fill(flora, 5)
    pages = flora.techniques.runs.list(limit=2)
    assert [[run.run_id for run in page.items] async for page in pages.pages()] == [ids[:2], ids[2:4], ids[4:]]
    before = len(fake.requests)
    async for run in pages:
        assert run.run_id == ids[0]
        break
    assert len(fake.requests) == before + 1


async def test_an_empty_history_is_an_empty_iteration(flora: FloraSession) -> None:
    assert [run async for run in flora.techniques.runs.list()] == []


async def test_filters_are_sent_under_floras_names_unless_they_are_none(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Replace({"technique_runs": []}), on="history", times=2)
    await flora.techniques.runs.list(
        workspace_id="ws_1", project_id="prj_1", technique_id="tech 1 &?", status=RunStatus.FAILED, limit=5
    )
    await flora.techniques.runs.list(status="queued")
    assert dict(fake.requests[0].query) == {
        "workspace_id": "ws_1",
        "project_id": "prj_1",
        "technique_id": "tech 1 &?",
        "status": "failed",
        "limit": "5",
    }
    assert dict(fake.requests[1].query) == {"status": "queued"}


async def test_a_status_filter_is_applied(fake: FakeFlora, flora: FloraSession) -> None:
    await flora.run("always-fails", {"prompt": "x"})
    await flora.run("cctv-cam", IMAGE)
    (failed,) = [run async for run in flora.techniques.runs.list(status="failed")]
    assert (failed.run_id, failed.error_code) == (fake.runs[0].run_id, "safety_blocked")


@pytest.mark.parametrize("limit", [0, -1, 101, True, 2.5, "5"])
async def test_a_limit_out_of_range_is_refused_before_anything_is_sent(
    fake: FakeFlora, flora: FloraSession, limit: Any
) -> None:
    with pytest.raises(ValueError, match="limit"):
        await flora.techniques.runs.list(limit=limit)
    assert not fake.requests


def empty_page(cursor: str) -> dict[str, Any]:
    return {"technique_runs": [], "meta": {"next_cursor": cursor}}


async def test_cursors_that_form_a_cycle_are_an_error_and_not_an_endless_loop(
    fake: FakeFlora, flora: FloraSession
) -> None:
    for cursor in ("a", "b", "a"):
        fake.inject(Replace(empty_page(cursor)), on="history")
    with pytest.raises(DecodeError, match="cycle"):
        _ = [run async for run in flora.techniques.runs.list()]
    assert len(fake.requests) == 3


async def test_empty_pages_that_always_name_another_one_end_with_an_error(fake: FakeFlora, flora: FloraSession) -> None:
    for number in range(101):
        fake.inject(Replace(empty_page(f"c{number}")), on="history")
    with pytest.raises(DecodeError, match="100 pages in a row were empty"):
        _ = [run async for run in flora.techniques.runs.list()]
    assert len(fake.requests) == 100


async def test_a_few_empty_pages_do_not_end_a_list(fake: FakeFlora, flora: FloraSession) -> None:
    for number in range(99):
        fake.inject(Replace(empty_page(f"c{number}")), on="history")
    fake.inject(Replace({"technique_runs": [{"run_id": "run_1", "status": "failed"}]}), on="history")
    assert [run.run_id async for run in flora.techniques.runs.list()] == ["run_1"]


async def test_a_list_of_endless_pages_ends_with_an_error() -> None:
    async def fetch(cursor: str | None) -> Page[int]:
        return Page(items=(1,), next_cursor=str(int(cursor or 0) + 1))

    count = 0
    with pytest.raises(DecodeError, match="more than 100,000 pages"):
        async for _ in Pager(fetch, None):
            count += 1
    assert count == 100_000


@pytest.mark.parametrize(
    "end", [{}, {"meta": {}}, {"meta": None}, {"meta": {"next_cursor": ""}}, {"meta": {"nextCursor": None}}]
)
async def test_every_way_to_say_the_end_is_understood(
    fake: FakeFlora, flora: FloraSession, end: dict[str, Any]
) -> None:
    fake.inject(Replace({"techniqueRuns": [{"runId": "run_1", "status": "failed"}], **end}), on="history")
    assert [run.run_id async for run in flora.techniques.runs.list()] == ["run_1"]


async def test_an_item_that_cannot_be_read_is_left_out_reported_and_logged(
    fake: FakeFlora, flora: FloraSession, caplog: pytest.LogCaptureFixture
) -> None:
    items = [{"run_id": "run_3", "status": "completed"}, {"status": "failed"}, {"run_id": "run_1", "status": "failed"}]
    fake.inject(Replace({"technique_runs": items}), on="history", times=2)
    assert [run.run_id async for run in flora.techniques.runs.list()] == ["run_3", "run_1"]
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "run_id" in warning.getMessage()
    (page,) = [page async for page in flora.techniques.runs.list().pages()]
    (problem,) = page.problems
    assert (problem.index, problem.path) == (1, "run_id")


async def test_pages_of_items_that_cannot_be_read_are_not_empty(fake: FakeFlora, flora: FloraSession) -> None:
    for number in range(120):
        fake.inject(Replace({**empty_page(f"c{number}"), "technique_runs": [{"status": "failed"}]}), on="history")
    fake.inject(Replace({"technique_runs": []}), on="history")
    assert [run async for run in flora.techniques.runs.list()] == []
    assert len(fake.requests) == 121


async def test_a_page_of_another_shape_names_the_path(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Replace({"technique_runs": {}}), on="history")
    with pytest.raises(DecodeError) as caught:
        await flora.techniques.runs.list()
    assert caught.value.path == "technique_runs"
    assert caught.value.request_id == fake.requests[0].request_id


async def test_an_unreadable_run_of_the_history_hides_no_other(fake: FakeFlora, flora: FloraSession) -> None:
    runs = [{"run_id": "run_1", "status": "failed", "progress": "x"}, {"status": "failed"}, None]
    fake.inject(Replace({"technique_runs": runs}), on="history")
    page = await flora.techniques.runs.list()
    assert [run.run_id for run in page.items] == ["run_1"]
    assert [(problem.index, problem.path) for problem in page.problems] == [(1, "run_id"), (2, "")]


async def test_a_list_whose_cursor_cannot_be_read_does_not_end_as_if_it_were_whole(
    fake: FakeFlora, flora: FloraSession
) -> None:
    answer = {"technique_runs": [{"run_id": "run_1", "status": "failed"}], "meta": {"next_cursor": 5}}
    fake.inject(Replace(answer), on="history")
    seen = []
    with pytest.raises(DecodeError, match=r"meta\.next_cursor"):
        async for run in flora.techniques.runs.list():
            seen.append(run.run_id)  # noqa: PERF401 - a comprehension would lose what came before the error
    assert seen == ["run_1"]


async def test_request_reaches_any_path_and_returns_its_json_as_it_came(fake: FakeFlora, flora: FloraSession) -> None:
    payload = {"models": [{"some_key": 1, "someKey": None}]}
    fake.inject(Replace(payload), on="other")
    assert await flora.request("get", "/models", params={"type": "image", "deep": True, "none": None}) == payload
    assert fake.requests[0].target == "/api/v1/models?type=image&deep=true"
    assert "Idempotency-Key" not in fake.requests[0].headers


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_what_may_cost_money_carries_a_key_and_is_not_repeated_in_doubt(
    fake: FakeFlora, flora: FloraSession, method: str
) -> None:
    fake.inject(Drop(acts=False), on="other", times=None)
    with pytest.raises(SubmissionUnknownError) as caught:
        await flora.request(method, "/generate", json={"prompt": "x"})
    assert len(fake.requests) == 1
    assert fake.requests[0].headers["Idempotency-Key"] == caught.value.idempotency_key
    assert fake.requests[0].json == {"prompt": "x"}
    assert caught.value.technique_id is None


async def test_what_was_certainly_not_carried_out_is_repeated_without_a_key_of_the_caller(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.inject(Status(429, retry_after=0), on="other", times=2)
    fake.inject(Replace({"ok": 1}), on="other")
    assert await flora.request("POST", "/generate", json={}) == {"ok": 1}
    assert len({request.headers["Idempotency-Key"] for request in fake.requests}) == 1


async def test_with_a_key_of_the_caller_a_post_is_repeated_under_that_key(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Drop(acts=True), on="other", times=2)
    fake.inject(Replace({"ok": 1}), on="other")
    assert await flora.request("POST", "/generate", json={}, idempotency_key="mine") == {"ok": 1}
    assert [request.headers["Idempotency-Key"] for request in fake.requests] == ["mine"] * 3


async def test_an_immediate_conflict_leaves_nothing_in_doubt(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Status(409, code="idempotency_duplicate"), on="other")
    with pytest.raises(IdempotencyError):
        await flora.request("POST", "/generate", json={}, idempotency_key="mine")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_what_can_be_repeated_at_will_is_repeated(fake: FakeFlora, flora: FloraSession, method: str) -> None:
    fake.inject(Status(503), on="other", times=2)
    fake.inject(Replace(None), on="other")
    assert await flora.request(method, "/things/1", json={"a": 1}) is None
    assert len(fake.requests) == 3


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "models", ValueError),
        ("GET", "//evil.example/x", ValueError),
        ("GET", "https://evil.example/x", ValueError),
        ("GET", "/a/../../admin", ValueError),
        ("GET", "/a b", ValueError),
        ("GET", "/a\n", ValueError),
        ("GET", "/a#b", ValueError),
        ("FETCH", "/models", ValueError),
        ("", "/models", ValueError),
        (None, "/models", TypeError),
        ("GET", None, TypeError),
    ],
)
async def test_a_request_that_cannot_be_right_is_refused_before_anything_is_sent(
    fake: FakeFlora, flora: FloraSession, method: Any, path: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        await flora.request(method, path)
    assert not fake.requests


@pytest.mark.parametrize("body", [{1, 2}, float("nan"), {"a": object()}])
async def test_a_body_that_is_no_json_is_refused_before_anything_is_sent(
    fake: FakeFlora, flora: FloraSession, body: Any
) -> None:
    with pytest.raises((TypeError, ValueError)):
        await flora.request("POST", "/generate", json=body)
    assert not fake.requests


async def test_an_empty_answer_is_none_and_an_error_is_ours(fake: FakeFlora, flora: FloraSession) -> None:
    with pytest.raises(APIStatusError, match="404") as caught:
        await flora.request("GET", "/nowhere")
    assert caught.value.headers["request-id"] == fake.requests[0].request_id


async def test_many_sessions_in_one_process_do_not_share_a_gate(fake: FakeFlora, session_on: OpenSession) -> None:
    fake.inject(Status(429, retry_after=3600), on="history")
    held = asyncio.create_task(session_on(fake).request("GET", "/technique-runs"))
    while not fake.requests:
        await asyncio.sleep(0.001)
    assert await session_on(fake).request("GET", "/technique-runs")
    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held


async def test_cancelling_one_request_leaves_the_others_alone(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Slow(30), on="history")
    slow = asyncio.create_task(flora.request("GET", "/technique-runs"))
    while not fake.requests:
        await asyncio.sleep(0.001)
    others = [asyncio.create_task(flora.request("GET", "/technique-runs")) for _ in range(10)]
    slow.cancel()
    answers = await asyncio.gather(*others)
    assert len(answers) == 10
    with pytest.raises(asyncio.CancelledError):
        await slow


async def test_the_json_root_decides_nothing_but_the_path(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Replace({"technique_runs": "x"}), on="history")
    with pytest.raises(FloraError, match="technique_runs"):
        await flora.techniques.runs.list()
