"""The operations that start runs."""

from collections.abc import Mapping
from typing import Any, Final

from flora_async.testing._state.catalog import Catalog
from flora_async.testing._state.environment import Environment, Handlers
from flora_async.testing._state.models import KINDS, FakeAction
from flora_async.testing._state.projects import Projects
from flora_async.testing._state.runs import RunStore
from flora_async.testing._state.techniques import FakeTechnique
from flora_async.testing._wire.answers import invalid_fields
from flora_async.testing._wire.requests import RecordedRequest
from flora_async.testing._wire.validation import (
    HTTPS,
    MAPPING,
    PROJECT,
    TEXT,
    WORKSPACE,
    field_problems,
    json_object,
    list_of,
    one_of,
    public_id,
    read_body,
)

_LOCATION: Final = {"workspace_id": WORKSPACE, "project_id": PROJECT}
_GENERATION: Final = {"type": one_of(KINDS), "prompt": TEXT, **_LOCATION}
_TECHNIQUE: Final = {"technique_id": public_id("tech"), "workspace_id": WORKSPACE, "inputs": MAPPING}
_ACTION: Final = {"action_id": TEXT, "inputs": list_of(MAPPING), **_LOCATION}
_ACTION_INPUT: Final = {"type": one_of(KINDS)}
_ACTION_INPUT_OPTIONAL: Final = {"name": TEXT, "text": TEXT, "url": HTTPS}


class Starts:
    """Starts runs of techniques, models and actions.

    Args:
        environment: The clock and the addresses.
        catalog: The techniques, models and actions.
        projects: The projects that runs belong to.
        runs: Stores the runs.
    """

    def __init__(self, environment: Environment, catalog: Catalog, projects: Projects, runs: RunStore) -> None:
        self._environment = environment
        self._catalog = catalog
        self._projects = projects
        self._runs = runs

    @property
    def handlers(self) -> Handlers:
        """The operations that start a run outside a canvas."""
        return {
            "techniques.runs.create": self._start_nested,
            "runs.start_technique": self._start_technique,
            "generations.create": self._start_generation,
            "runs.start_generation": self._start_generation,
            "actions.run": self._start_action,
        }

    def _start_nested(self, request: RecordedRequest) -> dict[str, Any]:
        technique = self._catalog.technique(request.route.path_params["technique_id"])
        body = json_object(request)
        if problems := _start_problems(body, technique):
            raise invalid_fields(problems)
        run = self._runs.create(
            request,
            "technique",
            work=technique,
            inputs={item["id"]: item["value"] for item in body["inputs"]},
            mode=body["mode"],
            callback_url=body.get("callback_url"),
            workspace_id=technique.workspace_id,
            project_id=technique.project_id,
        )
        return run.created_payload(self._environment)

    def _start_technique(self, request: RecordedRequest) -> dict[str, Any]:
        body = read_body(request, _TECHNIQUE)
        self._projects.check_workspace(body["workspace_id"])
        technique = self._catalog.technique(body["technique_id"])
        types = technique.input_types
        typed = [{"id": name, "type": types.get(name, ""), "value": value} for name, value in body["inputs"].items()]
        if problems := _start_problems({"mode": "async", "inputs": typed}, technique):
            raise invalid_fields(problems)
        run = self._runs.create(
            request,
            "technique",
            work=technique,
            inputs=body["inputs"],
            workspace_id=body["workspace_id"],
            project_id=technique.project_id,
        )
        return run.ticket(self._environment)

    def _start_generation(self, request: RecordedRequest) -> dict[str, Any]:
        body = read_body(request, _GENERATION, model=TEXT, params=MAPPING, callback_url=HTTPS)
        project = self._projects.find(body["workspace_id"], body["project_id"])
        run = self._runs.create(
            request,
            "generation",
            work=self._catalog.model(body["type"], body.get("model")),
            inputs={"prompt": body["prompt"]},
            params=body.get("params", {}),
            callback_url=body.get("callback_url"),
            workspace_id=project.workspace_id,
            project_id=project.project_id,
        )
        return run.ticket(self._environment)

    def _start_action(self, request: RecordedRequest) -> dict[str, Any]:
        body = read_body(request, _ACTION, params=MAPPING)
        project = self._projects.find(body["workspace_id"], body["project_id"])
        action = self._catalog.action(body["action_id"])
        run = self._runs.create(
            request,
            "action",
            work=action,
            inputs=_action_inputs(body["inputs"], action),
            params=body.get("params", {}),
            workspace_id=project.workspace_id,
            project_id=project.project_id,
        )
        return run.ticket(self._environment)


def _action_inputs(inputs: list[dict[str, Any]], action: FakeAction) -> dict[str, str]:
    """Return the values by name, or by position if they have no name."""
    values: dict[str, str] = {}
    problems: dict[str, str] = {}
    for number, item in enumerate(inputs):
        path = f"inputs[{number}]"
        problems |= field_problems(item, _ACTION_INPUT, _ACTION_INPUT_OPTIONAL, f"{path}.")
        kind = item.get("type")
        field = "text" if kind == "text" else "url"
        if kind not in action.inputs.values():
            problems.setdefault(f"{path}.type", f"{action.name} takes {', '.join(set(action.inputs.values()))}")
        if field not in item:
            problems.setdefault(f"{path}.{field}", "Required")
        values[item.get("name", str(number))] = item.get(field, "")
    if problems:
        raise invalid_fields(problems)
    return values


def _start_problems(body: Mapping[str, Any], technique: FakeTechnique) -> dict[str, str]:
    """Return the problems in the body of a technique's start, by field."""
    problems = {}
    if body.get("mode") not in ("async", "stream"):
        problems["mode"] = "Expected async or stream"
    if not HTTPS.accepts(body.get("callback_url", "https://")):
        problems["callback_url"] = f"Expected {HTTPS.expected}"
    if not TEXT.accepts(body.get("idempotency_key", "none")):
        problems["idempotency_key"] = f"Expected {TEXT.expected}"
    inputs = body.get("inputs")
    if isinstance(inputs, list) and inputs:
        return problems | _input_problems(inputs, technique)
    return problems | {"inputs": "Expected a list of at least one input"}


def _input_problems(inputs: list[Any], technique: FakeTechnique) -> dict[str, str]:
    problems = {}
    missing = set(technique.inputs)
    types = technique.input_types
    given = set()
    for number, item in enumerate(inputs):
        match item:
            case {"id": str(id_), "type": str(type_), "value": str(), **rest} if not rest:
                missing.discard(id_)
                if id_ not in types:
                    problems[id_] = "Unknown input"
                elif id_ in given:
                    problems[id_] = "Given twice"
                elif type_ != types[id_]:
                    problems[id_] = f"Expected {types[id_]}"
                given.add(id_)
            case _:
                problems[f"inputs[{number}]"] = "Expected the strings id, type and value"
    return problems | dict.fromkeys(sorted(missing), "Required")
