"""The catalog of the local FLORA: its techniques, models and actions."""

from collections.abc import Iterator
from typing import Any, TypeVar

from flora_async.testing._state.environment import Handlers
from flora_async.testing._state.models import KINDS, FakeAction, FakeModel
from flora_async.testing._state.techniques import FakeTechnique
from flora_async.testing._state.work import Work
from flora_async.testing._wire.answers import invalid_fields, not_found
from flora_async.testing._wire.requests import RecordedRequest
from flora_async.testing._wire.validation import one_of, paginate, query_problems

_TYPE = one_of(KINDS)

WorkT = TypeVar("WorkT", bound=Work)


class Catalog:
    """Everything that can be run.

    Attributes:
        models: The models by id, in the order of their addition.
        actions: The actions by slug, likewise.
    """

    def __init__(self) -> None:
        self.models: dict[str, FakeModel] = {}
        self.actions: dict[str, FakeAction] = {}
        self._techniques: dict[str, FakeTechnique] = {}

    @property
    def handlers(self) -> Handlers:
        """The operations that read the catalog."""
        return {
            "techniques.retrieve": lambda request: self.technique(request.route.path_params["technique_id"]).payload(),
            "techniques.list": self._list_techniques,
            "models.list": self._list_models,
            "actions.list": lambda _: {"actions": [action.payload() for action in self.actions.values()]},
            "actions.retrieve": lambda request: self.action(request.route.path_params["action_id"]).payload(),
        }

    def add_technique(self, technique: FakeTechnique) -> None:
        """Add a technique under its slug and its id, replacing any that had them."""
        self._techniques |= {technique.slug: technique, technique.technique_id: technique}

    def find(self, work_id: str) -> Work | None:
        """Return the technique, model or action with this id or slug."""
        return self._techniques.get(work_id) or self.models.get(work_id) or self.actions.get(work_id)

    def technique(self, name: str) -> FakeTechnique:
        """Return the technique with this slug or id.

        Raises:
            RefusedError: There is no such technique.
        """
        return _require(self._techniques.get(name))

    def action(self, action_id: str) -> FakeAction:
        """Return the action with this slug.

        Raises:
            RefusedError: There is no such action.
        """
        return _require(self.actions.get(action_id))

    def model(self, kind: str, model_id: str | None) -> FakeModel:
        """Return the model with this id, or the first of its kind.

        Raises:
            RefusedError: There is no such model.
        """
        for model in self.models.values():
            if model.type == kind and model_id in {None, model.model_id}:
                return model
        raise invalid_fields({"model": f"No {kind} model has this id"})

    def _list_techniques(self, request: RecordedRequest) -> dict[str, Any]:
        return paginate("techniques", request.query, self._matching(request), FakeTechnique.payload, {})

    def _matching(self, request: RecordedRequest) -> Iterator[tuple[int, FakeTechnique]]:
        query = request.query
        search = query.get("query", "").lower()
        for number, technique in enumerate({t.technique_id: t for t in self._techniques.values()}.values()):
            in_workspace = query.get("workspace_id", technique.workspace_id) == technique.workspace_id
            if in_workspace and search in technique.name.lower():
                yield -number, technique

    def _list_models(self, request: RecordedRequest) -> dict[str, Any]:
        if problems := query_problems(request.query, type=_TYPE):
            raise invalid_fields(problems)
        kind = request.query.get("type")
        return {"models": [model.payload() for model in self.models.values() if kind in {None, model.type}]}


def _require(work: WorkT | None) -> WorkT:
    if work is None:
        raise not_found()
    return work
