"""The operations that start runs, and so cost money."""

from typing import Any, Final

from flora_async.testing._answers import wrong_fields
from flora_async.testing._book import RunBook
from flora_async.testing._catalog import Catalog
from flora_async.testing._models import KINDS, FakeAction
from flora_async.testing._place import Handlers
from flora_async.testing._projects import Projects
from flora_async.testing._requests import RecordedRequest
from flora_async.testing._validation import (
    HTTPS,
    MAPPING,
    PROJECT,
    TEXT,
    WORKSPACE,
    body_of,
    field_problems,
    list_of,
    one_of,
    public_id,
    read_body,
    start_problems,
)

_PLACED: Final = {"workspace_id": WORKSPACE, "project_id": PROJECT}
_GENERATION: Final = {"type": one_of(KINDS), "prompt": TEXT, **_PLACED}
_TECHNIQUE: Final = {"technique_id": public_id("tech"), "workspace_id": WORKSPACE, "inputs": MAPPING}
_ACTION: Final = {"action_id": TEXT, "inputs": list_of(MAPPING), **_PLACED}
_INPUT: Final = {"type": one_of(KINDS)}
_INPUT_VALUES: Final = {"name": TEXT, "text": TEXT, "url": HTTPS}


class Starts:
    """Starts runs of techniques, models and actions.

    Args:
        catalog: What can be run.
        projects: Where it can be run.
        book: Where runs are written down.
    """

    def __init__(self, catalog: Catalog, projects: Projects, book: RunBook) -> None:
        self._catalog = catalog
        self._projects = projects
        self._book = book

    @property
    def handlers(self) -> Handlers:
        """The operations that start something without a canvas."""
        return {
            "techniques.runs.create": self._start_of_technique,
            "runs.start_technique": self._start_technique,
            "generations.create": self._start_generation,
            "runs.start_generation": self._start_generation,
            "actions.run": self._start_action,
        }

    def _start_of_technique(self, request: RecordedRequest) -> dict[str, Any]:
        technique = self._catalog.technique(request.route.names["technique_id"])
        body = body_of(request)
        if problems := start_problems(body, technique):
            raise wrong_fields(problems)
        run = self._book.open(
            request,
            "technique",
            work=technique,
            inputs={item["id"]: item["value"] for item in body["inputs"]},
            mode=body["mode"],
            callback_url=body.get("callback_url"),
            workspace_id=technique.workspace_id,
            project_id=technique.project_id,
        )
        return self._book.payload(run)

    def _start_technique(self, request: RecordedRequest) -> dict[str, Any]:
        body = read_body(request, _TECHNIQUE)
        self._projects.check_workspace(body["workspace_id"])
        technique = self._catalog.technique(body["technique_id"])
        types = {**technique.inputs, **technique.optional_inputs}
        typed = [{"id": name, "type": types.get(name, ""), "value": value} for name, value in body["inputs"].items()]
        if problems := start_problems({"mode": "async", "inputs": typed}, technique):
            raise wrong_fields(problems)
        run = self._book.open(
            request,
            "technique",
            work=technique,
            inputs=body["inputs"],
            workspace_id=body["workspace_id"],
            project_id=technique.project_id,
        )
        return run.ticket(self._book.poll_url(run))

    def _start_generation(self, request: RecordedRequest) -> dict[str, Any]:
        body = read_body(request, _GENERATION, model=TEXT, params=MAPPING, callback_url=HTTPS)
        project = self._projects.in_workspace(body["workspace_id"], body["project_id"])
        run = self._book.open(
            request,
            "generation",
            work=self._catalog.model(body["type"], body.get("model")),
            inputs={"prompt": body["prompt"]},
            params=body.get("params", {}),
            callback_url=body.get("callback_url"),
            workspace_id=project.workspace_id,
            project_id=project.project_id,
        )
        return run.ticket(self._book.poll_url(run))

    def _start_action(self, request: RecordedRequest) -> dict[str, Any]:
        body = read_body(request, _ACTION, params=MAPPING)
        project = self._projects.in_workspace(body["workspace_id"], body["project_id"])
        action = self._catalog.action(body["action_id"])
        run = self._book.open(
            request,
            "action",
            work=action,
            inputs=_action_inputs(body["inputs"], action),
            params=body.get("params", {}),
            workspace_id=project.workspace_id,
            project_id=project.project_id,
        )
        return run.ticket(self._book.poll_url(run))


def _action_inputs(inputs: list[dict[str, Any]], action: FakeAction) -> dict[str, str]:
    """The values by name, or by place where they have none."""
    values: dict[str, str] = {}
    problems: dict[str, str] = {}
    for number, item in enumerate(inputs):
        path = f"inputs[{number}]"
        problems |= field_problems(item, _INPUT, _INPUT_VALUES, f"{path}.")
        kind = item.get("type")
        field = "text" if kind == "text" else "url"
        if kind not in action.inputs.values():
            problems.setdefault(f"{path}.type", f"{action.name} takes {', '.join(set(action.inputs.values()))}")
        if field not in item:
            problems.setdefault(f"{path}.{field}", "Required")
        values[item.get("name", str(number))] = item.get(field, "")
    if problems:
        raise wrong_fields(problems)
    return values
