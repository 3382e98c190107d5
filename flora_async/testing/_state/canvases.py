"""The operations on canvases: read them, change them and run their nodes."""

from typing import Any, Final

from flora_async.testing._state.asset import FakeAsset
from flora_async.testing._state.assets import Assets
from flora_async.testing._state.canvas import BLOCKS, Canvas, Edge, Node
from flora_async.testing._state.catalog import Catalog
from flora_async.testing._state.changesets import CHANGES, Changeset
from flora_async.testing._state.environment import Environment, Handlers
from flora_async.testing._state.mermaid import DiagramUpdate, render_diagram
from flora_async.testing._state.projects import Project, Projects
from flora_async.testing._state.runs import RunStore
from flora_async.testing._wire.answers import conflict, invalid_fields, not_found
from flora_async.testing._wire.requests import RecordedRequest
from flora_async.testing._wire.validation import (
    MAPPING,
    TEXT,
    FieldType,
    list_of,
    paginate,
    read_body,
    read_optional_body,
)

_MAX_NODES = 50
_LIST: Final = FieldType("a list", lambda value: isinstance(value, list))
_DEFINITION: Final = {"nodes": _LIST, "edges": _LIST, "node_inputs": MAPPING, "node_outputs": MAPPING}
_NODE_FIELDS: Final = {"id", "type", "data", "position"}
_EDGE_FIELDS: Final = {"id", "source", "source_handle", "target", "target_handle"}
_REASONS: Final = {
    "node_not_found": "There is no node with this id on the canvas.",
    "node_not_executable": "This node cannot be run.",
    "no_model_configured": "This node has no model.",
    "generation_already_running": "A generation of this node is still running.",
    "run_failed_to_start": "The model of this node does not exist.",
}


class Canvases:
    """The canvases of all projects.

    Args:
        environment: The clock and the addresses.
        catalog: The models and actions that nodes run.
        projects: The projects that have the canvases.
        runs: Stores the runs.
        assets: The assets that nodes show.
    """

    def __init__(
        self, environment: Environment, catalog: Catalog, projects: Projects, runs: RunStore, assets: Assets
    ) -> None:
        self._environment = environment
        self._catalog = catalog
        self._projects = projects
        self._runs = runs
        self._assets = assets
        assets.on_ready = self._add_to_project

    @property
    def handlers(self) -> Handlers:
        """The operations on canvases and their nodes."""
        return {
            "workspaces.projects.graph": self._graph,
            "workspaces.projects.run_nodes": self._run_nodes,
            "workspaces.projects.canvas.apply_changeset": self._apply_changeset,
            "workspaces.projects.canvas.retrieve_definition": self._retrieve_definition,
            "workspaces.projects.canvas.replace_definition": self._replace_definition,
            "projects.list_nodes": self._list_nodes,
            "projects.assets.attach": self._attach,
            "projects.canvas.retrieve": self._retrieve,
            "projects.canvas.update": self._update,
            "projects.actions.create": self._create_action,
            "projects.actions.run": self._run_action,
        }

    def _add_to_project(self, asset: FakeAsset) -> None:
        if asset.project_id is not None:
            asset.node_id = self._add_asset(self._projects.find(asset.workspace_id, asset.project_id), asset)

    def _add_asset(self, project: Project, asset: FakeAsset) -> str:
        block = BLOCKS.get(f"static_{asset.content_type.partition('/')[0]}", "documentNode")
        output = {"url": self._assets.url(asset), "asset_id": asset.asset_id}
        node = project.canvas.add(block, data={"label": asset.name or asset.asset_id}, output=output)
        project.canvas.modified = self._environment.clock.time()
        return node.node_id

    def _describe(self, project: Project, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of the answer
        return {
            "project_id": project.project_id,
            "canvas_url": self._environment.canvas_url(project.project_id),
            **more,
        }

    def _replace(self, project: Project, draft: Canvas) -> None:
        project.canvas = draft
        draft.modified = self._environment.clock.time()

    def _graph(self, request: RecordedRequest) -> dict[str, Any]:
        project = self._projects.from_path(request)
        return self._describe(project, **project.canvas.graph(self._environment.storage_origin))

    def _retrieve(self, request: RecordedRequest) -> dict[str, Any]:
        project = self._projects.from_path(request)
        return self._describe(project, diagram=render_diagram(project.canvas), summary=project.canvas.summary())

    def _update(self, request: RecordedRequest) -> dict[str, Any]:
        project = self._projects.from_path(request)
        body = read_body(request, {"diagram": TEXT}, node_params=MAPPING)
        draft = project.canvas.draft()
        result = DiagramUpdate(draft, self._catalog, body.get("node_params", {})).apply(body["diagram"])
        self._replace(project, draft)
        return self._describe(project, **result)

    def _apply_changeset(self, request: RecordedRequest) -> dict[str, Any]:
        project = self._projects.from_path(request)
        body = read_body(request, None, **CHANGES)
        draft = project.canvas.draft()
        result = Changeset(draft, self._catalog).apply(body)
        self._replace(project, draft)
        return self._describe(project, **result, revision=draft.graph(self._environment.storage_origin)["revision"])

    def _retrieve_definition(self, request: RecordedRequest) -> dict[str, Any]:
        return self._describe_definition(self._projects.from_path(request))

    def _replace_definition(self, request: RecordedRequest) -> dict[str, Any]:
        project = self._projects.from_path(request)
        definition = read_body(request, {"definition": MAPPING})["definition"]
        self._replace(project, _build_canvas(definition, project.canvas))
        return self._describe_definition(project)

    def _describe_definition(self, project: Project) -> dict[str, Any]:
        definition = project.canvas.definition(self._environment.storage_origin)
        return self._describe(project, definition=definition, summary=project.canvas.summary())

    def _list_nodes(self, request: RecordedRequest) -> dict[str, Any]:
        nodes = self._projects.from_path(request).canvas.nodes.values()
        rows = [(-number, node) for number, node in enumerate(node for node in nodes if node.kind)]
        return paginate(
            "nodes", request.query, rows, lambda node: node.list_entry(self._environment.storage_origin), {}
        )

    def _attach(self, request: RecordedRequest) -> dict[str, Any]:
        project = self._projects.from_path(request)
        asset = self._assets.from_path(request)
        read_optional_body(request)
        if asset.status != "ready":
            raise conflict(f"The asset is {asset.status}.")
        return self._describe(project, asset_id=asset.asset_id, node_id=self._add_asset(project, asset))

    def _create_action(self, request: RecordedRequest) -> dict[str, Any]:
        project = self._projects.from_path(request)
        body = read_body(request, {"action_id": TEXT}, params=MAPPING)
        action = self._catalog.action(body["action_id"])
        inputs = {name: body[name] for name in ("action_id", "params") if name in body}
        node = project.canvas.add(BLOCKS["action"], data={"label": action.name}, inputs=inputs)
        project.canvas.modified = self._environment.clock.time()
        return self._describe(project, action_id=action.action_id, node_id=node.node_id)

    def _run_action(self, request: RecordedRequest) -> dict[str, Any]:
        project = self._projects.from_path(request)
        read_optional_body(request)
        node = project.canvas.find(request.route.path_params["node_id"])
        if node is None:
            raise not_found()
        if node.type != "action":
            raise invalid_fields({"node_id": "This node is not an action"})
        node.run = self._runs.create(
            request,
            "action",
            work=self._catalog.action(node.inputs.get("action_id", "")),
            inputs={},
            params=node.inputs.get("params", {}),
            workspace_id=project.workspace_id,
            project_id=project.project_id,
        )
        return node.run.ticket(self._environment)

    def _run_nodes(self, request: RecordedRequest) -> dict[str, Any]:
        project = self._projects.from_path(request)
        ids = read_body(request, {"node_ids": list_of(TEXT, max_length=_MAX_NODES)})["node_ids"]
        return {"project_id": project.project_id, "runs": [self._run_node(request, project, id_) for id_ in ids]}

    def _run_node(self, request: RecordedRequest, project: Project, reference: str) -> dict[str, Any]:
        node = project.canvas.find(reference)
        entry: dict[str, Any] = {"node_id": reference, "status": "skipped"}
        reason = self._reason_to_skip(node)
        if node is None or reason:
            return entry | {"reason": reason, "message": _REASONS[reason]}
        model = self._catalog.models[node.inputs["model_id"]]
        node.run = run = self._runs.create(
            request,
            "generation",
            work=model,
            inputs={"prompt": str(node.inputs.get("prompt", ""))},
            params=node.inputs.get("params", {}),
            workspace_id=project.workspace_id,
            project_id=project.project_id,
        )
        ticket = run.ticket(self._environment)
        del ticket["project_id"]
        return entry | {"status": "started", **ticket}

    def _reason_to_skip(self, node: Node | None) -> str:
        if node is None:
            return "node_not_found"
        if not node.generates:
            return "node_not_executable"
        if node.run is not None and node.run.status in {"pending", "running"}:
            return "generation_already_running"
        if "model_id" not in node.inputs:
            return "no_model_configured"
        return "" if node.inputs["model_id"] in self._catalog.models else "run_failed_to_start"


def _build_canvas(definition: dict[str, Any], previous: Canvas) -> Canvas:
    """Build a canvas from a definition; nodes of the previous canvas keep their short ids.

    Raises:
        RefusedError: The definition is invalid.
    """
    problems = {f"definition.{name}": "Required" for name in _DEFINITION if name not in definition}
    for name, field in _DEFINITION.items():
        if name in definition and not field.accepts(definition[name]):
            problems[f"definition.{name}"] = f"Expected {field.expected}"
    if problems:
        raise invalid_fields(problems)
    canvas = previous.cleared()
    canvas.documents = definition.get("layer_editor_documents")
    for number, item in enumerate(definition["nodes"]):
        if not (isinstance(item, dict) and item.keys() >= _NODE_FIELDS - {"position"}):
            raise invalid_fields({f"definition.nodes[{number}]": "Expected at least id, type and data"})
        id_ = item["id"]
        canvas.add(
            item["type"],
            node_id=id_,
            data=item["data"],
            rest={name: value for name, value in item.items() if name not in _NODE_FIELDS},
            inputs=definition["node_inputs"].get(id_, {}),
            output=definition["node_outputs"].get(id_, {}),
            **({"position": item["position"]} if "position" in item else {}),
            **({"id": previous.nodes[id_].id} if id_ in previous.nodes else {}),
        )
    for number, item in enumerate(definition["edges"]):
        if not (isinstance(item, dict) and item.keys() >= _EDGE_FIELDS):
            raise invalid_fields({f"definition.edges[{number}]": f"Expected {', '.join(sorted(_EDGE_FIELDS))}"})
        if not {item["source"], item["target"]} <= canvas.nodes.keys():
            raise invalid_fields(
                {f"definition.edges[{number}]": "Expected source and target to be nodes of the definition"}
            )
        known = {name: item[name] for name in _EDGE_FIELDS}
        canvas.edges.append(Edge(**known, rest={k: v for k, v in item.items() if k not in _EDGE_FIELDS}))
    return canvas
