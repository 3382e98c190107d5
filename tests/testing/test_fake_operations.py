"""Every operation of the local FLORA: its answer, its refusals and its idempotency key."""

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import aiohttp
import pytest
from plain_client import TEXT, Client
from sweep import Sweep

from flora_async.testing import FakeFlora, VirtualClock
from flora_async.testing._wire.operations import OPERATIONS

WORKSPACE = {"workspace_id": "ws_local"}
PLACE = {**WORKSPACE, "project_id": "prj_local"}
ROOT = "/workspaces/ws_local"
PROJECT = f"{ROOT}/projects/prj_local"
GENERATION = {"type": "image", "prompt": "a cat", **PLACE}
ACTION = {"action_id": "concat-text-browser", "inputs": [{"type": "text", "text": "a"}], **PLACE}
TICKET = "run_id type charged_cost estimated_seconds project_id poll_url"
PROJECT_FIELDS = "project_id workspace_id name origin created_at last_modified"
RUN_FIELDS = "run_id status progress created_at started_at completed_at charged_cost outputs poll_url"
CREATED_ASSET = "asset_id status uploaded_via url visibility workspace_id"
ASSET_FIELDS = (
    "asset_id content_type created_at description height name size_bytes status upload_content_type uploaded_via url "
    "width workspace_id"
)
DEFINITION: dict[str, Any] = {"nodes": [], "edges": [], "node_inputs": {}, "node_outputs": {}}


class Case(NamedTuple):
    """A valid request: its path and body, the fields of the answer, and the key of the items of a list."""

    path: str
    fields: str
    body: Any = None
    items: str = ""


CASES = {
    "techniques.retrieve": Case("/techniques/caption", "technique_id name run_cost inputs outputs"),
    "techniques.list": Case("/techniques", "technique_id name run_cost inputs outputs", items="techniques"),
    "techniques.runs.create": Case(
        "/techniques/caption/runs",
        RUN_FIELDS,
        body={"mode": "async", "inputs": [TEXT], "callback_url": "https://e.com"},
    ),
    "techniques.runs.list": Case(
        "/technique-runs",
        f"{RUN_FIELDS} project_id workspace_id technique technique_run_id",
        items="technique_runs",
    ),
    "techniques.runs.retrieve": Case("/techniques/caption/runs/{technique_run}", RUN_FIELDS),
    "assets.create": Case("/assets", CREATED_ASSET, body={"source": "https://e.com/cat.png", **WORKSPACE}),
    "assets.complete": Case("/assets/{asset}/complete", "asset_id status url visibility workspace_id", body={}),
    "assets.retry": Case(
        "/assets/{failed}/retry", "asset_id status url visibility workspace_id upload expires_at", body={}
    ),
    "assets.list": Case("/assets", f"{ASSET_FIELDS} node_id project_id", items="assets"),
    "assets.retrieve": Case("/assets/{asset}", f"{ASSET_FIELDS} failure_message"),
    "workspaces.list": Case("/workspaces", "workspace_id name role created_at", items="workspaces"),
    "workspaces.projects.create": Case(f"{ROOT}/projects", PROJECT_FIELDS, body={"name": "New"}),
    "workspaces.projects.graph": Case(f"{PROJECT}/graph", "project_id canvas_url nodes edges revision"),
    "workspaces.projects.run_nodes": Case(f"{PROJECT}/nodes/run", "project_id runs", body={"node_ids": ["{node}"]}),
    "workspaces.projects.canvas.apply_changeset": Case(
        f"{PROJECT}/canvas/changeset",
        "project_id canvas_url applied created revision warnings",
        body={"add": [{"ref": "new", "type": "image"}]},
    ),
    "workspaces.projects.canvas.retrieve_definition": Case(
        f"{PROJECT}/canvas/definition", "project_id canvas_url definition summary"
    ),
    "workspaces.projects.canvas.replace_definition": Case(
        f"{PROJECT}/canvas/definition", "project_id canvas_url definition summary", body={"definition": DEFINITION}
    ),
    "workspaces.folders.create_project": Case(
        f"{ROOT}/folders/fld_local/projects", PROJECT_FIELDS, body={"name": "New"}
    ),
    "workspaces.library.folders.create": Case(
        f"{ROOT}/library/folders", "folder_id name workspace_id", body={"name": "New"}
    ),
    "workspaces.library.folders.delete": Case(f"{ROOT}/library/folders/{{folder}}", "deleted folder_id workspace_id"),
    "workspaces.library.folders.add_item": Case(
        f"{ROOT}/library/folders/{{folder}}/items",
        "folder_id saved_node_id workspace_id asset_id url",
        body={"source": "https://e.com/cat.png", "description": "A cat"},
    ),
    "projects.create": Case("/projects", PROJECT_FIELDS, body={"name": "New", **WORKSPACE}),
    "projects.retrieve": Case("/projects/prj_local", PROJECT_FIELDS),
    "projects.list": Case("/projects?workspace_id=ws_local", PROJECT_FIELDS, items="projects"),
    "projects.list_nodes": Case("/projects/prj_local/nodes", "node_id type label url asset_id", items="nodes"),
    "projects.assets.attach": Case(
        "/projects/prj_local/assets/{asset}/attach", "asset_id canvas_url node_id project_id", body={}
    ),
    "projects.canvas.retrieve": Case("/projects/prj_local/canvas", "project_id canvas_url diagram summary"),
    "projects.canvas.update": Case(
        "/projects/prj_local/canvas",
        "project_id canvas_url created_edge_count created_node_count diagram warnings",
        body={"diagram": "graph LR\n a --> b", "node_params": {"a": {"prompt": "a cat", "model": None}}},
    ),
    "projects.actions.create": Case(
        "/projects/prj_local/actions",
        "action_id canvas_url node_id project_id",
        body={"action_id": "rotate-image-browser", "params": {"angle": 90}},
    ),
    "projects.actions.run": Case("/projects/prj_local/actions/{action_node}/run", f"{TICKET} action", body={}),
    "actions.list": Case(
        "/actions", "action_id charged_cost description inputs language name outputs params", items="actions"
    ),
    "actions.retrieve": Case(
        "/actions/rotate-image-browser", "action_id charged_cost description inputs language name outputs params"
    ),
    "actions.run": Case("/runs/action", f"{TICKET} action", body=ACTION),
    "models.list": Case(
        "/models",
        "model_id name provider type capabilities estimated_credits estimated_seconds params",
        items="models",
    ),
    "generations.create": Case(
        "/generate",
        f"{TICKET} model",
        body={**GENERATION, "model": "flux-pro", "params": {"aspect_ratio": "1:1"}, "callback_url": "https://e.com"},
    ),
    "generations.retrieve": Case("/runs/{generation}", RUN_FIELDS),
    "generations.list": Case(
        "/generations", f"{RUN_FIELDS} generation_id model project_id workspace_id", items="generations"
    ),
    "runs.start_generation": Case("/runs/generation", f"{TICKET} model", body=GENERATION),
    "runs.start_technique": Case(
        "/runs/technique",
        f"{TICKET} technique",
        body={"technique_id": "tech_caption", "inputs": {"prompt": "a cat"}, **WORKSPACE},
    ),
    "feedback.record": Case(
        "/feedback",
        "feedback_id received_at",
        body={"kind": "bug", "summary": "s", "detail": "d", "attempted_tools": ["upload"], "run_id": "run_1", **PLACE},
    ),
}
MUTATIONS = {name: case for name, case in CASES.items() if OPERATIONS[name].mutates}
# Which ignore fields that they do not know, as FLORA does.
LENIENT = {"techniques.runs.create", "generations.create", "runs.start_generation"}
every_operation = pytest.mark.parametrize("name", CASES)
every_mutation = pytest.mark.parametrize("name", MUTATIONS)

Send = Callable[..., Any]


async def create_prerequisites(client: Client) -> dict[str, str]:
    """Create one of everything that the requests refer to; return the ids."""
    _, technique_run = await client.start()
    _, generation = await client.post("/generate", GENERATION)
    _, reserved = await client.post("/assets", {"source": "signed-url", **WORKSPACE})
    client.fake.expire_uploads()
    _, asset = await client.post("/assets", {"source": "https://e.com/cat.png", **PLACE})
    _, folder = await client.post(f"{ROOT}/library/folders")
    add = [{"ref": "n", "type": "image", "prompt": "a cat"}]
    _, changed = await client.post(f"{PROJECT}/canvas/changeset", {"add": add})
    _, action_node = await client.post("/projects/prj_local/actions", {"action_id": "rotate-image-browser"})
    return {
        "technique_run": technique_run["run_id"],
        "generation": generation["run_id"],
        "asset": asset["asset_id"],
        "failed": reserved["asset_id"],
        "folder": folder["folder_id"],
        "node": changed["created"]["n"]["id"],
        "action_node": action_node["node_id"],
    }


def filled(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**ids) if value.startswith(("/", "{")) else value
    if isinstance(value, list):
        return [filled(item, ids) for item in value]
    return {key: filled(item, ids) for key, item in value.items()} if isinstance(value, dict) else value


@pytest.fixture
async def fake(clock: VirtualClock) -> AsyncIterator[FakeFlora]:
    async with FakeFlora(case="snake", run_seconds=0, clock=clock, idempotency="replay", history_lag=0) as fake:
        yield fake


@pytest.fixture
async def send(client: Client) -> Send:
    """Send the request of a case with these changes."""
    ids = await create_prerequisites(client)

    async def send(name: str, *, body: Any = None, **options: Any) -> Any:
        case = CASES[name]
        body = filled(case.body, ids) if body is None else body
        options = options if body is None or "data" in options else {"json": body, **options}
        return await client.send(OPERATIONS[name].method, filled(case.path, ids), **options)

    return send


def test_every_operation_has_a_case_and_a_handler() -> None:
    assert CASES.keys() == OPERATIONS.keys() == FakeFlora()._api.handlers.keys()


@every_operation
async def test_an_operation_answers_with_every_documented_field(send: Send, fake: FakeFlora, name: str) -> None:
    response, answer = await send(name)
    assert response.status == OPERATIONS[name].status
    case = CASES[name]
    answer = answer[case.items][0] if case.items else answer
    assert set(case.fields.split()) <= answer.keys()
    assert name in fake.requests[-1].route.targets


async def test_an_operation_requires_the_key(send: Send) -> None:
    with Sweep() as sweep:
        for name in CASES:
            with sweep.row(name):
                response, error = await send(name, headers={"Authorization": "Bearer wrong"})
                assert (response.status, error["error"]["code"]) == (401, "unauthorized")


MISSING = {
    **{name: f"{name}_missing" for name in ("technique_id", "run_id", "asset_id", "folder_id", "node_id", "action_id")},
    "workspace_id": "ws_missing",
    "project_id": "prj_missing",
}


async def test_a_missing_object_is_a_404(client: Client) -> None:
    with Sweep() as sweep:
        for name in [name for name, operation in OPERATIONS.items() if "{" in operation.path]:
            with sweep.row(name):
                operation = OPERATIONS[name]
                path = operation.path.format_map(MISSING)
                response, error = await client.send(operation.method, path, json=CASES[name].body or {})
                assert (response.status, error["error"]["code"]) == (404, "not_found")


@every_mutation
async def test_replay_repeats_the_answer_to_every_mutation(send: Send, fake: FakeFlora, name: str) -> None:
    first, answer = await send(name, headers={"Idempotency-Key": "k1"})
    runs, assets = fake.runs, fake.assets
    second, again = await send(name, headers={"Idempotency-Key": "k1"})
    assert (again, second.status) == (answer, first.status)
    assert second.headers["idempotent-replayed"] == "true"
    assert (fake.runs, fake.assets) == (runs, assets)


@pytest.mark.parametrize("name", [name for name, case in MUTATIONS.items() if case.body is not None])
async def test_replay_refuses_a_key_with_another_body_for_every_mutation(send: Send, name: str) -> None:
    await send(name, headers={"Idempotency-Key": "k1"})
    response, error = await send(name, body={"another": 1}, headers={"Idempotency-Key": "k1"})
    assert (response.status, error["error"]["code"]) == (422, "idempotency_conflict")


async def test_conflict_refuses_a_repeated_mutation(http: aiohttp.ClientSession) -> None:
    async with FakeFlora(idempotency="conflict", run_seconds=0) as fake:
        client = Client(fake, http)
        for expected in (201, 409):
            response, _ = await client.post("/generate", GENERATION, headers={"Idempotency-Key": "k1"})
            assert response.status == expected
        assert len(fake.runs) == 1


async def test_an_unknown_field_is_a_400_that_names_it(send: Send) -> None:
    with Sweep() as sweep:
        for name in [name for name, case in MUTATIONS.items() if case.body is not None and name not in LENIENT]:
            with sweep.row(name):
                response, error = await send(name, body={**MUTATIONS[name].body, "surprise": 1})
                assert (response.status, error["error"]["code"]) == (400, "input_validation_error")
                assert [field["field"] for field in error["error"]["fields"]] == ["surprise"]


async def test_a_body_that_is_not_an_object_is_a_400(send: Send) -> None:
    with Sweep() as sweep:
        for name in [name for name, case in MUTATIONS.items() if case.body is not None]:
            for data in [b"[]", b"{", b"null"]:
                with sweep.row(name, data):
                    response, error = await send(name, data=data)
                    assert (response.status, error["error"]["code"]) == (400, "invalid_json")
