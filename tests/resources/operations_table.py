"""Every public operation of FLORA's, as FLORA describes it: what is asked, and what it answers.

Requests and answers are written out as they go over the wire. What an operation means for money and for retries is
read from the route table, whose essentials are pinned in `test_operations.py`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from flora_async import models as m
from flora_async._http.routes import ROUTES, Route
from flora_async.models import OutputType, Run, RunInput, RunOutput, RunStatus, Technique, TechniqueReference

NOON, NOON_MS = datetime(2026, 5, 28, 12, tzinfo=UTC), 1_779_969_600_000
# The caller's own data: whatever its keys look like, they are not renamed.
ODD: dict[str, Any] = {"Some Key": [1], "snake_key": {"camelKey": None, "a_b": 1.5}, "camelKey": "x", "": True}
ODD_TEXT = {"X-Amz-Date": "1", "x_amz_date": "2", "xAmzDate": "3"}
PHOTO = "https://example.com/photo.png"
HOOK = "https://example.com/hook"
CANVAS_URL = "https://app.flora.ai/canvas"


class Operation(NamedTuple):
    """One operation.

    Attributes:
        name: Ours, as attributes of a session.
        method: The HTTP method.
        path: As it goes over the wire, below the base URL.
        ids: The positional arguments.
        needed: The keyword arguments that have to be given.
        answer: What FLORA answers, in snake_case.
        result: What becomes of it: a model, or the items of a list.
        optional: The keyword arguments that may be left out.
        query: The whole query when everything is given; what `optional` names is missing when it is left out.
        body: The whole body when everything is given, likewise; None = no body at all.
        always: What of the body is there even when it is left out.
    """

    name: str
    method: str
    path: str
    ids: tuple[str, ...]
    needed: Mapping[str, Any]
    answer: Mapping[str, Any]
    result: Any
    optional: Mapping[str, Any] = {}
    query: Mapping[str, str] = {}
    body: Mapping[str, Any] | None = None
    always: Mapping[str, Any] = {}

    @property
    def route(self) -> Route:
        """What it means for money and for retries."""
        return ROUTES[self.name]

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET"


def some(names: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in names.split()}


# --- answers, each with what becomes of it ---

RUN: dict[str, Any] = {
    "run_id": "run_1",
    "status": "completed",
    "progress": 100.0,
    "created_at": NOON_MS,
    "started_at": NOON_MS,
    "completed_at": NOON_MS,
    "charged_cost": 0.05,
    "error_code": "none",
    "error_message": "Nothing.",
    "outputs": [{"output_id": "o", "type": "imageUrl", "url": "https://media.flora.ai/o.png"}],
    "poll_url": "https://app.flora.ai/api/v1/runs/run_1",
}
OF_A_RUN: dict[str, Any] = {
    **RUN,
    "status": RunStatus.COMPLETED,
    **dict.fromkeys(("created_at", "started_at", "completed_at"), NOON),
    "outputs": (RunOutput("o", OutputType.IMAGE, "https://media.flora.ai/o.png"),),
}
IN_HISTORY: dict[str, Any] = {"project_id": "prj_1", "workspace_id": "ws_1"}
TICKET: dict[str, Any] = {
    "run_id": "run_1",
    "type": "generation",
    "charged_cost": 0.05,
    "estimated_seconds": 25,
    "poll_url": "https://app.flora.ai/api/v1/runs/run_1",
    "project_id": "prj_1",
    "action": {"action_id": "rotate-image-browser"},
    "model": {"model_id": "flux-pro"},
    "technique": {"name": "CCTV cam", "technique_id": "tech_1"},
}
OF_A_TICKET: dict[str, Any] = {
    **TICKET,
    "estimated_seconds": 25.0,
    "action": m.ActionReference(action_id="rotate-image-browser"),
    "model": m.ModelReference(model_id="flux-pro"),
    "technique": TechniqueReference("tech_1", "CCTV cam"),
}
A_TICKET, A_TECHNIQUE_TICKET = m.RunTicket(**OF_A_TICKET), m.TechniqueTicket(**OF_A_TICKET)
SLOT = {
    "id": "photo",
    "name": "Photo",
    "type": "imageUrl",
    "optional": True,
    "accepts_element": True,
    "allow_multiple": True,
    "description": "A photo.",
    "specified_aspect_ratio": "16:9",
    "specified_duration": 5.0,
}
TECHNIQUE = {
    "technique_id": "tech_1",
    "name": "CCTV cam",
    "description": "Makes it look watched.",
    "run_cost": 0.05,
    "inputs": [SLOT],
    "outputs": [some("id name type description", SLOT)],
}
A_TECHNIQUE = Technique(
    technique_id="tech_1",
    name="CCTV cam",
    description="Makes it look watched.",
    run_cost=0.05,
    inputs=(m.TechniqueInput(**SLOT),),  # type: ignore[arg-type]  # the same names
    outputs=(m.TechniqueOutput(id="photo", name="Photo", type="imageUrl", description="A photo."),),
)
ASSET: dict[str, Any] = {
    "asset_id": "asset_1",
    "status": "pending_upload",
    "url": "https://media.flora.ai/a.png",
    "workspace_id": "ws_1",
    "uploaded_via": "signed_url",
    "visibility": "workspace",
    "expires_at": "2026-05-28T12:00:00Z",
    "failure_message": "Too slow.",
    "upload_url": "https://storage.example/",
    "upload": {
        "url": "https://storage.example/",
        "method": "POST",
        "file_field": "file",
        "content_type": "multipart/form-data",
        "form_fields": ODD_TEXT,
    },
}
AN_ASSET = m.Asset(
    **{
        **ASSET,
        "status": m.AssetStatus.PENDING_UPLOAD,
        "expires_at": NOON,
        "upload": m.AssetUpload(url="https://storage.example/", form_fields=ODD_TEXT),
    }
)
STORED: dict[str, Any] = {
    "asset_id": "asset_1",
    "status": "ready",
    "url": "https://media.flora.ai/a.png",
    "workspace_id": "ws_1",
    "name": "a.png",
    "description": "A photo.",
    "content_type": "image/png",
    "size_bytes": 12,
    "width": 3,
    "height": 4,
    "created_at": "2026-05-28T12:00:00Z",
    "failure_message": None,
    "uploaded_via": "url",
    "upload_content_type": "image/png",
}
A_STORED = m.Asset(**{**STORED, "status": m.AssetStatus.READY, "created_at": NOON})
PROJECT: dict[str, Any] = {
    "project_id": "prj_1",
    "name": "Spring",
    "workspace_id": "ws_1",
    "origin": "api",
    "created_at": NOON_MS,
    "last_modified": NOON_MS,
}
A_PROJECT = m.Project(**{**PROJECT, "created_at": NOON, "last_modified": NOON})
ACTION: dict[str, Any] = {
    "action_id": "rotate-image-browser",
    "name": "Rotate",
    "description": "KeyedLocks it.",
    "language": "javascript",
    "charged_cost": 0,
    "inputs": [{"name": "image", "type": "image", "multiple": {"min": 1, "max": 4}, "dynamic": True, "optional": True}],
    "outputs": [{"name": "image", "type": "image", "multiple": True}],
    "params": [
        {
            "key": "angle",
            "type": "select",
            "label": "Angle",
            "info_tooltip": "Degrees.",
            "default_value": ODD,
            "available_values": [{"label": "A quarter", "value": "90", "description": "To the right."}],
            "min_number_value": 0,
            "max_number_value": 360,
            "number_step": 0.5,
        }
    ],
}
AN_ACTION = m.Action(
    action_id="rotate-image-browser",
    name="Rotate",
    description="KeyedLocks it.",
    language="javascript",
    charged_cost=0.0,
    inputs=(
        m.ActionSlot(name="image", type="image", multiple=m.SlotBounds(min=1, max=4), dynamic=True, optional=True),
    ),
    outputs=(m.ActionSlot(name="image", type="image", multiple=True),),
    params=(
        m.ActionParameter(
            key="angle",
            type="select",
            label="Angle",
            info_tooltip="Degrees.",
            default_value=ODD,
            available_values=(m.ParameterOption(label="A quarter", value="90", description="To the right."),),
            min_number_value=0.0,
            max_number_value=360.0,
            number_step=0.5,
        ),
    ),
)
MODEL: dict[str, Any] = {
    "model_id": "flux-pro",
    "name": "Flux",
    "type": "image",
    "provider": "bfl",
    "capabilities": ["t2i"],
    "estimated_seconds": 20,
    "estimated_credits": 1.5,
    "beta": True,
    "params": [
        {
            "name": "size",
            "type": "dict",
            "required": True,
            "default": ODD,
            "label": "Size",
            "description": "How large.",
            "min": 1,
            "max": 2,
            "options": [{"label": "L", "value": "l"}],
            "properties": {"max_width": {"default": 1, "min": 0.5, "max": 2}, "maxHeight": {"default": 1}},
        }
    ],
}
A_MODEL = m.GenerationModel(
    model_id="flux-pro",
    name="Flux",
    type="image",
    provider="bfl",
    capabilities=("t2i",),
    estimated_seconds=20.0,
    estimated_credits=1.5,
    beta=True,
    params=(
        m.ModelParameter(
            name="size",
            type="dict",
            required=True,
            default=ODD,
            label="Size",
            description="How large.",
            min=1.0,
            max=2.0,
            options=(m.ParameterOption(label="L", value="l"),),
            properties={
                "max_width": m.ParameterRange(default=1.0, min=0.5, max=2.0),
                "maxHeight": m.ParameterRange(default=1.0),
            },
        ),
    ),
)
SUMMARY: dict[str, Any] = {
    "node_count": 5,
    "edge_count": 4,
    "group_count": 3,
    "workflow_count": 2,
    "isolated_node_count": 1,
}
A_SUMMARY = m.CanvasSummary(**SUMMARY)
ON_CANVAS = {"project_id": "prj_1", "canvas_url": CANVAS_URL}
DEFINITION: dict[str, Any] = {
    "nodes": [
        {
            "id": "a",
            "type": "textBlock",
            "data": ODD,
            "position": {"x": 1, "y": 2.5},
            "parent_id": "g",
            "width": 3.5,
            "height": 4,
            "z_index": 1,
            "hidden": False,
            "origin": [0, 0.5],
            "extent": [[0, 0], [9, 9]],
            "expand_parent": True,
            "style": ODD,
        },
        {"id": "b", "type": "group", "data": {}, "position": {"x": 0, "y": 0}, "extent": "parent"},
    ],
    "edges": [
        {"id": "e", "source": "a", "target": "b", "source_handle": None, "target_handle": "in"},
        {
            "id": "f",
            "source": "b",
            "target": "a",
            "source_handle": None,
            "target_handle": None,
            "type": "bend",
            "data": ODD,
        },
    ],
    "node_inputs": {"a_b": ODD, "aB": {}},
    "node_outputs": {"a_b": ODD},
    "layer_editor_documents": {"a_b": ODD},
}
A_DEFINITION = m.CanvasDefinition(
    nodes=(
        m.DefinitionNode(
            id="a",
            type="textBlock",
            data=ODD,
            position=m.Position(1.0, 2.5),
            parent_id="g",
            width=3.5,
            height=4.0,
            z_index=1.0,
            hidden=False,
            origin=(0.0, 0.5),
            extent=[[0, 0], [9, 9]],
            expand_parent=True,
            style=ODD,
        ),
        m.DefinitionNode(id="b", type="group", position=m.Position(0.0, 0.0), extent="parent"),
    ),
    edges=(
        m.CanvasEdge(id="e", source="a", target="b", target_handle="in"),
        m.CanvasEdge(id="f", source="b", target="a", type="bend", data=ODD),
    ),
    node_inputs={"a_b": ODD, "aB": {}},
    node_outputs={"a_b": ODD},
    layer_editor_documents={"a_b": ODD},
)
DEFINED = {**ON_CANVAS, "summary": SUMMARY, "definition": DEFINITION}
A_DEFINED = m.DefinedCanvas(project_id="prj_1", canvas_url=CANVAS_URL, summary=A_SUMMARY, definition=A_DEFINITION)
GRAPH: dict[str, Any] = {
    **ON_CANVAS,
    "revision": "r1",
    "nodes": [
        {
            "id": "n1",
            "node_id": "uuid-1",
            "type": "image",
            "label": "Photo",
            "prompt": "a red bicycle",
            "model": "Flux",
            "model_id": "flux-pro",
            "params": ODD,
            "action": {"action_id": "rotate-image-browser", "params": ODD},
            "position": {"x": 1, "y": 2},
            "status": "error",
            "output_text": "text",
            "output_url": "https://media.flora.ai/o.png",
            "error_code": "model_timeout",
            "error_message": "Too slow.",
        },
        {
            "id": "n2",
            "node_id": "uuid-2",
            "type": "group",
            "label": "",
            "position": {"x": 0, "y": 0},
            **dict.fromkeys(["action", "model", "model_id", "output_text", "output_url", "params", "prompt", "status"]),
        },
    ],
    "edges": [{"from": "n1", "in": "image", "to": "n2"}, {"from": "n2", "in": None, "to": "n1"}],
}
A_GRAPH = m.ProjectGraph(
    project_id="prj_1",
    canvas_url=CANVAS_URL,
    revision="r1",
    nodes=(
        m.GraphNode(
            **{
                **GRAPH["nodes"][0],
                "action": m.GraphAction(action_id="rotate-image-browser", params=ODD),
                "position": m.Position(1.0, 2.0),
            }
        ),
        m.GraphNode(id="n2", node_id="uuid-2", type="group", position=m.Position(0.0, 0.0)),
    ),
    edges=(m.GraphEdge("n1", "n2", "image"), m.GraphEdge("n2", "n1")),
)
NODE_RUNS = {
    "project_id": "prj_1",
    "runs": [
        {
            "node_id": "n1",
            "status": "started",
            **some("run_id type poll_url charged_cost estimated_seconds model", TICKET),
        },
        {"node_id": "n2", "status": "skipped", "reason": "node_locked", "message": "It is locked.", "model": None},
    ],
}
THE_NODE_RUNS = m.NodeRuns(
    project_id="prj_1",
    runs=(
        m.NodeRun(
            node_id="n1",
            status="started",
            run_id="run_1",
            type="generation",
            poll_url="https://app.flora.ai/api/v1/runs/run_1",
            charged_cost=0.05,
            estimated_seconds=25.0,
            model=m.ModelReference(model_id="flux-pro"),
        ),
        m.NodeRun(node_id="n2", status="skipped", reason="node_locked", message="It is locked."),
    ),
)
COUNTS: dict[str, Any] = {"added": 5, "updated": 4, "connected": 3, "disconnected": 2, "removed": 1}

# --- what is asked, where it takes some room ---

GENERATION = {"type": "image", "prompt": "a red bicycle", "workspace_id": "ws_1", "project_id": "prj_1"}
OF_A_GENERATION = {"model": "flux-pro", "params": ODD, "callback_url": HOOK}
IN_A_PROJECT = {"workspace_id": "ws_1", "project_id": "prj_1"}
PAGE = {"limit": 7, "cursor": "c/1"}
CHANGESET: dict[str, Any] = {
    "add": [
        m.NodeAddition(
            ref="a",
            type="image",
            prompt="a red bicycle",
            model="flux-pro",
            params=ODD,
            label="A",
            group="g",
            position=m.Position(1, 2),
        ),
        m.NodeAddition(ref="b", type="image", content_url=PHOTO),
        {"ref": "c", "type": "text", "new_field": ODD},
    ],
    "update": [
        m.NodeChange(id="n1", prompt="p", model="flux-pro", params=ODD, label="L", position=m.Position(3, 4)),
        {"id": "n2"},
    ],
    "connect": [m.GraphEdge("a", "b", "image"), {"from": "b", "to": "c"}],
    "disconnect": [m.GraphEdge("n1", "n2")],
    "remove": ["n3"],
}
CHANGES = {
    "add": [
        {
            "ref": "a",
            "type": "image",
            "prompt": "a red bicycle",
            "model": "flux-pro",
            "params": ODD,
            "label": "A",
            "group": "g",
            "position": {"x": 1, "y": 2},
        },
        {"ref": "b", "type": "image", "content_url": PHOTO},
        {"ref": "c", "type": "text", "new_field": ODD},
    ],
    "update": [
        {"id": "n1", "prompt": "p", "model": "flux-pro", "params": ODD, "label": "L", "position": {"x": 3, "y": 4}},
        {"id": "n2"},
    ],
    "connect": [{"from": "a", "to": "b", "in": "image"}, {"from": "b", "to": "c"}],
    "disconnect": [{"from": "n1", "to": "n2"}],
    "remove": [{"id": "n3"}],
}


def page(name: str, *items: object) -> dict[str, Any]:
    return {name: list(items), "meta": {"next_cursor": None}}


OPERATIONS = [
    Operation(
        "techniques.retrieve",
        "GET",
        "/techniques/tech_1",
        ("tech_1",),
        {},
        TECHNIQUE,
        A_TECHNIQUE,
    ),
    Operation(
        "techniques.list",
        "GET",
        "/techniques",
        (),
        {},
        page("techniques", TECHNIQUE),
        [A_TECHNIQUE],
        {"query": "cctv & co", "workspace_id": "ws_1", **PAGE},
        {"query": "cctv & co", "workspace_id": "ws_1", "limit": "7", "cursor": "c/1"},
    ),
    Operation(
        "techniques.runs.create",
        "POST",
        "/techniques/tech_1/runs",
        ("tech_1",),
        {"inputs": [RunInput("photo", "imageUrl", PHOTO)]},
        RUN,
        Run(**OF_A_RUN),
        {"mode": "stream", "callback_url": HOOK},
        body={
            "inputs": [{"id": "photo", "type": "imageUrl", "value": PHOTO}],
            "mode": "stream",
            "callback_url": HOOK,
            "idempotency_key": "row-57",
        },
        always={"mode": "async"},
    ),
    Operation(
        "techniques.runs.list",
        "GET",
        "/technique-runs",
        (),
        {},
        page(
            "technique_runs",
            {
                **RUN,
                **IN_HISTORY,
                "technique_run_id": "tr_1",
                "technique": {"name": "CCTV cam", "technique_id": "tech_1"},
            },
        ),
        [
            m.TechniqueRun(
                **OF_A_RUN,
                **IN_HISTORY,
                technique_run_id="tr_1",
                technique=TechniqueReference("tech_1", "CCTV cam"),
            )
        ],
        {**IN_HISTORY, "technique_id": "tech_1", "status": RunStatus.COMPLETED, **PAGE},
        {**IN_HISTORY, "technique_id": "tech_1", "status": "completed", "limit": "7", "cursor": "c/1"},
    ),
    Operation(
        "techniques.runs.retrieve",
        "GET",
        "/techniques/tech_1/runs/run_1",
        ("run_1",),
        {"technique_id": "tech_1"},
        RUN,
        Run(**OF_A_RUN),
    ),
    Operation(
        "assets.create",
        "POST",
        "/assets",
        (),
        {"source": PHOTO, "workspace_id": "ws_1"},
        ASSET,
        AN_ASSET,
        {"content_type": "image/png", "file_name": "a.png", "folder": "f", "project_id": "prj_1"},
        body={
            "source": PHOTO,
            "workspace_id": "ws_1",
            "content_type": "image/png",
            "file_name": "a.png",
            "folder": "f",
            "project_id": "prj_1",
        },
    ),
    Operation("assets.complete", "POST", "/assets/asset_1/complete", ("asset_1",), {}, ASSET, AN_ASSET, body={}),
    Operation("assets.retry", "POST", "/assets/asset_1/retry", ("asset_1",), {}, ASSET, AN_ASSET, body={}),
    Operation(
        "assets.list",
        "GET",
        "/assets",
        (),
        {},
        page("assets", {**STORED, "asset_id": None, "created_at": NOON_MS, "node_id": "n1", "project_id": "prj_1"}),
        [
            m.Asset(
                **{**STORED, "status": m.AssetStatus.READY, "created_at": NOON, "asset_id": None},
                node_id="n1",
                project_id="prj_1",
            )
        ],
        {**IN_HISTORY, "query": "photo", **PAGE},
        {**IN_HISTORY, "query": "photo", "limit": "7", "cursor": "c/1"},
    ),
    Operation("assets.retrieve", "GET", "/assets/asset_1", ("asset_1",), {}, STORED, A_STORED),
    Operation(
        "workspaces.list",
        "GET",
        "/workspaces",
        (),
        {},
        {"workspaces": [{"workspace_id": "ws_1", "name": "Studio", "role": "owner", "created_at": NOON_MS}]},
        [m.Workspace(workspace_id="ws_1", name="Studio", role="owner", created_at=NOON)],
    ),
    Operation(
        "workspaces.projects.create",
        "POST",
        "/workspaces/ws_1/projects",
        ("ws_1",),
        {"name": "Spring"},
        PROJECT,
        A_PROJECT,
        body={"name": "Spring"},
    ),
    Operation(
        "workspaces.projects.graph",
        "GET",
        "/workspaces/ws_1/projects/prj_1/graph",
        ("prj_1",),
        {"workspace_id": "ws_1"},
        GRAPH,
        A_GRAPH,
    ),
    Operation(
        "workspaces.projects.run_nodes",
        "POST",
        "/workspaces/ws_1/projects/prj_1/nodes/run",
        ("prj_1",),
        {"workspace_id": "ws_1", "node_ids": ["n1", "n2"]},
        NODE_RUNS,
        THE_NODE_RUNS,
        body={"node_ids": ["n1", "n2"]},
    ),
    Operation(
        "workspaces.projects.canvas.apply_changeset",
        "POST",
        "/workspaces/ws_1/projects/prj_1/canvas/changeset",
        ("prj_1",),
        {"workspace_id": "ws_1", "remove": CHANGESET["remove"]},
        {
            **ON_CANVAS,
            "revision": "r2",
            "applied": COUNTS,
            "created": {"my_ref": {"id": "n4", "node_id": "uuid-4"}, "myRef": {"id": "n5", "node_id": "uuid-5"}},
            "warnings": ["A warning."],
        },
        m.AppliedChangeset(
            project_id="prj_1",
            canvas_url=CANVAS_URL,
            revision="r2",
            applied=m.ChangeCounts(**COUNTS),
            created={
                "my_ref": m.CreatedNode(id="n4", node_id="uuid-4"),
                "myRef": m.CreatedNode(id="n5", node_id="uuid-5"),
            },
            warnings=("A warning.",),
        ),
        some("add update connect disconnect", CHANGESET),
        body=CHANGES,
    ),
    Operation(
        "workspaces.projects.canvas.retrieve_definition",
        "GET",
        "/workspaces/ws_1/projects/prj_1/canvas/definition",
        ("prj_1",),
        {"workspace_id": "ws_1"},
        DEFINED,
        A_DEFINED,
    ),
    Operation(
        "workspaces.projects.canvas.replace_definition",
        "PUT",
        "/workspaces/ws_1/projects/prj_1/canvas/definition",
        ("prj_1",),
        {"workspace_id": "ws_1", "definition": A_DEFINITION},
        DEFINED,
        A_DEFINED,
        body={"definition": DEFINITION},
    ),
    Operation(
        "workspaces.folders.create_project",
        "POST",
        "/workspaces/ws_1/folders/fld_1/projects",
        ("fld_1",),
        {"workspace_id": "ws_1", "name": "Spring"},
        PROJECT,
        A_PROJECT,
        body={"name": "Spring"},
    ),
    Operation(
        "workspaces.library.folders.create",
        "POST",
        "/workspaces/ws_1/library/folders",
        ("ws_1",),
        {},
        {"folder_id": "libfolder_1", "name": "Clips", "workspace_id": "ws_1"},
        m.LibraryFolder(folder_id="libfolder_1", name="Clips", workspace_id="ws_1"),
        {"name": "Clips"},
        body={"name": "Clips"},
    ),
    Operation(
        "workspaces.library.folders.delete",
        "DELETE",
        "/workspaces/ws_1/library/folders/libfolder_1",
        ("libfolder_1",),
        {"workspace_id": "ws_1"},
        {"folder_id": "libfolder_1", "deleted": True, "workspace_id": "ws_1"},
        m.LibraryFolder(folder_id="libfolder_1", workspace_id="ws_1", deleted=True),
    ),
    Operation(
        "workspaces.library.folders.add_item",
        "POST",
        "/workspaces/ws_1/library/folders/libfolder_1/items",
        ("libfolder_1",),
        {"workspace_id": "ws_1", "source": PHOTO},
        {
            "folder_id": "libfolder_1",
            "saved_node_id": "node_1",
            "workspace_id": "ws_1",
            "asset_id": "asset_1",
            "url": "https://media.flora.ai/a.png",
        },
        m.LibraryItem(
            folder_id="libfolder_1",
            saved_node_id="node_1",
            workspace_id="ws_1",
            asset_id="asset_1",
            url="https://media.flora.ai/a.png",
        ),
        {"type": "image", "text": "A text.", "description": "A photo."},
        body={"source": PHOTO, "type": "image", "text": "A text.", "description": "A photo."},
    ),
    Operation(
        "projects.create",
        "POST",
        "/projects",
        (),
        {"name": "Spring", "workspace_id": "ws_1"},
        PROJECT,
        A_PROJECT,
        body={"name": "Spring", "workspace_id": "ws_1"},
    ),
    Operation("projects.retrieve", "GET", "/projects/prj_1", ("prj_1",), {}, PROJECT, A_PROJECT),
    Operation(
        "projects.list",
        "GET",
        "/projects",
        (),
        {"workspace_id": "ws_1"},
        page("projects", PROJECT),
        [A_PROJECT],
        {"query": "spring", **PAGE},
        {"workspace_id": "ws_1", "query": "spring", "limit": "7", "cursor": "c/1"},
    ),
    Operation(
        "projects.list_nodes",
        "GET",
        "/projects/prj_1/nodes",
        ("prj_1",),
        {},
        page(
            "nodes",
            {
                "node_id": "node_1",
                "type": "image",
                "asset_id": "asset_1",
                "label": "Photo",
                "url": PHOTO,
                "width": 3.5,
                "height": 4,
            },
        ),
        [
            m.CanvasNode(
                node_id="node_1", type="image", asset_id="asset_1", label="Photo", url=PHOTO, width=3.5, height=4.0
            )
        ],
        PAGE,
        {"limit": "7", "cursor": "c/1"},
    ),
    Operation(
        "projects.assets.attach",
        "POST",
        "/projects/prj_1/assets/asset_1/attach",
        ("asset_1",),
        {"project_id": "prj_1"},
        {**ON_CANVAS, "asset_id": "asset_1", "node_id": "node_1"},
        m.AssetNode(node_id="node_1", asset_id="asset_1", project_id="prj_1", canvas_url=CANVAS_URL),
        body={},
    ),
    Operation(
        "projects.canvas.retrieve",
        "GET",
        "/projects/prj_1/canvas",
        ("prj_1",),
        {},
        {**ON_CANVAS, "diagram": "graph LR", "summary": SUMMARY},
        m.Canvas(project_id="prj_1", canvas_url=CANVAS_URL, diagram="graph LR", summary=A_SUMMARY),
    ),
    Operation(
        "projects.canvas.update",
        "PATCH",
        "/projects/prj_1/canvas",
        ("prj_1",),
        {"diagram": "graph LR"},
        {
            **ON_CANVAS,
            "diagram": "graph LR",
            "created_node_count": 2,
            "created_edge_count": 1,
            "warnings": ["A warning."],
        },
        m.CanvasUpdate(
            project_id="prj_1",
            canvas_url=CANVAS_URL,
            diagram="graph LR",
            created_node_count=2,
            created_edge_count=1,
            warnings=("A warning.",),
        ),
        {
            "node_params": {
                "img_1": m.NodeParameters(
                    prompt="p", model="flux-pro", model_parameters=ODD, aspect_ratio="16:9", resolution="1080p"
                ),
                "imgTwo": m.NodeParameters(content_url=PHOTO),
                "Img 3": {"new_field": ODD},
            }
        },
        body={
            "diagram": "graph LR",
            "node_params": {
                "img_1": {
                    "prompt": "p",
                    "model": "flux-pro",
                    "model_parameters": ODD,
                    "aspect_ratio": "16:9",
                    "resolution": "1080p",
                },
                "imgTwo": {"content_url": PHOTO},
                "Img 3": {"new_field": ODD},
            },
        },
    ),
    Operation(
        "projects.actions.create",
        "POST",
        "/projects/prj_1/actions",
        ("prj_1",),
        {"action_id": "rotate-image-browser"},
        {**ON_CANVAS, "action_id": "rotate-image-browser", "node_id": "node_1"},
        m.ActionNode(node_id="node_1", action_id="rotate-image-browser", project_id="prj_1", canvas_url=CANVAS_URL),
        {"params": ODD},
        body={"action_id": "rotate-image-browser", "params": ODD},
    ),
    Operation(
        "projects.actions.run",
        "POST",
        "/projects/prj_1/actions/node_1/run",
        ("node_1",),
        {"project_id": "prj_1"},
        TICKET,
        A_TICKET,
        body={},
    ),
    Operation("actions.list", "GET", "/actions", (), {}, {"actions": [ACTION]}, [AN_ACTION]),
    Operation(
        "actions.retrieve", "GET", "/actions/rotate-image-browser", ("rotate-image-browser",), {}, ACTION, AN_ACTION
    ),
    Operation(
        "actions.run",
        "POST",
        "/runs/action",
        (),
        {
            "action_id": "rotate-image-browser",
            "inputs": [
                m.ActionInput(type="image", name="image", url=PHOTO),
                m.ActionInput(type="text", text="A text."),
                {"type": "image", "newField": ODD},
            ],
            **IN_A_PROJECT,
        },
        TICKET,
        A_TICKET,
        {"params": ODD},
        body={
            "action_id": "rotate-image-browser",
            "inputs": [
                {"type": "image", "name": "image", "url": PHOTO},
                {"type": "text", "text": "A text."},
                {"type": "image", "newField": ODD},
            ],
            **IN_A_PROJECT,
            "params": ODD,
        },
    ),
    Operation(
        "models.list",
        "GET",
        "/models",
        (),
        {},
        {"models": [MODEL]},
        [A_MODEL],
        {"type": "image"},
        {"type": "image"},
    ),
    Operation(
        "generations.create",
        "POST",
        "/generate",
        (),
        GENERATION,
        TICKET,
        A_TICKET,
        OF_A_GENERATION,
        body={**GENERATION, **OF_A_GENERATION},
    ),
    Operation(
        "generations.retrieve",
        "GET",
        "/runs/run_1",
        ("run_1",),
        {},
        RUN,
        Run(**OF_A_RUN),
    ),
    Operation(
        "generations.list",
        "GET",
        "/generations",
        (),
        {},
        page("generations", {**RUN, **IN_HISTORY, "generation_id": "gen_1", "model": {"model_id": None}}),
        [m.Generation(**OF_A_RUN, **IN_HISTORY, generation_id="gen_1", model=m.ModelReference())],
        {**IN_HISTORY, "status": "completed", **PAGE},
        {**IN_HISTORY, "status": "completed", "limit": "7", "cursor": "c/1"},
    ),
    Operation(
        "runs.start_generation",
        "POST",
        "/runs/generation",
        (),
        GENERATION,
        TICKET,
        A_TICKET,
        OF_A_GENERATION,
        body={**GENERATION, **OF_A_GENERATION},
    ),
    Operation(
        "runs.start_technique",
        "POST",
        "/runs/technique",
        (),
        {"technique_id": "tech_1", "inputs": ODD, "workspace_id": "ws_1"},
        TICKET,
        A_TECHNIQUE_TICKET,
        body={"technique_id": "tech_1", "inputs": ODD, "workspace_id": "ws_1"},
    ),
    Operation(
        "feedback.record",
        "POST",
        "/feedback",
        (),
        {"kind": "bug", "summary": "It breaks", "detail": "All of it."},
        {"feedback_id": "fb_1", "received_at": NOON_MS},
        m.FeedbackReceipt(feedback_id="fb_1", received_at=NOON),
        {"attempted_tools": ["a", "b"], **IN_A_PROJECT, "run_id": "run_1"},
        body={
            "kind": "bug",
            "summary": "It breaks",
            "detail": "All of it.",
            "attempted_tools": ["a", "b"],
            **IN_A_PROJECT,
            "run_id": "run_1",
        },
    ),
]
