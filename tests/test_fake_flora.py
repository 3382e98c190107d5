"""The local FLORA, over its real socket, with nothing but a plain HTTP client."""

import asyncio
import json
import math
import runpy
import struct
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from yarl import URL

from flora_async import testing
from flora_async.testing import (
    Drop,
    FakeFlora,
    FakeTechnique,
    Fault,
    ForeignPollUrl,
    Garbage,
    Oversize,
    Redirect,
    Replace,
    RetryAfter,
    Slow,
    Status,
    Truncate,
    VirtualClock,
    plugin,
)

RUN_KEYS = {
    "run_id",
    "status",
    "progress",
    "created_at",
    "started_at",
    "completed_at",
    "charged_cost",
    "error_code",
    "error_message",
    "outputs",
    "poll_url",
}
CAMEL_RUN_KEYS = {
    "runId",
    "status",
    "progress",
    "createdAt",
    "startedAt",
    "completedAt",
    "chargedCost",
    "errorCode",
    "errorMessage",
    "outputs",
    "pollUrl",
}
FOREVER = 3600.0


def start_body(prompt: str = "a cat", **more: Any) -> dict[str, Any]:
    return {"inputs": [{"id": "prompt", "type": "text", "value": prompt}], "mode": "async", **more}


class Client:
    """A plain HTTP client that speaks to one server with its key."""

    def __init__(self, fake: FakeFlora, http: aiohttp.ClientSession) -> None:
        self.fake = fake
        self.http = http

    async def send(self, method: str, path: str, **options: Any) -> tuple[aiohttp.ClientResponse, Any]:
        headers = {"Authorization": f"Bearer {self.fake.api_key}", **options.pop("headers", {})}
        url = path if path.startswith("http") else self.fake.base_url + path
        async with self.http.request(method, url, headers=headers, **options) as response:
            body = await response.read()
            return response, json.loads(body) if response.content_type == "application/json" and body else body

    async def get(self, path: str, **options: Any) -> tuple[aiohttp.ClientResponse, Any]:
        return await self.send("GET", path, **options)

    async def start(self, technique: str = "caption", **options: Any) -> tuple[aiohttp.ClientResponse, Any]:
        options = options if "data" in options else {"json": start_body(), **options}
        return await self.send("POST", f"/techniques/{technique}/runs", **options)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    # One connection, one request: a dropped one is not silently tried again by the client.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@pytest.fixture
async def fake(clock: VirtualClock) -> AsyncIterator[FakeFlora]:
    async with FakeFlora(case="snake", run_seconds=10.0, clock=clock) as fake:
        yield fake


@pytest.fixture
def client(fake: FakeFlora, http: aiohttp.ClientSession) -> Client:
    return Client(fake, http)


class Watched:
    """A fault that tells when its request has arrived, and when it is done with it."""

    def __init__(self, fault: Fault | None, *, when_client_has_left: bool = False) -> None:
        self.fault = fault
        self.when_client_has_left = when_client_has_left
        self.arrived = asyncio.Event()
        self.served = asyncio.Event()

    async def serve(self, exchange: Any) -> Any:
        self.arrived.set()
        try:
            while self.when_client_has_left and exchange.request.transport is not None:
                await asyncio.sleep(0)
            return await self.fault.serve(exchange) if self.fault else exchange.send(exchange.act())
        finally:
            self.served.set()


# Runs


async def test_a_run_goes_from_pending_over_running_to_completed_as_time_passes(
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


async def test_runs_move_in_real_time_without_a_virtual_clock(http: aiohttp.ClientSession) -> None:
    async with FakeFlora() as fake:
        client = Client(fake, http)
        _, run = await client.start()
        while run["status"] != "completed":
            _, run = await client.get(run["pollUrl"])
        assert fake.runs[0].charged_cost == 0.01


async def test_the_server_shows_the_runs_it_has(client: Client, clock: VirtualClock) -> None:
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
async def test_a_held_run_ends_when_the_test_says_so(client: Client, clock: VirtualClock, held: Any) -> None:
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


async def test_a_run_that_has_ended_or_never_was_cannot_be_finished(client: Client, clock: VirtualClock) -> None:
    _, run = await client.start()
    clock.advance(10.0)
    with pytest.raises(ValueError, match="has already completed"):
        client.fake.finish(run["run_id"])
    with pytest.raises(LookupError, match="no run 'run_missing'"):
        client.fake.finish("run_missing")


async def test_a_run_is_found_by_slug_by_id_and_alone_but_not_under_another_technique(client: Client) -> None:
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


async def test_names_in_a_path_are_decoded_once_and_the_raw_path_is_kept(
    client: Client, fake: FakeFlora, http: aiohttp.ClientSession
) -> None:
    technique = fake.add_technique(FakeTechnique("mes images/été %41", technique_id="tech/1"))
    response, run = await client.start("mes%20images%2F%C3%A9t%C3%A9%20%2541")
    assert response.status == 201
    assert fake.runs[0].technique is technique
    assert run["poll_url"] == f"{fake.base_url}/techniques/tech%2F1/runs/{run['run_id']}"
    response, _ = await client.get(run["poll_url"])
    assert response.status == 200
    # yarl decodes what need not be encoded; `encoded=True` sends the text untouched.
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


async def test_other_techniques_can_be_had_instead_of_the_ready_made(http: aiohttp.ClientSession) -> None:
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


# What is refused


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "sk_test_local"])
async def test_without_the_key_every_api_route_answers_401(
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


async def test_every_answer_has_its_own_request_id(client: Client) -> None:
    client.fake.inject(Garbage(), on="poll")
    answers = [await client.start(), await client.get("/runs/run_1"), await client.get("/runs/run_1")]
    ids = [response.headers["request-id"] for response, _ in answers]
    assert all(id_.startswith("req_") for id_ in ids)
    assert len(set(ids)) == 3
    assert ids == [request.request_id for request in client.fake.requests]


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b"null"])
async def test_a_body_that_is_no_json_object_is_a_400(client: Client, data: bytes) -> None:
    response, error = await client.start(data=data)
    assert (response.status, error["error"]["code"]) == (400, "invalid_json")
    assert client.fake.runs == ()


TEXT = {"id": "prompt", "type": "text", "value": "a cat"}


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
async def test_a_start_request_with_wrong_fields_is_a_400_that_names_them(
    client: Client, change: dict[str, Any], fields: set[str]
) -> None:
    response, error = await client.start(json=start_body() | change)
    assert (response.status, error["error"]["code"]) == (400, "input_validation_error")
    assert {field["field"] for field in error["error"]["fields"]} == fields
    assert all(field["message"] for field in error["error"]["fields"])
    assert client.fake.runs == ()


async def test_a_missing_input_is_refused_in_the_words_of_the_documentation(client: Client) -> None:
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


# Idempotency


async def test_in_replay_mode_a_key_brings_the_original_bytes_back_for_a_day(
    client: Client, clock: VirtualClock
) -> None:
    url = f"{client.fake.base_url}/techniques/caption/runs"
    headers = {"Authorization": "Bearer sk_test_local"}
    bodies = []
    for key_order in (1, -1):
        body = dict(list(start_body(idempotency_key="k1").items())[::key_order])
        async with client.http.post(url, json=body, headers=headers) as response:
            bodies.append(await response.read())
            assert response.status == 201
        clock.advance(5.0)
    assert bodies[0] == bodies[1]
    assert response.headers["idempotent-replayed"] == "true"
    assert len(client.fake.runs) == 1
    clock.advance(24 * 3600.0)
    response, _ = await client.start(json=start_body(idempotency_key="k1"))
    assert "idempotent-replayed" not in response.headers
    assert len(client.fake.runs) == 2


async def test_in_replay_mode_a_key_with_another_body_or_technique_is_a_422(client: Client) -> None:
    headers = {"Idempotency-Key": "k1"}
    await client.start(headers=headers)
    for technique, body in (("caption", start_body("a dog")), ("always-fails", start_body())):
        response, error = await client.start(technique, json=body, headers=headers)
        assert (response.status, error["error"]["code"]) == (422, "idempotency_conflict")
    assert len(client.fake.runs) == 1


async def test_in_conflict_mode_a_known_key_is_a_409_without_a_run_for_two_hours(
    http: aiohttp.ClientSession, clock: VirtualClock
) -> None:
    async with FakeFlora(idempotency="conflict", clock=clock) as fake:
        client = Client(fake, http)
        headers = {"Idempotency-Key": "k1"}
        await client.start(headers=headers)
        clock.advance(2 * 3600.0 - 1)
        for body in (start_body(), start_body("a dog"), start_body(idempotency_key="k1")):
            response, error = await client.start(json=body, headers=headers)
            assert response.status == 409
            assert error == {"error": {"code": "idempotency_duplicate", "message": "Duplicate idempotency key."}}
        assert len(fake.runs) == 1
        clock.advance(1.0)
        response, _ = await client.start(headers=headers)
        assert (response.status, len(fake.runs)) == (201, 2)


async def test_the_key_is_read_from_the_body_before_the_header(client: Client) -> None:
    await client.start(json=start_body(idempotency_key="in body"), headers={"Idempotency-Key": "in header"})
    await client.start(headers={"Idempotency-Key": "in header"})
    assert [run.idempotency_key for run in client.fake.runs] == ["in body", "in header"]


async def test_without_a_key_every_start_acts(client: Client) -> None:
    for _ in range(3):
        await client.start()
    assert len({run.run_id for run in client.fake.runs}) == 3


async def test_a_refused_start_does_not_use_its_key_up(client: Client) -> None:
    await client.start(json=start_body(mode="fast", idempotency_key="k1"))
    response, _ = await client.start(json=start_body(idempotency_key="k1"))
    assert response.status == 201


@pytest.mark.parametrize("idempotency", ["replay", "conflict"])
async def test_two_starts_in_flight_at_once_with_one_key_both_act(
    http: aiohttp.ClientSession, idempotency: Any
) -> None:
    async with FakeFlora(idempotency=idempotency) as fake:
        client = Client(fake, http)
        fake.inject(Slow(0.05), on="start", times=2)
        both = [client.start(headers={"Idempotency-Key": "k1"}) for _ in range(2)]
        assert [response.status for response, _ in await asyncio.gather(*both)] == [201, 201]
        assert len(fake.runs) == 2
        await client.start(headers={"Idempotency-Key": "k1"})
        assert len(fake.runs) == 2


# History


async def test_history_is_newest_first_and_a_page_at_a_time(client: Client, clock: VirtualClock) -> None:
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


async def test_a_page_has_twenty_items_unless_asked_and_a_hundred_at_most(client: Client) -> None:
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


async def test_history_can_be_narrowed_down(client: Client, clock: VirtualClock) -> None:
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


# Cases


async def seen_keys(case: Any, http: aiohttp.ClientSession) -> tuple[set[str], set[str], Any]:
    """Keys of runs and of their outputs over all looks, and a history page."""
    clock = VirtualClock()
    async with FakeFlora(case=case, clock=clock) as fake:
        client = Client(fake, http)
        for technique in ("caption", "always-fails"):
            await client.start(technique)
        clock.advance(1.0)
        runs = [(await client.get(f"/runs/{run.run_id}"))[1] for run in fake.runs]
        outputs = [output for run in runs for output in run.get("outputs", ())]
        _, page = await client.get("/technique-runs", params={"limit": 1})
        return set().union(*runs), set().union(*outputs), page


async def test_camel_case_has_the_keys_of_the_get_a_run_page(http: aiohttp.ClientSession) -> None:
    run_keys, output_keys, page = await seen_keys("camel", http)
    assert run_keys == CAMEL_RUN_KEYS
    assert output_keys == {"outputId", "type", "url"}
    assert page.keys() == {"techniqueRuns", "meta"}
    assert page["meta"].keys() == {"nextCursor", "totalEstimate"}


async def test_snake_case_has_the_keys_of_the_runs_page(http: aiohttp.ClientSession) -> None:
    run_keys, output_keys, page = await seen_keys("snake", http)
    assert run_keys == RUN_KEYS
    assert output_keys == {"output_id", "type", "url"}
    item = page["technique_runs"][0]
    assert item.keys() == (RUN_KEYS - {"charged_cost", "outputs"}) | {
        "technique_run_id",
        "project_id",
        "workspace_id",
        "technique",
    }
    assert item["technique"] == {"technique_id": "tech_always_fails", "name": "Always fails"}
    assert item["technique_run_id"] == item["run_id"]


async def test_both_mixes_the_cases_by_level_and_gives_ids_twice(http: aiohttp.ClientSession) -> None:
    run_keys, output_keys, page = await seen_keys("both", http)
    assert run_keys == CAMEL_RUN_KEYS | {"run_id"}
    assert output_keys == {"outputId", "output_id", "type", "url"}
    assert page["meta"].keys() == {"next_cursor", "total_estimate"}
    item = page["techniqueRuns"][0]
    assert item["runId"] == item["run_id"]
    assert item["technique"].keys() == {"techniqueId", "technique_id", "name"}
    assert "created_at" in item
    assert "createdAt" not in item


async def test_values_of_users_are_never_rewritten(http: aiohttp.ClientSession) -> None:
    async with FakeFlora(case="camel", run_seconds=0) as fake:
        _, run = await Client(fake, http).start(json=start_body('{"run_id": "snake_case"}\n\ud83d'))
        assert run["outputs"][0]["url"] == 'Caption: {"run_id": "snake_case"}\n\ud83d'


# Media


def png_chunks(data: bytes) -> dict[bytes, bytes]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, position = {}, 8
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, content = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
        assert checksum == zlib.crc32(kind + content)
        chunks[kind] = content
        position += 12 + length
    return chunks


async def test_image_outputs_are_real_images_that_differ_and_need_no_key(client: Client, clock: VirtualClock) -> None:
    image = {"id": "input_image", "type": "imageUrl", "value": "https://example.com/photo.png"}
    urls = []
    for _ in range(2):
        _, run = await client.start("cctv-cam", json={"inputs": [image], "mode": "async"})
        clock.advance(10.0)
        _, run = await client.get(run["poll_url"])
        assert run["charged_cost"] == 0.05
        urls.append(run["outputs"][0]["url"])
    assert urls[0].startswith(f"{client.fake.origin}/media/run_")
    images = []
    for url in urls:
        async with client.http.get(url) as response:
            assert (response.status, response.content_type) == (200, "image/png")
            images.append(await response.read())
        assert client.fake.requests[-1].operation == "media"
        assert "Authorization" not in client.fake.requests[-1].headers
    assert images[0] != images[1]
    for data in images:
        chunks = png_chunks(data)
        assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
        assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (64, 64, 8, 2, 0, 0, 0)
        assert len(zlib.decompress(chunks[b"IDAT"])) == 64 * (1 + 64 * 3)


async def test_media_that_is_not_there_is_a_404(client: Client, clock: VirtualClock) -> None:
    _, run = await client.start()
    clock.advance(10.0)
    await client.start("always-fails")
    for path in (
        "run_missing/output_1.png",
        f"{run['run_id']}/output_1.png",
        f"{run['run_id']}/output_2.png",
    ):
        response, error = await client.get(f"{client.fake.origin}/media/{path}")
        assert (response.status, error["error"]["code"]) == (404, "not_found")


# What is recorded


async def test_requests_are_recorded_as_they_came(client: Client) -> None:
    await client.start(json=start_body(), headers={"X-Test": "1"})
    await client.get("/runs/run_1")
    await client.get("/technique-runs", params={"limit": 5})
    await client.get(f"{client.fake.origin}/media/run_1/output_1.png")
    await client.send("DELETE", "/runs/run_1", data=b"not json")
    start, _, history, _, other = client.fake.requests
    assert [request.operation for request in client.fake.requests] == [
        "start",
        "poll",
        "history",
        "media",
        "other",
    ]
    assert (start.method, start.path) == ("POST", "/api/v1/techniques/caption/runs")
    assert start.headers["x-test"] == "1"
    assert start.json == json.loads(start.body) == start_body()
    assert history.query["limit"] == "5"
    assert (other.method, other.body, other.json) == ("DELETE", b"not json", None)


# Faults


async def test_a_status_answers_in_the_envelope_and_does_not_act(client: Client) -> None:
    client.fake.inject(Status(429, retry_after=2), on="start")
    response, error = await client.start()
    assert response.status == 429
    assert response.headers["Retry-After"] == "2"
    assert error == {"error": {"code": "rate_limited", "message": "Too Many Requests"}}
    assert client.fake.runs == ()


async def test_a_status_can_act_and_say_anything(client: Client) -> None:
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    client.fake.inject(Status(503, code="busy", message="Later.", retry_after=date, acts=True))
    client.fake.inject(Status(500, body=b"{"))
    response, error = await client.start()
    assert (response.status, response.headers["Retry-After"]) == (503, date)
    assert error == {"error": {"code": "busy", "message": "Later."}}
    assert len(client.fake.runs) == 1
    with pytest.raises(json.JSONDecodeError):
        await client.start()
    assert len(client.fake.runs) == 1


async def test_retry_after_comes_with_a_normal_answer(client: Client) -> None:
    _, run = await client.start()
    client.fake.inject(RetryAfter(0.5), on="poll")
    response, polled = await client.get(run["poll_url"])
    assert (response.status, response.headers["Retry-After"]) == (200, "0.5")
    assert polled == run


@pytest.mark.parametrize("acts", [False, True])
async def test_a_dropped_connection_gives_no_byte(client: Client, *, acts: bool) -> None:
    client.fake.inject(Drop(acts=acts), on="start")
    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await client.start()
    assert len(client.fake.runs) == acts


@pytest.mark.parametrize("acts", [False, True])
async def test_a_truncated_answer_ends_in_the_middle_of_its_body(client: Client, *, acts: bool) -> None:
    client.fake.inject(Truncate(acts=acts), on="start")
    headers = {"Authorization": "Bearer sk_test_local"}
    url = f"{client.fake.base_url}/techniques/caption/runs"
    async with client.http.post(url, json=start_body(), headers=headers) as response:
        assert response.status == (201 if acts else 200)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert len(client.fake.runs) == acts


@pytest.mark.parametrize("acts", [False, True])
async def test_garbage_is_a_body_that_is_not_json(client: Client, *, acts: bool) -> None:
    client.fake.inject(Garbage(b"<h1>Oops</h1>", status=502, acts=acts), on="start")
    response, body = await client.start()
    assert (response.status, response.content_type, body) == (502, "text/html", b"<h1>Oops</h1>")
    assert len(client.fake.runs) == acts


@pytest.mark.parametrize("acts", [False, True])
@pytest.mark.parametrize("payload", [None, [], "run", {"run_id": 5, "runId": {}}])
async def test_a_replaced_payload_is_sent_as_it_is(client: Client, payload: Any, *, acts: bool) -> None:
    client.fake.inject(Replace(payload, acts=acts), on="start")
    response, body = await client.start()
    assert (response.status, body) == (200, payload)
    assert len(client.fake.runs) == acts


@pytest.mark.parametrize("case", ["camel", "snake"])
@pytest.mark.parametrize("poll_urls", [True, False])
async def test_a_foreign_poll_url_comes_in_an_otherwise_normal_answer(
    http: aiohttp.ClientSession, case: Any, *, poll_urls: bool
) -> None:
    async with FakeFlora(case=case, poll_urls=poll_urls) as fake:
        client = Client(fake, http)
        fake.inject(ForeignPollUrl("https://evil.example/run"), times=2)
        _, run = await client.start()
        assert {run[name] for name in run.keys() & {"pollUrl", "poll_url"}} == {"https://evil.example/run"}
        assert "runId" in run or "run_id" in run
        response, error = await client.get("/runs/run_missing")
        assert (response.status, "poll_url" in error) == (404, False)


async def test_a_redirect_does_not_act(client: Client) -> None:
    client.fake.inject(Redirect("https://evil.example/"), on="start")
    client.fake.inject(Redirect(status=307), on="start")
    response, _ = await client.start(allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (302, "https://evil.example/")
    response, _ = await client.start(allow_redirects=False)
    location = f"{client.fake.base_url}/techniques/caption/runs"
    assert (response.status, response.headers["Location"]) == (307, location)
    assert client.fake.runs == ()


@pytest.mark.parametrize("where", ["before", "after", "body"])
async def test_a_slow_answer_is_whole_in_the_end(client: Client, where: Any) -> None:
    client.fake.inject(Slow(0.01, where=where), on="start")
    response, run = await client.start()
    assert (response.status, run["run_id"]) == (201, client.fake.runs[0].run_id)


async def test_a_slow_body_begins_at_once(client: Client) -> None:
    client.fake.inject(Slow(FOREVER, where="body"), on="start")
    url = f"{client.fake.base_url}/techniques/caption/runs"
    headers = {"Authorization": "Bearer sk_test_local"}
    async with client.http.post(url, json=start_body(), headers=headers) as response:
        assert (response.status, await response.content.readany() != b"") == (201, True)
        assert len(client.fake.runs) == 1


async def test_a_slow_server_acts_even_when_the_client_has_gone_away(client: Client) -> None:
    slow = Watched(Slow(0.02))
    client.fake.inject(slow, on="start")
    task = asyncio.create_task(client.start())
    await slow.arrived.wait()
    assert client.fake.runs == ()
    task.cancel()
    await asyncio.wait([task])
    await slow.served.wait()
    assert len(client.fake.runs) == 1


@pytest.mark.parametrize("fault", [Drop(acts=True), Truncate(), Slow(0.01, where="body"), Oversize(10**6), None])
async def test_nothing_is_logged_when_the_client_has_gone_before_the_answer(
    client: Client, caplog: pytest.LogCaptureFixture, fault: Fault | None
) -> None:
    late = Watched(fault, when_client_has_left=True)
    client.fake.inject(late)
    task = asyncio.create_task(client.start())
    await late.arrived.wait()
    task.cancel()
    await asyncio.wait([task])
    await late.served.wait()
    assert len(client.fake.runs) == 1
    assert caplog.records == []


async def test_a_client_that_leaves_in_the_middle_of_its_request_leaves_no_trace(
    fake: FakeFlora, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", int(fake.origin.rpartition(":")[2]))
    writer.write(b"POST /api/v1/techniques/caption/runs HTTP/1.1\r\nHost: local\r\nContent-Length: 9\r\n\r\n{")
    await writer.drain()
    await client.get("/technique-runs")
    writer.close()
    await writer.wait_closed()
    await client.get("/technique-runs")
    assert [request.operation for request in fake.requests] == ["history", "history"]
    assert caplog.records == []


@pytest.mark.parametrize("acts", [False, True])
@pytest.mark.parametrize("announce", [False, True])
@pytest.mark.parametrize("size", [2, 3, 200_000])
async def test_an_oversized_body_is_valid_json_of_exactly_that_size(
    client: Client, size: int, *, announce: bool, acts: bool
) -> None:
    client.fake.inject(Oversize(size, announce=announce, acts=acts), on="start")
    response, body = await client.start()
    assert len(json.dumps(body)) == size
    assert response.headers.get("Content-Length") == (str(size) if announce else None)
    assert len(client.fake.runs) == acts


async def test_a_client_may_leave_an_oversized_body_unread(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.fake.inject(Oversize(10**9))
    async with client.http.get(client.fake.origin) as response:
        assert await response.content.readany()
    assert (await client.get("/technique-runs"))[0].status == 200
    assert caplog.records == []


async def test_faults_come_in_order_on_their_operation_and_then_are_over(client: Client) -> None:
    fake = client.fake
    fake.inject(Status(500), on="poll", times=2, after=1)
    fake.inject(Status(502), on="poll", after=1)
    fake.inject(Status(503), on="history", times=None)
    statuses = [(await client.get("/runs/run_1"))[0].status for _ in range(6)]
    # The second fault sees the polls that the first one leaves: it lets the first pass and takes the fourth.
    assert statuses == [404, 500, 500, 502, 404, 404]
    assert [(await client.get("/technique-runs"))[0].status for _ in range(3)] == [503, 503, 503]
    fake.heal()
    assert (await client.get("/technique-runs"))[0].status == 200


@pytest.mark.parametrize("options", [{"on": "polls"}, {"times": 0}, {"after": -1}])
def test_a_fault_for_no_request_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        FakeFlora().inject(Drop(acts=True), **options)


@pytest.mark.parametrize(
    ("make", "options", "error"),
    [
        (Status, {"status": 200}, ValueError),
        (Garbage, {"status": 600}, ValueError),
        (Redirect, {"status": 200}, ValueError),
        (Replace, {"payload": {1, 2}}, TypeError),
        (Slow, {"seconds": math.nan}, ValueError),
        (Slow, {"seconds": math.inf}, ValueError),
        (Slow, {"seconds": -1}, ValueError),
        (Slow, {"seconds": True}, TypeError),
        (Slow, {"seconds": 1, "where": "never"}, ValueError),
        (Oversize, {"size": 1}, ValueError),
        (FakeTechnique, {"slug": ""}, ValueError),
        (FakeTechnique, {"slug": "t", "inputs": {"prompt": "word"}}, ValueError),
        (FakeTechnique, {"slug": "t", "optional_inputs": {"prompt": "word"}}, ValueError),
        (FakeTechnique, {"slug": "t", "running": math.nan}, ValueError),
        (FakeTechnique, {"slug": "t", "pending": "1"}, TypeError),
        (FakeTechnique, {"slug": "t", "run_cost": -1}, ValueError),
        (FakeTechnique, {"slug": "t", "run_cost": math.nan}, ValueError),
        (FakeFlora, {"case": "kebab"}, ValueError),
        (FakeFlora, {"idempotency": "never"}, ValueError),
        (VirtualClock, {"start": math.nan}, ValueError),
        (VirtualClock, {"constant": 1.0}, ValueError),
    ],
)
def test_a_senseless_setting_is_refused_where_it_is_written(
    make: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make(**options)


# Opening and closing


def test_an_unstarted_server_has_no_address_and_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        _ = FakeFlora().base_url


async def test_a_running_server_cannot_be_entered_again(fake: FakeFlora) -> None:
    with pytest.raises(RuntimeError, match="running already"):
        await fake.__aenter__()


async def test_a_taken_port_is_an_error_that_leaves_nothing_open(fake: FakeFlora) -> None:
    port = int(fake.origin.rpartition(":")[2])
    second = FakeFlora(port=port)
    for _ in range(2):
        with pytest.raises(OSError, match="address already in use"):
            await second.__aenter__()
    await second.__aexit__(None, None, None)


async def test_a_closed_server_refuses_connections_and_comes_back_with_its_runs(
    http: aiohttp.ClientSession,
) -> None:
    fake = FakeFlora(case="snake")
    client = Client(fake, http)
    async with fake:
        _, run = await client.start()
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.get(run["poll_url"])
    async with fake:
        response, again = await client.get(run["poll_url"])
        assert (response.status, again["run_id"]) == (200, run["run_id"])


@pytest.mark.parametrize("where", ["before", "after", "body"])
@pytest.mark.parametrize("leaves", [False, True])
async def test_closing_ends_slow_handlers_whether_their_client_waits_or_has_left(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture, where: Any, *, leaves: bool
) -> None:
    before = asyncio.all_tasks()
    async with FakeFlora() as fake:
        slow = Watched(Slow(FOREVER, where=where))
        fake.inject(slow)
        task = asyncio.create_task(Client(fake, http).start())
        await slow.arrived.wait()
        if leaves:
            task.cancel()
            await asyncio.wait([task])
    await asyncio.wait([task])
    assert len(fake.runs) == (where != "before")
    assert asyncio.all_tasks() == before
    assert caplog.records == []
    if not leaves:
        assert isinstance(task.exception(), aiohttp.ClientError)


async def test_closing_does_not_wait_for_kept_alive_connections() -> None:
    async with aiohttp.ClientSession() as http, FakeFlora() as fake:
        await Client(fake, http).get("/technique-runs")


# The clock


async def test_sleep_moves_the_time_and_is_written_down() -> None:
    clock = VirtualClock(start=1000.0)
    before = clock.monotonic()
    for seconds in (2.5, 0, -1):
        await clock.sleep(seconds)
    assert (clock.time(), clock.monotonic() - before) == (1002.5, 2.5)
    assert clock.sleeps == [2.5, 0, -1]


async def test_sleeps_at_the_same_time_overlap() -> None:
    clock = VirtualClock(start=0.0)
    await asyncio.gather(clock.sleep(3), clock.sleep(5), clock.sleep(4))
    assert clock.time() == 5.0


async def test_a_cancelled_sleep_does_not_move_the_time() -> None:
    clock = VirtualClock(start=0.0)
    task = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), clock.time()) == (True, 0.0)


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_the_time_cannot_be_moved_back_or_to_nowhere(clock: VirtualClock, seconds: float) -> None:
    with pytest.raises(ValueError, match="forward"):
        clock.advance(seconds)


@pytest.mark.parametrize("seconds", [math.nan, math.inf])
async def test_a_sleep_without_an_end_is_refused(clock: VirtualClock, seconds: float) -> None:
    with pytest.raises(ValueError, match="cannot sleep"):
        await clock.sleep(seconds)
    assert clock.sleeps == []


def test_randomness_is_repeatable_or_constant() -> None:
    one, two, other = VirtualClock(seed=1), VirtualClock(seed=1), VirtualClock(seed=2)
    drawn = [one.random() for _ in range(5)]
    assert drawn == [two.random() for _ in range(5)]
    assert drawn != [other.random() for _ in range(5)]
    assert all(0 <= number < 1 for number in drawn)
    assert [VirtualClock(constant=0.25).random() for _ in range(2)] == [0.25, 0.25]


# The package and its plugin


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(testing, name).__name__ == name for name in testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = testing.missing  # type: ignore[attr-defined]


def test_loading_the_plugin_does_not_load_the_server() -> None:
    code = "import sys, flora_async.testing.plugin; sys.exit('aiohttp.web' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)  # noqa: S603  our own interpreter


def test_the_plugin_loads_without_pytest_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytest_asyncio", None)
    names = runpy.run_path(plugin.__file__)
    assert names["fixture"] is pytest.fixture


async def test_the_fake_flora_fixture_is_a_started_server(fake_flora: FakeFlora, http: aiohttp.ClientSession) -> None:
    response, _ = await Client(fake_flora, http).start()
    assert response.status == 201


async def test_the_flora_session_fixture_runs_a_technique_on_it(flora_session: Any, fake_flora: FakeFlora) -> None:
    run = await flora_session.run("caption", {"prompt": "a cat"})
    assert (run.is_completed, run.outputs[0].text) == (True, "Caption: a cat")
    assert [run.run_id] == [run.run_id for run in fake_flora.runs]
