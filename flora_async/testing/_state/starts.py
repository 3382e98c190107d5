"""The operations that start runs, and so cost money."""

from collections.abc import Mapping
from typing import Any, Final

from flora_async.testing._state.catalog import Catalog
from flora_async.testing._state.environment import Handlers
from flora_async.testing._state.models import KINDS, FakeAction
from flora_async.testing._state.projects import Projects
from flora_async.testing._state.run_store import RunStore
from flora_async.testing._state.techniques import FakeTechnique
from flora_async.testing._wire.answers import wrong_fields
from flora_async.testing._wire.requests import RecordedRequest
from flora_async.testing._wire.validation import (
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

    def __init__(self, catalog: Catalog, projects: Projects, book: RunStore) -> None:
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
        if problems := _start_problems(body, technique):
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
        if problems := _start_problems({"mode": "async", "inputs": typed}, technique):
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


def _start_problems(payload: Mapping[str, Any], technique: FakeTechnique) -> dict[str, str]:
    """What is wrong with the body of a technique's start, by field; empty when nothing is."""
    problems = {}
    if payload.get("mode") not in ("async", "stream"):
        problems["mode"] = "Expected async or stream"
    if not HTTPS.fits(payload.get("callback_url", "https://")):
        problems["callback_url"] = f"Expected {HTTPS.expected}"
    if not TEXT.fits(payload.get("idempotency_key", "none")):
        problems["idempotency_key"] = f"Expected {TEXT.expected}"
    inputs = payload.get("inputs")
    if isinstance(inputs, list) and inputs:
        return problems | _input_problems(inputs, technique)
    return problems | {"inputs": "Expected a list of at least one input"}


def _input_problems(inputs: list[Any], technique: FakeTechnique) -> dict[str, str]:
    problems = {}
    missing = set(technique.inputs)
    types = {**technique.inputs, **technique.optional_inputs}
    given = set()
    for number, item in enumerate(inputs):
        match item:
            case {"id": str(id_), "type": str(type_), "value": str(), **more} if not more:
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
