"""Technique runs of the local FLORA: their course, refused starts and the history."""

import math
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from plain_client import TEXT, Client, start_body
from yarl import URL

from flora_async.testing import (
    FakeFlora,
    FakeModel,
    FakeTechnique,
    Garbage,
    VirtualClock,
)

GENERATION = {"type": "image", "prompt": "a cat", "workspace_id": "ws_local", "project_id": "prj_local"}


@pytest.fixture
async def fake(clock: VirtualClock) -> AsyncIterator[FakeFlora]:
    async with FakeFlora(case="snake", run_seconds=10.0, clock=clock, history_lag=0) as fake:
        yield fake


async def test_a_run_goes_from_pending_to_running_to_completed_as_time_passes(
    client: Client, clock: VirtualClock
) -> None:
    response, run = await client.start()
    path = f"/techniques/caption/runs/{run['run_id']}"
    assert response.status == 201
    assert run["run_id"].startswith("run_")
    assert run["created_at"] == 1_780_000_000_000
    seen = [run]
    for _ in range(6):
        clock.advance(2.0)
        response, run = await client.get(path)
        assert response.status == 200
        seen.append(run)
    assert [(run["status"], run["progress"]) for run in seen] == [
        ("pending", 0),
        ("running", 0),
        ("running", 25),
        ("running", 50),
        ("running", 75),
        ("completed", 100),
        ("completed", 100),
    ]
    assert "started_at" not in seen[0]
    assert seen[1]["started_at"] == seen[6]["started_at"] == 1_780_000_002_000
    assert "completed_at" not in seen[4]
    assert seen[5]["completed_at"] == seen[6]["completed_at"] == 1_780_000_010_000
    assert seen[5]["charged_cost"] == 0.01
    assert seen[5]["outputs"] == [{"output_id": "output_1", "type": "text", "url": "Caption: a cat"}]


async def test_a_failing_technique_ends_in_a_failed_run_that_costs_nothing(client: Client, clock: VirtualClock) -> None:
    _, run = await client.start("always-fails")
    clock.advance(10.0)
    _, run = await client.get(run["poll_url"])
    assert (run["status"], run["error_code"]) == ("failed", "safety_blocked")
    assert run["error_message"]
    assert run["completed_at"] == 1_780_000_010_000
    assert run.keys().isdisjoint({"outputs", "charged_cost"})
    assert client.fake.runs[0].charged_cost == 0.0


async def test_a_failed_run_has_full_progress_and_an_end(client: Client, clock: VirtualClock) -> None:
    _, run = await client.start("always-fails")
    clock.advance(10.0)
    _, run = await client.get(run["poll_url"])
    assert (run["status"], run["progress"], run["completed_at"]) == ("failed", 100, 1_780_000_010_000)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("GENERATION_PROVIDER_TIMEOUT", "The provider timed out."),
        ("GENERATION_NO_RESULT", "Blocked by our safety policy."),
        ("BILLING_LIMIT_REACHED", None),
    ],
)
async def test_runs_fail_with_any_code_of_production(
    client: Client, clock: VirtualClock, code: str, message: str | None
) -> None:
    client.fake.add_technique(FakeTechnique("moody", error_code=code, error_message=message, running=1.0))
    _, run = await client.start("moody")
    clock.advance(2.0)
    _, run = await client.get(run["poll_url"])
    assert (run["status"], run["error_code"], run.get("error_message")) == ("failed", code, message)


async def test_the_outcome_can_be_drawn_for_each_run(client: Client, clock: VirtualClock) -> None:
    codes = iter(["GPU_PROVIDER_ERROR", None, "GENERATION_NO_RESULT"])
    client.fake.add_technique(FakeTechnique("moody", error_code=lambda: next(codes), error_message="No luck."))
    runs = [(await client.start("moody"))[1] for _ in range(3)]
    clock.advance(1.0)
    ended = [(await client.get(run["poll_url"]))[1] for run in runs]
    assert [(run["status"], run.get("error_code"), run.get("error_message")) for run in ended] == [
        ("failed", "GPU_PROVIDER_ERROR", "No luck."),
        ("completed", None, None),
        ("failed", "GENERATION_NO_RESULT", "No luck."),
    ]


async def test_the_answer_to_a_start_has_a_quote_and_the_run_its_cost(client: Client, clock: VirtualClock) -> None:
    client.fake.add_technique(FakeTechnique("poster", quote=0.253, run_cost=0.873, pending=0, running=5.0))
    client.fake.add_model(FakeModel("painter", "image", quote=0.036, run_cost=0.02, running=5.0))
    _, technique = await client.get("/techniques/poster")
    _, run = await client.start("poster")
    _, ticket = await client.post("/generate", {**GENERATION, "model": "painter"})
    assert (technique["run_cost"], run["charged_cost"], ticket["charged_cost"]) == (0.253, 0.253, 0.036)
    assert "charged_cost" not in (await client.get(run["poll_url"]))[1]
    clock.advance(6.0)
    ended = [(await client.get(started["poll_url"]))[1] for started in (run, ticket)]
    assert [run["charged_cost"] for run in ended] == [run.charged_cost for run in client.fake.runs] == [0.873, 0.02]


async def test_a_failed_run_is_refunded_unless_it_has_a_cost(client: Client, clock: VirtualClock) -> None:
    client.fake.add_technique(FakeTechnique("costly", error_code="SERVER_ERROR", failed_cost=0.03, running=1.0))
    runs = [(await client.start(name))[1] for name in ("always-fails", "costly")]
    clock.advance(10.0)
    ended = [(await client.get(run["poll_url"]))[1] for run in runs]
    assert [run.get("charged_cost") for run in ended] == [None, 0.03]
    assert [run.charged_cost for run in client.fake.runs] == [0.0, 0.03]


async def test_the_cost_of_a_run_is_known_a_while_after_its_end(
    http: aiohttp.ClientSession, clock: VirtualClock
) -> None:
    async with FakeFlora(case="snake", run_seconds=10.0, cost_lag=60.0, clock=clock) as fake:
        client = Client(fake, http)
        _, run = await client.start()
        clock.advance(69.0)
        for seconds, costs in ((0.0, [None, None]), (1.0, [0.01, 0.01])):
            clock.advance(seconds)
            _, polled = await client.get(run["poll_url"])
            _, page = await client.get("/technique-runs")
            assert [shown.get("charged_cost") for shown in (polled, page["technique_runs"][0])] == costs
            assert (polled["status"], fake.runs[0].charged_cost) == ("completed", 0.01)


@pytest.mark.parametrize("history", ["technique-runs", "generations"])
async def test_a_run_appears_in_its_history_after_a_lag(
    http: aiohttp.ClientSession, clock: VirtualClock, history: str
) -> None:
    async with FakeFlora(case="snake", history_lag=2.0, clock=clock) as fake:
        client = Client(fake, http)
        _, run = await client.start() if history == "technique-runs" else await client.post("/generate", GENERATION)
        assert (await client.get(run["poll_url"]))[0].status == 200
        for seconds, count in ((1.9, 0), (0.1, 1)):
            clock.advance(seconds)
            _, page = await client.get(f"/{history}")
            assert len(page[history.replace("-", "_")]) == page["meta"]["total_estimate"] == count


async def test_runs_advance_in_real_time_without_a_virtual_clock(http: aiohttp.ClientSession) -> None:
    async with FakeFlora() as fake:
        client = Client(fake, http)
        _, run = await client.start()
        while run["status"] != "completed":
            _, run = await client.get(run["pollUrl"])
        assert fake.runs[0].charged_cost == 0.01


async def test_the_server_exposes_its_runs(client: Client, clock: VirtualClock) -> None:
    body = start_body(mode="stream", callback_url="https://example.com/hook", idempotency_key="k1")
    _, first = await client.start(json=body)
    _, second = await client.start("always-fails")
    one, two = client.fake.runs
    assert (one.run_id, two.run_id) == (first["run_id"], second["run_id"])
    assert (one.technique_id, two.technique_id) == ("tech_caption", "tech_always_fails")
    assert one.inputs == {"prompt": "a cat"}
    assert (one.mode, one.callback_url, one.idempotency_key) == ("stream", "https://example.com/hook", "k1")
    assert (two.mode, two.callback_url, two.idempotency_key) == ("async", None, None)
    assert one.created_at == 1_780_000_000_000
    assert (one.status, one.charged_cost) == ("pending", 0.0)
    clock.advance(10.0)
    assert (one.status, one.charged_cost) == ("completed", 0.01)
    assert (two.status, two.charged_cost) == ("failed", 0.0)


@pytest.mark.parametrize("held", [{"pending": math.inf}, {"pending": 0, "running": math.inf}])
async def test_a_held_run_ends_on_demand(client: Client, clock: VirtualClock, held: Any) -> None:
    client.fake.add_technique(FakeTechnique("held", **held))
    runs = [(await client.start("held"))[1] for _ in range(3)]
    clock.advance(1e6)
    _, run = await client.get(runs[0]["poll_url"])
    assert (run["status"], run["progress"]) in {("pending", 0), ("running", 0)}
    client.fake.finish(runs[0]["run_id"])
    client.fake.finish(runs[1]["run_id"], error_code="model_timeout")
    client.fake.finish(runs[2]["run_id"], error_message="No code at all.")
    ended = [(await client.get(run["poll_url"]))[1] for run in runs]
    assert [run["status"] for run in ended] == ["completed", "failed", "failed"]
    assert [run.get("error_code") for run in ended] == [None, "model_timeout", None]
    assert ended[2]["error_message"] == "No code at all."
    assert {run["completed_at"] for run in ended} == {1_781_000_000_000}
    assert all(run["started_at"] <= run["completed_at"] for run in ended)


async def test_a_run_that_has_ended_or_does_not_exist_cannot_be_finished(client: Client, clock: VirtualClock) -> None:
    _, run = await client.start()
    clock.advance(10.0)
    with pytest.raises(ValueError, match="has already completed"):
        client.fake.finish(run["run_id"])
    with pytest.raises(LookupError, match="no run 'run_missing'"):
        client.fake.finish("run_missing")


async def test_a_run_is_found_by_slug_by_id_and_by_itself_but_not_under_another_technique(client: Client) -> None:
    _, run = await client.start()
    run_id = run["run_id"]
    for path in ("/techniques/caption", "/techniques/tech_caption", ""):
        response, found = await client.get(f"{path}/runs/{run_id}")
        assert (response.status, found["run_id"]) == (200, run_id)
    for path in (f"/techniques/cctv-cam/runs/{run_id}", "/runs/run_missing", "/nothing/here"):
        response, error = await client.get(path)
        assert response.status == 404
        assert error == {"error": {"code": "not_found", "message": "Not found."}}
    response, error = await client.start("missing")
    assert (response.status, error["error"]["code"]) == (404, "not_found")


async def test_path_parameters_are_decoded_once_and_the_raw_path_is_recorded(
    client: Client, fake: FakeFlora, http: aiohttp.ClientSession
) -> None:
    technique = fake.add_technique(FakeTechnique("mes images/été %41", technique_id="tech/1"))
    response, run = await client.start("mes%20images%2F%C3%A9t%C3%A9%20%2541")
    assert response.status == 201
    assert fake.runs[0].technique is technique
    assert run["poll_url"] == f"{fake.base_url}/techniques/tech%2F1/runs/{run['run_id']}"
    response, _ = await client.get(run["poll_url"])
    assert response.status == 200
    # yarl decodes what does not have to be encoded; `encoded=True` sends the text untouched.
    async with http.get(URL(f"{fake.base_url}/runs/%72un%5F1?a=%31", encoded=True)):
        pass
    assert fake.requests[-1].path == "/api/v1/runs/%72un%5F1"
    assert fake.requests[-1].target == "/api/v1/runs/%72un%5F1?a=%31"
    assert fake.requests[-1].query["a"] == "1"


async def test_poll_urls_can_be_left_out(http: aiohttp.ClientSession) -> None:
    async with FakeFlora(poll_urls=False, case="snake") as fake:
        client = Client(fake, http)
        _, run = await client.start()
        _, polled = await client.get(f"/runs/{run['run_id']}")
        assert "poll_url" not in run.keys() | polled.keys()


async def test_the_default_techniques_can_be_replaced(http: aiohttp.ClientSession) -> None:
    technique = FakeTechnique(
        "portrait",
        inputs={"prompt": "text"},
        optional_inputs={"film": "videoUrl"},
        pending=0,
        running=0,
    )
    async with FakeFlora(techniques=[technique], case="snake") as fake:
        client = Client(fake, http)
        response, run = await client.start("portrait")
        assert (response.status, run["status"], run["charged_cost"]) == (201, "completed", 0.05)
        response, _ = await client.start("caption")
        assert response.status == 404


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "sk_test_local"])
async def test_every_api_route_answers_401_without_the_key(
    fake: FakeFlora, http: aiohttp.ClientSession, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in ("/technique-runs", "/runs/run_1", "/missing"):
        async with http.get(fake.base_url + path, headers=headers) as response:
            assert response.status == 401
            assert await response.json() == {"error": {"code": "unauthorized", "message": "Invalid API key."}}
    async with http.post(f"{fake.base_url}/techniques/caption/runs", json=start_body(), headers=headers) as response:
        assert response.status == 401
    assert fake.runs == ()


async def test_every_answer_has_a_different_request_id(client: Client) -> None:
    client.fake.inject(Garbage(), on="poll")
    answers = [await client.start(), await client.get("/runs/run_1"), await client.get("/runs/run_1")]
    ids = [response.headers["request-id"] for response, _ in answers]
    assert all(id_.startswith("req_") for id_ in ids)
    assert len(set(ids)) == 3
    assert ids == [request.request_id for request in client.fake.requests]


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b"null"])
async def test_a_start_whose_body_is_not_a_json_object_is_a_400(client: Client, data: bytes) -> None:
    response, error = await client.start(data=data)
    assert (response.status, error["error"]["code"]) == (400, "invalid_json")
    assert client.fake.runs == ()


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"mode": None}, {"mode"}),
        ({"mode": []}, {"mode"}),
        ({"callback_url": "http://example.com"}, {"callback_url"}),
        ({"callback_url": None}, {"callback_url"}),
        ({"idempotency_key": ""}, {"idempotency_key"}),
        ({"idempotency_key": 1}, {"idempotency_key"}),
        ({"inputs": []}, {"inputs"}),
        ({"inputs": {"prompt": "a cat"}}, {"inputs"}),
        ({"inputs": ["a cat"]}, {"inputs[0]", "prompt"}),
        ({"inputs": [TEXT, TEXT | {"id": "colour"}]}, {"colour"}),
        ({"inputs": [TEXT, TEXT]}, {"prompt"}),
        ({"inputs": [TEXT | {"type": "imageUrl"}]}, {"prompt"}),
        ({"inputs": [TEXT | {"value": 1}]}, {"inputs[0]", "prompt"}),
        ({"inputs": [TEXT | {"more": 1}]}, {"inputs[0]", "prompt"}),
        ({"mode": "fast", "inputs": []}, {"mode", "inputs"}),
    ],
)
async def test_a_start_with_invalid_fields_is_a_400_that_names_them(
    client: Client, change: dict[str, Any], fields: set[str]
) -> None:
    response, error = await client.start(json=start_body() | change)
    assert (response.status, error["error"]["code"]) == (400, "input_validation_error")
    assert {field["field"] for field in error["error"]["fields"]} == fields
    assert all(field["message"] for field in error["error"]["fields"])
    assert client.fake.runs == ()


async def test_an_empty_text_for_an_optional_input_is_refused(client: Client) -> None:
    client.fake.add_technique(FakeTechnique("noted", optional_inputs={"notes": "text"}))
    blank = {"id": "notes", "type": "text", "value": ""}
    response, error = await client.start("noted", json={"inputs": [TEXT, blank], "mode": "async"})
    assert response.status == 400
    assert [field["field"] for field in error["error"]["fields"]] == ["notes"]
    response, _ = await client.start("noted", json={"inputs": [TEXT], "mode": "async"})
    assert response.status == 201


async def test_a_missing_input_is_refused_as_documented(client: Client) -> None:
    film = {"id": "film", "type": "videoUrl", "value": "https://example.com/film.mp4"}
    client.fake.add_technique(FakeTechnique("remix", optional_inputs={"film": "videoUrl"}))
    _, error = await client.start("remix", json={"inputs": [film], "mode": "async"})
    assert error == {
        "error": {
            "code": "input_validation_error",
            "message": "prompt: Required",
            "fields": [{"field": "prompt", "message": "Required"}],
        }
    }
    response, _ = await client.start("remix", json={"inputs": [film, TEXT], "mode": "async"})
    assert response.status == 201


async def test_history_is_newest_first_and_paginated(client: Client, clock: VirtualClock) -> None:
    for _ in range(5):
        await client.start()
    newest_first = [run.run_id for run in reversed(client.fake.runs)]
    _, first = await client.get("/technique-runs", params={"limit": 2})
    assert first["meta"]["total_estimate"] == 5
    await client.start()
    clock.advance(10.0)
    _, second = await client.get("/technique-runs", params={"limit": 2, "cursor": first["meta"]["next_cursor"]})
    _, third = await client.get("/technique-runs", params={"limit": 2, "cursor": second["meta"]["next_cursor"]})
    seen = [run["run_id"] for page in (first, second, third) for run in page["technique_runs"]]
    assert seen == newest_first
    assert third["meta"] == {"next_cursor": None, "total_estimate": 6}
    _, empty = await client.get("/technique-runs", params={"cursor": "MQ=="})
    assert empty == {"technique_runs": [], "meta": {"next_cursor": None, "total_estimate": 6}}


async def test_a_page_has_twenty_items_by_default_and_a_hundred_at_most(client: Client) -> None:
    for _ in range(21):
        await client.start()
    _, page = await client.get("/technique-runs")
    assert len(page["technique_runs"]) == 20
    _, page = await client.get("/technique-runs", params={"limit": 100})
    assert len(page["technique_runs"]) == 21


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", "101"),
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "ten"),
        ("limit", "²"),
        ("cursor", "?"),
        ("cursor", "eA=="),
        ("status", "sleeping"),
    ],
)
async def test_a_history_query_out_of_range_is_a_400(client: Client, field: str, value: str) -> None:
    response, error = await client.get("/technique-runs", params={field: value})
    assert (response.status, error["error"]["code"]) == (400, "input_validation_error")
    assert [problem["field"] for problem in error["error"]["fields"]] == [field]


async def test_history_can_be_filtered(client: Client, clock: VirtualClock) -> None:
    client.fake.add_technique(FakeTechnique("other", workspace_id="ws_2", project_id="prj_2", pending=math.inf))
    for technique in ("caption", "always-fails", "other"):
        await client.start(technique)
    clock.advance(10.0)

    async def names(**params: str) -> list[str]:
        _, page = await client.get("/technique-runs", params=params)
        assert page["meta"]["total_estimate"] == len(page["technique_runs"])
        return [run["technique"]["name"] for run in page["technique_runs"]]

    assert await names() == ["Other", "Always fails", "Caption"]
    assert await names(workspace_id="ws_2") == await names(project_id="prj_2") == ["Other"]
    assert await names(technique_id="caption") == await names(technique_id="tech_caption") == ["Caption"]
    assert await names(status="pending") == ["Other"]
    assert await names(status="failed") == ["Always fails"]
    assert await names(status="completed", workspace_id="ws_local") == ["Caption"]
    assert await names(status="running") == []
