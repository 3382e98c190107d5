"""Generations, actions and other starts on the local FLORA, its catalog and its workspaces."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from plain_client import TEXT, Client

from flora_async.testing import FakeAction, FakeFlora, FakeModel, FakeTechnique, VirtualClock

PLACE = {"workspace_id": "ws_local", "project_id": "prj_local"}
GENERATION = {"type": "image", "prompt": "a cat", **PLACE}
ACTION = {"action_id": "rotate-image-browser", "inputs": [{"type": "image", "url": "https://e.com/cat.png"}], **PLACE}
TECHNIQUE = {"technique_id": "tech_caption", "workspace_id": "ws_local", "inputs": {"prompt": "a cat"}}


@pytest.fixture
async def fake(clock: VirtualClock) -> AsyncIterator[FakeFlora]:
    async with FakeFlora(case="snake", run_seconds=10.0, clock=clock, history_lag=0) as fake:
        yield fake


def fields_of(error: Any) -> set[str]:
    return {problem["field"] for problem in error["error"]["fields"]}


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/generate", GENERATION, "generation"),
        ("/runs/generation", GENERATION, "generation"),
        ("/runs/technique", TECHNIQUE, "technique"),
        ("/runs/action", ACTION, "action"),
    ],
)
async def test_a_ticket_leads_to_a_run_that_ends(
    client: Client, clock: VirtualClock, path: str, body: Any, kind: str
) -> None:
    _, ticket = await client.post(path, body)
    (started,) = client.fake.runs
    assert (ticket["run_id"], ticket["type"]) == (started.run_id, kind) == (started.run_id, started.kind)
    assert (ticket["charged_cost"], ticket["estimated_seconds"]) == (
        started.work.run_cost,
        None if kind == "technique" else 10.0,
    )
    assert ticket["project_id"] == started.project_id == "prj_local"
    assert "status" not in ticket
    _, run = await client.get(ticket["poll_url"])
    assert run["status"] == "pending"
    clock.advance(10.0)
    _, run = await client.get(f"/runs/{ticket['run_id']}")
    assert (run["status"], run["charged_cost"]) == ("completed", started.charged_cost)
    assert run["outputs"]


async def test_a_ticket_need_not_have_a_poll_url(http: aiohttp.ClientSession) -> None:
    async with FakeFlora(poll_urls=False, case="snake") as fake:
        _, ticket = await Client(fake, http).post("/generate", GENERATION)
        assert "poll_url" not in ticket


async def test_a_generation_uses_the_requested_model_or_the_first_of_its_type(
    client: Client, clock: VirtualClock
) -> None:
    client.fake.add_model(FakeModel("poet", "text", error_code="model_timeout", estimated_seconds=7, running=1))
    text = {**GENERATION, "type": "text"}
    _, first = await client.post("/generate", text)
    _, asked = await client.post("/generate", {**text, "model": "poet", "params": {"Some_Key": [1]}})
    assert (first["model"], asked["model"]) == ({"model_id": "storyteller"}, {"model_id": "poet"})
    assert asked["estimated_seconds"] == 7
    assert client.fake.runs[1].params == {"Some_Key": [1]}
    clock.advance(10.0)
    _, first = await client.get(first["poll_url"])
    _, asked = await client.get(asked["poll_url"])
    assert first["outputs"] == [{"output_id": "output_1", "type": "text", "url": "Storyteller: a cat"}]
    assert (asked["status"], asked["error_code"]) == ("failed", "model_timeout")
    response, error = await client.post("/generate", {**text, "model": "flux-pro"})
    assert (response.status, fields_of(error)) == (400, {"model"})


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"type": "t2i"}, {"type"}),
        ({"prompt": ""}, {"prompt"}),
        ({"prompt": None, "model": None}, {"prompt", "model"}),
        ({"workspace_id": 1}, {"workspace_id"}),
        ({"params": [1]}, {"params"}),
        ({"callback_url": "http://e.com"}, {"callback_url"}),
    ],
)
async def test_a_generation_with_invalid_fields_is_a_400_that_names_them(
    client: Client, change: dict[str, Any], fields: set[str]
) -> None:
    response, error = await client.post("/generate", GENERATION | change)
    assert (response.status, fields_of(error)) == (400, fields)
    assert client.fake.runs == ()


@pytest.mark.parametrize("missing", ["type", "prompt", "workspace_id", "project_id"])
async def test_a_generation_has_required_fields(client: Client, missing: str) -> None:
    body = {name: value for name, value in GENERATION.items() if name != missing}
    _, error = await client.post("/generate", body)
    assert error["error"]["fields"] == [{"field": missing, "message": "Required"}]


@pytest.mark.parametrize("path", ["/generate", "/runs/action"])
@pytest.mark.parametrize("place", [{"workspace_id": "ws_other"}, {"project_id": "prj_other"}])
async def test_nothing_is_started_in_a_missing_workspace_or_project(client: Client, path: str, place: Any) -> None:
    body = GENERATION if path == "/generate" else ACTION
    response, _ = await client.post(path, body | place)
    assert (response.status, client.fake.runs) == (404, ())


@pytest.mark.parametrize(
    ("inputs", "fields"),
    [
        ({}, {"prompt"}),
        ({"prompt": 1}, {"prompt"}),
        ({"prompt": ["a", "b"]}, {"prompt"}),
        ({"prompt": "a", "colour": "b"}, {"colour"}),
        ({"prompt": "a", "notes": ""}, {"notes"}),
        ({"prompt": "a", "tags": []}, {"tags"}),
        ({"prompt": "a", "tags": ["b", ""]}, {"tags"}),
        ({"prompt": "a", "tags": ["b", 1]}, {"tags"}),
    ],
)
async def test_the_top_level_start_validates_the_inputs_of_a_technique(
    client: Client, inputs: Any, fields: set[str]
) -> None:
    optional = {"notes": "text", "tags": "text"}
    client.fake.add_technique(FakeTechnique("caption", optional_inputs=optional, allow_multiple=["tags"]))
    response, error = await client.post("/runs/technique", {**TECHNIQUE, "inputs": inputs})
    assert (response.status, fields_of(error)) == (400, fields)
    assert client.fake.runs == ()


async def test_a_list_of_values_starts_a_run_for_each_of_them(client: Client) -> None:
    inputs = {"prompt": "text", "colour": "text", "size": "text"}
    client.fake.add_technique(FakeTechnique("paint", inputs=inputs, allow_multiple=["colour", "size"], run_cost=0.25))
    _, technique = await client.get("/techniques/paint")
    assert [item["allow_multiple"] for item in technique["inputs"]] == [False, True, True]
    body: dict[str, Any] = {
        "technique_id": "tech_paint",
        "workspace_id": "ws_local",
        "inputs": {"prompt": "a cat", "colour": ["red", "blue"], "size": "small"},
    }
    response, ticket = await client.post("/runs/technique", body)
    runs = client.fake.runs
    assert (response.status, ticket["run_id"], ticket["charged_cost"]) == (201, runs[0].run_id, 0.5)
    assert [dict(run.inputs) for run in runs] == [
        {"prompt": "a cat", "colour": "red", "size": "small"},
        {"prompt": "a cat", "colour": "blue", "size": "small"},
    ]
    body["inputs"]["size"] = ["small", "large"]
    await client.post("/runs/technique", body)
    assert len(client.fake.runs) == 2 + 4


async def test_inputs_may_be_empty_on_either_path_if_all_are_optional(client: Client) -> None:
    client.fake.add_technique(FakeTechnique("surprise", inputs={}, optional_inputs={"prompt": "text"}))
    response, _ = await client.post("/runs/technique", {**TECHNIQUE, "technique_id": "tech_surprise", "inputs": {}})
    assert response.status == 201
    response, _ = await client.start("surprise", json={"inputs": [], "mode": "async"})
    assert response.status == 201


async def test_unknown_parameters_of_a_generation_are_accepted_and_charged(client: Client, clock: VirtualClock) -> None:
    for odd in ({"params": {"aspct_ratio": "16:9", "seed": "many"}}, {"parameters": {"aspect_ratio": "16:9"}}):
        response, _ = await client.post("/generate", {**GENERATION, **odd})
        assert response.status == 201
    clock.advance(10.0)
    assert [run.charged_cost for run in client.fake.runs] == [0.05, 0.05]
    assert [run.params for run in client.fake.runs] == [{"aspct_ratio": "16:9", "seed": "many"}, {}]


async def test_an_unknown_model_is_refused_and_costs_nothing(client: Client) -> None:
    response, error = await client.post("/generate", {**GENERATION, "model": "flux-prp"})
    assert (response.status, fields_of(error), client.fake.runs) == (400, {"model"}, ())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/projects/local", None),
        ("GET", "/workspaces/wsp_1/projects/prj_local/graph", None),
        ("GET", "/technique-runs?workspace_id=local", None),
        ("GET", "/generations?project_id=prj_", None),
        ("POST", "/projects", {"name": "New", "workspace_id": "ws/1"}),
        ("POST", "/generate", {**GENERATION, "project_id": "project 1"}),
        ("POST", "/assets", {"source": "signed-url", "workspace_id": "local"}),
    ],
)
async def test_a_malformed_id_of_a_workspace_or_project_is_a_server_error(
    client: Client, method: str, path: str, body: Any
) -> None:
    response, error = await client.send(method, path, json=body)
    assert (response.status, error["error"]["code"]) == (500, "unknown_error")
    assert client.fake.runs == ()


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/hook",
        "https://127.0.0.1:8443/hook",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://[fd00::1]/",
        "https://169.254.169.254/latest",
        "https://db.internal/",
    ],
)
async def test_a_callback_url_with_a_private_host_is_refused_unless_it_is_mapped(client: Client, url: str) -> None:
    body = {"inputs": [TEXT], "mode": "async", "callback_url": url}
    refused = [await client.start(json=body), await client.post("/generate", {**GENERATION, "callback_url": url})]
    assert [(response.status, fields_of(error)) for response, error in refused] == [(400, {"callback_url"})] * 2
    client.fake.resolve(url, "http://127.0.0.1:9/")
    assert (await client.start(json=body))[0].status == 201
    assert (await client.post("/generate", {**GENERATION, "callback_url": url}))[0].status == 201


async def test_the_top_level_start_requires_the_public_id_of_a_technique(client: Client) -> None:
    response, error = await client.post("/runs/technique", {**TECHNIQUE, "technique_id": "caption"})
    assert (response.status, fields_of(error)) == (400, {"technique_id"})
    response, _ = await client.post("/runs/technique", {**TECHNIQUE, "technique_id": "tech_missing"})
    assert response.status == 404


async def test_an_action_gets_its_inputs_by_name_or_position(client: Client, clock: VirtualClock) -> None:
    inputs = [{"type": "text", "text": "a", "name": "first"}, {"type": "text", "text": "b"}]
    body = {**ACTION, "action_id": "concat-text-browser", "inputs": inputs, "params": {"separator": "; "}}
    _, ticket = await client.post("/runs/action", body)
    assert ticket["action"] == {"action_id": "concat-text-browser"}
    assert client.fake.runs[0].inputs == {"first": "a", "1": "b"}
    clock.advance(10.0)
    _, run = await client.get(ticket["poll_url"])
    assert run["outputs"][0]["url"] == "Concat text: a, b"


@pytest.mark.parametrize(
    ("inputs", "fields"),
    [
        ([], {"inputs"}),
        (["a"], {"inputs"}),
        ([{"type": "text", "text": "a"}], {"inputs[0].type"}),
        ([{"type": "image"}], {"inputs[0].url"}),
        ([{"type": "image", "url": "http://e.com/a"}], {"inputs[0].url"}),
        ([{"type": "image", "url": "https://e.com/a", "colour": "red"}], {"inputs[0].colour"}),
    ],
)
async def test_an_action_with_invalid_inputs_is_a_400(client: Client, inputs: Any, fields: set[str]) -> None:
    response, error = await client.post("/runs/action", {**ACTION, "inputs": inputs})
    assert (response.status, fields_of(error)) == (400, fields)


async def test_each_history_lists_its_own_kind_and_neither_lists_actions(client: Client) -> None:
    await client.post("/generate", GENERATION)
    await client.post("/runs/technique", TECHNIQUE)
    await client.post("/runs/action", ACTION)
    _, generations = await client.get("/generations", params={"status": "pending", "project_id": "prj_local"})
    _, runs = await client.get("/technique-runs")
    generation, technique, _ = client.fake.runs
    assert [item["generation_id"] for item in generations["generations"]] == [generation.run_id]
    assert generations["generations"][0]["model"] == {"model_id": "flux-pro"}
    assert [item["technique_run_id"] for item in runs["technique_runs"]] == [technique.run_id]
    response, _ = await client.get(f"/techniques/caption/runs/{generation.run_id}")
    assert response.status == 404
    with pytest.raises(TypeError, match="'FLUX Pro', which is not a technique"):
        _ = generation.technique


async def test_the_catalog_can_be_searched(client: Client) -> None:
    client.fake.add_technique(FakeTechnique("long-caption", workspace_id="ws_2"))
    client.fake.add_action(FakeAction("reverse-video", inputs={"film": "video"}, outputs={"film": "video"}))

    async def names(path: str, key: str, **params: Any) -> list[str]:
        _, answer = await client.get(path, params=params)
        return [item["name"] for item in answer[key]]

    assert await names("/techniques", "techniques") == ["CCTV cam", "Caption", "Always fails", "Long caption"]
    assert await names("/techniques", "techniques", query="CAPTION") == ["Caption", "Long caption"]
    assert await names("/techniques", "techniques", workspace_id="ws_2") == ["Long caption"]
    assert await names("/models", "models") == ["FLUX Pro", "Veo 3", "Narrator", "Storyteller"]
    assert await names("/models", "models", type="audio") == ["Narrator"]
    assert await names("/actions", "actions") == ["Rotate image", "Concat text", "Reverse video"]
    response, error = await client.get("/models", params={"type": "smell"})
    assert (response.status, fields_of(error)) == (400, {"type"})


async def test_every_paginated_list_returns_all_items(client: Client) -> None:
    for number in range(3):
        await client.post("/projects", {"name": f"Number {number}", "workspace_id": "ws_local"})
        await client.post("/assets", {"source": f"https://e.com/{number}.png", **PLACE})
        await client.post("/generate", GENERATION)
    for path, key, name in (
        ("/techniques", "techniques", "technique_id"),
        ("/projects?workspace_id=ws_local", "projects", "project_id"),
        ("/assets", "assets", "asset_id"),
        ("/generations", "generations", "run_id"),
        ("/projects/prj_local/nodes", "nodes", "node_id"),
    ):
        _, whole = await client.get(path)
        seen, cursor = [], ""
        while cursor is not None:
            _, page = await client.get(path, params={"limit": 1, **({"cursor": cursor} if cursor else {})})
            assert len(page[key]) == 1
            seen += [item[name] for item in page[key]]
            cursor = page["meta"]["next_cursor"]
        assert seen == [item[name] for item in whole[key]]
        assert len(seen) == whole["meta"]["total_estimate"] >= 3


async def test_a_created_project_can_be_retrieved_and_listed(client: Client) -> None:
    for path, body in (
        ("/projects", {"name": "Spring", "workspace_id": "ws_local"}),
        ("/workspaces/ws_local/projects", {"name": "Spring"}),
        ("/workspaces/ws_local/folders/fld_local/projects", {"name": "Spring"}),
    ):
        _, created = await client.post(path, body)
        _, found = await client.get(f"/projects/{created['project_id']}")
        assert created == found
        assert (found["name"], found["created_at"]) == ("Spring", 1_780_000_000_000)
        _, ticket = await client.post("/generate", {**GENERATION, "project_id": created["project_id"]})
        assert ticket["project_id"] == created["project_id"]
    _, page = await client.get("/projects", params={"workspace_id": "ws_local", "query": "spring"})
    assert [project["name"] for project in page["projects"]] == ["Spring"] * 3
    response, error = await client.get("/projects")
    assert (response.status, fields_of(error)) == (400, {"workspace_id"})


async def test_there_can_be_several_workspaces_or_none_at_all(http: aiohttp.ClientSession) -> None:
    for ids in ((), ("ws_first", "ws_other_one")):
        async with FakeFlora(case="snake", workspaces=ids) as fake:
            client = Client(fake, http)
            _, answer = await client.get("/workspaces")
            assert [workspace["workspace_id"] for workspace in answer["workspaces"]] == list(ids)
    assert [workspace["name"] for workspace in answer["workspaces"]] == ["First workspace", "Other one workspace"]


async def test_a_library_folder_accepts_images_and_texts_until_it_is_deleted(client: Client) -> None:
    _, folder = await client.post("/workspaces/ws_local/library/folders", {"name": "Finds"})
    path = f"/workspaces/ws_local/library/folders/{folder['folder_id']}"
    _, image = await client.post(f"{path}/items", {"source": "https://e.com/cat.png"})
    _, text = await client.post(f"{path}/items", {"type": "text", "text": "A cat"})
    assert [asset.asset_id for asset in client.fake.assets] == [image["asset_id"]]
    assert "asset_id" not in text
    for body, field in (({}, "source"), ({"type": "text"}, "text"), ({"type": "film"}, "type")):
        response, error = await client.post(f"{path}/items", body)
        assert (response.status, fields_of(error)) == (400, {field})
    _, gone = await client.send("DELETE", path)
    assert gone == {"deleted": True, "folder_id": folder["folder_id"], "workspace_id": "ws_local"}
    response, _ = await client.send("DELETE", path)
    assert response.status == 404


async def test_feedback_is_recorded_as_it_was_sent(client: Client) -> None:
    feedback = {"kind": "bug", "summary": "s", "detail": "d"}
    await client.post("/feedback", {**feedback, "idempotency_key": "k1"})
    assert client.fake.feedback == (feedback,)
    response, error = await client.post("/feedback", {**feedback, "kind": "praise", "attempted_tools": []})
    assert (response.status, fields_of(error)) == (400, {"kind", "attempted_tools"})


async def test_keys_that_users_send_are_returned_unchanged_in_every_case(http: aiohttp.ClientSession) -> None:
    odd = {"Some Key": 1, "snake_key": {"camelKey": None, "a_b": 2}, "camelKey": "x"}
    for case in ("camel", "both"):
        async with FakeFlora(case=case) as fake:
            client = Client(fake, http)
            node = {"id": "node_1", "type": "textBlock", "data": odd, "style": odd}
            definition = {"nodes": [node], "edges": [], "node_inputs": {"node_1": odd}, "node_outputs": {"node_1": odd}}
            path = "/workspaces/ws_local/projects/prj_local/canvas"
            _, answer = await client.send("PUT", f"{path}/definition", json={"definition": definition})
            kept = answer["definition"]
            inputs, outputs = (
                kept.get(f"node{name}", kept.get(f"node_{name.lower()}")) for name in ("Inputs", "Outputs")
            )
            assert inputs == outputs == {"node_1": odd}
            assert kept["nodes"][0]["data"] == kept["nodes"][0]["style"] == odd
            add = [{"ref": "my_ref", "type": "image", "params": odd}]
            _, changed = await client.post(f"{path}/changeset", {"add": add})
            assert changed["created"]["my_ref"].keys() >= {"id", "nodeId"}
            _, graph = await client.get("/workspaces/ws_local/projects/prj_local/graph")
            assert graph["nodes"][-1]["params"] == odd
            _, reserved = await client.post("/assets", {"source": "signed-url", "workspace_id": "ws_local"})
            fields = reserved["upload"].get("formFields", reserved["upload"].get("form_fields"))
            assert fields.keys() >= {"success_action_status", "floraAssetId", "X-Amz-Signature"}
