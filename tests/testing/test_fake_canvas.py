"""Canvases of the local FLORA: three ways to read them, three ways to change them, and running their nodes."""

import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from plain_client import Client

from flora_async.testing import FakeFlora, FakeModel, VirtualClock

PLACE = {"workspace_id": "ws_local", "project_id": "prj_local"}
PROJECT = "/workspaces/ws_local/projects/prj_local"
HTTPS_FILM = "https://e.com/film.mp4"


@pytest.fixture
async def fake(clock: VirtualClock) -> AsyncIterator[FakeFlora]:
    async with FakeFlora(case="snake", run_seconds=10.0, clock=clock) as fake:
        yield fake


async def change(client: Client, **body: Any) -> Any:
    _, answer = await client.post(f"{PROJECT}/canvas/changeset", body)
    return answer


async def graph(client: Client) -> Any:
    return (await client.get(f"{PROJECT}/graph"))[1]


async def draw(client: Client, diagram: str, **node_params: Any) -> Any:
    body = {"diagram": diagram, "node_params": node_params}
    return (await client.send("PATCH", "/projects/prj_local/canvas", json=body))[1]


def fields_of(error: Any) -> set[str]:
    return {problem["field"] for problem in error["error"]["fields"]}


async def test_a_changeset_adds_updates_connects_disconnects_and_removes(client: Client) -> None:
    done = await change(
        client,
        add=[
            {"ref": "photo", "type": "image", "prompt": "a cat", "group": "frame", "params": {"Odd Key": 1}},
            {"ref": "film", "type": "video", "content_url": HTTPS_FILM, "position": {"x": 1, "y": 2.5}},
            {"ref": "frame", "type": "group", "label": "Frame"},
        ],
        connect=[{"from": "photo", "to": "film", "in": "image"}],
    )
    assert done["applied"] == {"added": 3, "connected": 1, "disconnected": 0, "removed": 0, "updated": 0}
    ids = {ref: made["id"] for ref, made in done["created"].items()}
    seen = await graph(client)
    assert seen["revision"] == done["revision"]
    nodes = {node["id"]: node for node in seen["nodes"]}
    photo, film, frame = (nodes[ids[ref]] for ref in ("photo", "film", "frame"))
    assert (photo["type"], photo["prompt"], photo["model_id"]) == ("image", "a cat", "flux-pro")
    assert (photo["params"], photo["status"], photo["output_url"]) == ({"Odd Key": 1}, "idle", None)
    assert (film["type"], film["status"], film["output_url"]) == ("static_video", "done", HTTPS_FILM)
    assert (film["position"], film["label"]) == ({"x": 1, "y": 2.5}, "film")
    assert (frame["label"], frame["status"], frame["action"]) == ("Frame", None, None)
    assert seen["edges"] == [{"from": ids["photo"], "to": ids["film"], "in": "image"}]

    done = await change(
        client,
        update=[{"id": ids["photo"], "prompt": "a dog", "params": {"seed": 2}}, {"id": ids["frame"], "label": "Frame"}],
        connect=[{"from": ids["photo"], "to": film["node_id"]}],
        disconnect=[{"from": ids["photo"], "to": ids["film"]}],
        remove=[{"id": ids["frame"]}],
    )
    assert done["applied"] == {"added": 0, "connected": 0, "disconnected": 1, "removed": 2, "updated": 1}
    assert len(done["warnings"]) == 2
    assert done["revision"] != seen["revision"]
    seen = await graph(client)
    assert ([node["id"] for node in seen["nodes"]], seen["edges"]) == ([ids["film"]], [])


async def test_disconnecting_a_slot_leaves_edges_of_other_slots(client: Client) -> None:
    add = [{"ref": "a", "type": "image"}, {"ref": "b", "type": "image"}]
    await change(client, add=add, connect=[{"from": "a", "to": "b", "in": "image"}])
    done = await change(client, disconnect=[{"from": "n1", "to": "n2", "in": "mask"}])
    assert (done["applied"]["disconnected"], len(done["warnings"])) == (0, 1)
    done = await change(client, disconnect=[{"from": "n1", "to": "n2", "in": "image"}])
    assert (done["applied"]["disconnected"], (await graph(client))["edges"]) == (1, [])


async def test_a_group_can_be_removed_together_with_its_members(client: Client) -> None:
    await change(client, add=[{"ref": "g", "type": "group"}, {"ref": "a", "type": "image", "group": "g"}])
    done = await change(client, remove=[{"id": "n1"}, {"id": "n2"}])
    assert (done["applied"]["removed"], (await graph(client))["nodes"]) == (2, [])


async def test_a_short_id_is_never_reused(client: Client) -> None:
    await change(client, add=[{"ref": "a", "type": "image"}])
    definition: dict[str, Any] = {"nodes": [], "edges": [], "node_inputs": {}, "node_outputs": {}}
    await client.send("PUT", f"{PROJECT}/canvas/definition", json={"definition": definition})
    done = await change(client, add=[{"ref": "a", "type": "image"}])
    assert done["created"]["a"]["id"] == "n2"


async def test_an_update_merges_parameters(client: Client) -> None:
    client.fake.add_model(FakeModel("other", "image"))
    await change(client, add=[{"ref": "a", "type": "image", "params": {"seed": 1, "size": 2}}])
    move = {"position": {"x": 7, "y": 8}, "model": "other", "label": "Moved"}
    done = await change(client, update=[{"id": "n1", "params": {"seed": 3}, **move}])
    assert done["applied"]["updated"] == 1
    (node,) = (await graph(client))["nodes"]
    assert (node["params"], node["label"]) == ({"seed": 3, "size": 2}, "Moved")
    assert (node["position"], node["model_id"]) == ({"x": 7, "y": 8}, "other")


async def test_an_invalid_changeset_changes_nothing_and_reports_every_problem(client: Client) -> None:
    await change(client, add=[{"ref": "a", "type": "image"}])
    before = await graph(client)
    error = await change(
        client,
        add=[
            {"ref": "n1", "type": "image"},
            {"ref": "b", "type": "smell"},
            {"ref": "c", "type": "image", "content_url": HTTPS_FILM, "prompt": "both"},
            {"ref": "d", "type": "image", "model": "missing", "group": "nowhere"},
            {"ref": "e", "type": "image", "position": {"x": True, "y": 1}},
            "f",
        ],
        update=[{"id": "zz", "label": "x"}, {"id": "n1", "params": []}, {"id": "n1", "label": "new", "prompt": "new"}],
        connect=[{"from": "n1"}, {"from": "n1", "to": "zz"}],
        disconnect=[{"from": "yy", "to": "n1"}],
        remove=[{"id": "n1"}, {"id": "n9"}],
    )
    assert fields_of(error) == {
        *("add[0].ref", "add[1].type", "add[2].content_url", "add[3].model", "add[3].group", "add[4].position"),
        *("add[5]", "update[0].id", "update[1].params", "connect[0].to", "connect[1].to", "disconnect[0].from"),
        "remove[1].id",
    }
    assert await graph(client) == before


async def test_a_definition_is_returned_unchanged(client: Client) -> None:
    definition = {
        "nodes": [
            {"id": "x", "type": "textBlock", "data": {"label": "X", "odd Key": 1}, "position": {"x": 1, "y": 2}},
            {
                "id": "y",
                "type": "resultImageBlock",
                "data": {},
                "position": {"x": 3, "y": 4},
                "z_index": 2,
                "style": {"backgroundColor": "red"},
            },
        ],
        "edges": [
            {
                "id": "e",
                "source": "x",
                "source_handle": None,
                "target": "y",
                "target_handle": "image",
                "data": {"a_b": 1},
                "type": "bezier",
            }
        ],
        "node_inputs": {"x": {"prompt": "a cat", "whatEver": None}},
        "node_outputs": {"y": {"url": "https://e.com/y.png"}},
        "layer_editor_documents": {"y": {"a_b": 1}},
    }
    path = f"{PROJECT}/canvas/definition"
    response, put = await client.send("PUT", path, json={"definition": definition})
    assert response.status == 200
    _, got = await client.get(path)
    assert put == got
    assert got["definition"] == definition
    counts = {"node_count": 2, "edge_count": 1, "group_count": 0, "isolated_node_count": 0, "workflow_count": 1}
    assert got["summary"] == counts
    seen = await graph(client)
    assert [(node["node_id"], node["type"]) for node in seen["nodes"]] == [("x", "text"), ("y", "resultImageBlock")]
    assert seen["nodes"][0]["prompt"] == "a cat"


async def test_a_node_without_a_position_gets_one(client: Client) -> None:
    nodes = [{"id": name, "type": "group", "data": {}} for name in "ab"]
    definition = {"nodes": nodes, "edges": [], "node_inputs": {}, "node_outputs": {}}
    _, put = await client.send("PUT", f"{PROJECT}/canvas/definition", json={"definition": definition})
    first, second = (node["position"] for node in put["definition"]["nodes"])
    assert first != second


@pytest.mark.parametrize(
    ("invalid", "field"),
    [
        ({"nodes": 1}, "definition.nodes"),
        ({"nodes": [{"id": "x"}]}, "definition.nodes[0]"),
        ({"edges": [{"id": "e"}]}, "definition.edges[0]"),
        (
            {"edges": [{"id": "e", "source": "x", "source_handle": None, "target": "z", "target_handle": None}]},
            "definition.edges[0]",
        ),
        ({"node_inputs": None}, "definition.node_inputs"),
    ],
)
async def test_an_invalid_definition_is_refused(client: Client, invalid: dict[str, Any], field: str) -> None:
    await change(client, add=[{"ref": "a", "type": "image"}])
    before = await graph(client)
    definition = {"nodes": [], "edges": [], "node_inputs": {}, "node_outputs": {}, **invalid}
    response, error = await client.send("PUT", f"{PROJECT}/canvas/definition", json={"definition": definition})
    assert (response.status, fields_of(error)) == (400, {field})
    assert await graph(client) == before


async def test_a_definition_has_required_fields(client: Client) -> None:
    _, error = await client.send("PUT", f"{PROJECT}/canvas/definition", json={"definition": {}})
    names = ("nodes", "edges", "node_inputs", "node_outputs")
    assert fields_of(error) == {f"definition.{name}" for name in names}


async def test_a_flowchart_adds_to_the_canvas(client: Client) -> None:
    await change(client, add=[{"ref": "a", "type": "image", "label": 'A "quoted" photo'}])
    done = await draw(
        client,
        'graph LR\n  film["A film (Video)"] --> words\n\n  n1 --> film\n  subgraph x\n  end\n  n1["Again"]',
        words={"prompt": "in words", "aspect_ratio": "1:1", "model_parameters": {"seed": 1}, "content_url": None},
    )
    assert (done["created_node_count"], done["created_edge_count"], len(done["warnings"])) == (3, 2, 3)
    lines = [
        "  n1[\"A 'quoted' photo (Image)\"]",
        '  n2["A film (Video)"]',
        '  n3["words (Image)"]',
        '  n4["Again (Image)"]',
    ]
    assert done["diagram"] == "\n".join(["graph LR", *lines, "  n2 --> n3", "  n1 --> n2"])
    _, canvas = await client.get("/projects/prj_local/canvas")
    assert canvas["diagram"] == done["diagram"]
    counts = {"node_count": 4, "edge_count": 2, "group_count": 0, "isolated_node_count": 1, "workflow_count": 1}
    assert canvas["summary"] == counts
    film, words = (await graph(client))["nodes"][1:3]
    assert (film["type"], film["prompt"], film["model_id"]) == ("video", "A film", "veo-3")
    assert (words["prompt"], words["params"]) == ("in words", {"aspect_ratio": "1:1", "seed": 1})


async def test_a_flowchart_can_show_external_media(client: Client) -> None:
    await draw(client, 'flowchart TD\n a["(Video)"]', a={"content_url": HTTPS_FILM})
    (node,) = (await graph(client))["nodes"]
    assert (node["type"], node["label"], node["output_url"]) == ("static_video", "", HTTPS_FILM)


@pytest.mark.parametrize(
    ("diagram", "params", "field"),
    [
        ("pie", {}, "diagram"),
        ("graph LR\n a -> b", {}, "diagram"),
        ("graph LR\n a", {"a": 1}, "node_params.a"),
        ("graph LR\n a", {"a": {"colour": "red"}}, "node_params.a.colour"),
        ("graph LR\n a", {"a": {"prompt": "x", "content_url": HTTPS_FILM}}, "node_params.a.content_url"),
        ("graph LR\n a", {"a": {"model": "missing"}}, "model"),
    ],
)
async def test_an_invalid_flowchart_is_refused(
    client: Client, diagram: str, params: dict[str, Any], field: str
) -> None:
    assert fields_of(await draw(client, diagram, **params)) == {field}
    assert (await graph(client))["nodes"] == []


async def test_nodes_run_as_generations_or_are_skipped_with_a_reason(client: Client, clock: VirtualClock) -> None:
    client.fake.add_model(FakeModel("doomed", "text", error_code="safety_blocked", error_message="No."))
    await change(
        client,
        add=[
            {"ref": "cat", "type": "image", "prompt": "a cat", "params": {"seed": 1}},
            {"ref": "words", "type": "text", "model": "doomed"},
        ],
    )
    await change(client, add=[{"ref": "frame", "type": "group"}])
    definition = (await client.get(f"{PROJECT}/canvas/definition"))[1]["definition"]
    definition["nodes"] += [{"id": name, "type": "videoBlock", "data": {}} for name in ("bare", "strange")]
    definition["node_inputs"]["strange"] = {"model_id": "missing"}
    await client.send("PUT", f"{PROJECT}/canvas/definition", json={"definition": definition})
    ids = ["n1", "n1", "n2", "n3", "bare", "strange", "n9"]
    _, answer = await client.post(f"{PROJECT}/nodes/run", {"node_ids": ids})
    assert answer["project_id"] == "prj_local"
    assert [entry["node_id"] for entry in answer["runs"]] == ids
    assert [entry.get("reason") for entry in answer["runs"]] == [
        None,
        "generation_already_running",
        None,
        "node_not_executable",
        "no_model_configured",
        "run_failed_to_start",
        "node_not_found",
    ]
    assert all(entry["message"] for entry in answer["runs"] if entry["status"] == "skipped")
    started, failing = (entry for entry in answer["runs"] if entry["status"] == "started")
    assert (started["type"], started["model"], started["charged_cost"]) == (
        "generation",
        {"model_id": "flux-pro"},
        0.05,
    )
    cat, words = client.fake.runs
    assert (started["run_id"], failing["run_id"]) == (cat.run_id, words.run_id)
    assert (cat.inputs, cat.params) == ({"prompt": "a cat"}, {"seed": 1})
    assert [node["status"] for node in (await graph(client))["nodes"][:2]] == ["generating", "generating"]
    clock.advance(10.0)
    _, run = await client.get(started["poll_url"])
    nodes = (await graph(client))["nodes"]
    assert (nodes[0]["status"], nodes[0]["output_url"]) == ("done", run["outputs"][0]["url"])
    assert (nodes[1]["status"], nodes[1]["error_code"], nodes[1]["error_message"]) == ("error", "safety_blocked", "No.")
    _, listed = await client.get("/projects/prj_local/nodes")
    assert [node["url"] for node in listed["nodes"]] == [run["outputs"][0]["url"], None, None, None]


@pytest.mark.parametrize("ids", [[], ["n1"] * 51, [1], "n1"])
async def test_one_to_fifty_nodes_can_be_run_at_once(client: Client, ids: Any) -> None:
    response, error = await client.post(f"{PROJECT}/nodes/run", {"node_ids": ids})
    assert (response.status, fields_of(error)) == (400, {"node_ids"})


async def test_an_action_node_runs_as_an_action(client: Client) -> None:
    body = {"action_id": "rotate-image-browser", "params": {"angle": 90}}
    _, made = await client.post("/projects/prj_local/actions", body)
    (node,) = (await graph(client))["nodes"]
    assert (node["type"], node["action"], node["params"]) == ("action", body, None)
    response, ticket = await client.send("POST", f"/projects/prj_local/actions/{made['node_id']}/run")
    assert (response.status, ticket["type"], ticket["action"]) == (201, "action", {"action_id": "rotate-image-browser"})
    assert client.fake.runs[0].params == {"angle": 90}
    await change(client, add=[{"ref": "a", "type": "image"}])
    response, error = await client.post("/projects/prj_local/actions/n2/run")
    assert (response.status, fields_of(error)) == (400, {"node_id"})
    response, _ = await client.post("/projects/prj_local/actions/n9/run")
    assert response.status == 404
    response, _ = await client.post("/projects/prj_local/actions", {"action_id": "missing"})
    assert response.status == 404


async def test_an_attached_asset_is_shown_on_the_canvas(client: Client) -> None:
    _, asset = await client.post("/assets", {"source": "https://e.com/film.mp4", "workspace_id": "ws_local"})
    _, attached = await client.post(f"/projects/prj_local/assets/{asset['asset_id']}/attach")
    (node,) = (await graph(client))["nodes"]
    assert (node["node_id"], node["type"], node["output_url"]) == (attached["node_id"], "static_video", asset["url"])
    _, listed = await client.get("/projects/prj_local/nodes")
    assert [(node["type"], node["asset_id"]) for node in listed["nodes"]] == [("video", asset["asset_id"])]
    _, project = await client.get("/projects/prj_local")
    assert project["last_modified"] == 1_780_000_000_000


async def test_an_asset_cannot_be_attached_before_it_is_ready(client: Client) -> None:
    _, asset = await client.post("/assets", {"source": "signed-url", **PLACE})
    response, error = await client.post(f"/projects/prj_local/assets/{asset['asset_id']}/attach")
    assert (response.status, error["error"]["code"]) == (409, "conflict")
    assert (await graph(client))["nodes"] == []


async def test_a_held_node_keeps_running(client: Client, clock: VirtualClock) -> None:
    client.fake.add_model(FakeModel("endless", "image", running=math.inf))
    await change(client, add=[{"ref": "a", "type": "image", "model": "endless"}])
    _, answer = await client.post(f"{PROJECT}/nodes/run", {"node_ids": ["n1"]})
    clock.advance(1e6)
    assert (await graph(client))["nodes"][0]["status"] == "generating"
    client.fake.finish(answer["runs"][0]["run_id"])
    assert (await graph(client))["nodes"][0]["status"] == "done"
