"""The operations that start runs."""

from collections.abc import Mapping
from ipaddress import ip_address
from itertools import product
from typing import Any, Final
from urllib.parse import urlsplit

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
    read_known_fields,
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
        if problems := _start_problems(body, technique) | self._callback_problems(body):
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
        runs = [
            self._runs.create(
                request,
                "technique",
                work=technique,
                inputs=inputs,
                workspace_id=body["workspace_id"],
                project_id=technique.project_id,
            )
            for inputs in _combinations(body["inputs"], technique)
        ]
        # FLORA's answer has room for one run; its cost is that of all.
        return runs[0].ticket(self._environment) | {"charged_cost": technique.price * len(runs)}

    def _start_generation(self, request: RecordedRequest) -> dict[str, Any]:
        body = read_known_fields(request, _GENERATION, model=TEXT, params=MAPPING, callback_url=HTTPS)
        if problems := self._callback_problems(body):
            raise invalid_fields(problems)
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

    def _callback_problems(self, body: Mapping[str, Any]) -> dict[str, str]:
        url = body.get("callback_url")
        if (
            not isinstance(url, str)
            or not _is_private(url)
            or url.startswith(tuple(self._environment.callback_addresses))
        ):
            return {}
        return {"callback_url": "Must not resolve to a private or internal host"}


def _is_private(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".internal", ".local", ".localhost"))


def _combinations(inputs: Mapping[str, Any], technique: FakeTechnique) -> list[dict[str, str]]:
    """Return the inputs of each run that a mapping of inputs starts.

    Raises:
        RefusedError: The inputs are invalid.
    """
    problems = dict.fromkeys(sorted(technique.inputs.keys() - inputs.keys()), "Required")
    for name, value in inputs.items():
        values = value if isinstance(value, list) and name in technique.allow_multiple else [value]
        if name not in technique.input_types:
            problems[name] = "Unknown input"
        elif not values or not all(isinstance(item, str) for item in values):
            problems[name] = "Expected a string, or a list of strings if the input allows several"
        elif "" in values and (problem := _blank_problem(name, technique)):
            problems[name] = problem
    if problems:
        raise invalid_fields(problems)
    lists = [value if isinstance(value, list) else [value] for value in inputs.values()]
    return [dict(zip(inputs, values, strict=True)) for values in product(*lists)]


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
    if isinstance(inputs, list) and (inputs or not technique.inputs):
        return problems | _input_problems(inputs, technique)
    return problems | {"inputs": "Expected a list of at least one input"}


def _input_problems(inputs: list[Any], technique: FakeTechnique) -> dict[str, str]:
    problems = {}
    missing = set(technique.inputs)
    types = technique.input_types
    given = set()
    for number, item in enumerate(inputs):
        match item:
            case {"id": str(id_), "type": str(type_), "value": str(value), **rest} if not rest:
                missing.discard(id_)
                if id_ not in types:
                    problems[id_] = "Unknown input"
                elif id_ in given:
                    problems[id_] = "Given twice"
                elif type_ != types[id_]:
                    problems[id_] = f"Expected {types[id_]}"
                elif not value and (problem := _blank_problem(id_, technique)):
                    problems[id_] = problem
                given.add(id_)
            case _:
                problems[f"inputs[{number}]"] = "Expected the strings id, type and value"
    return problems | dict.fromkeys(sorted(missing), "Required")


def _blank_problem(input_id: str, technique: FakeTechnique) -> str | None:
    if technique.optional_inputs.get(input_id) != "text":
        return None
    return "Expected a string that is not empty; leave an optional input out"
