"""What the local FLORA can run: techniques, models and actions."""

from collections.abc import Iterator
from typing import Any, TypeVar

from flora_async.testing._state.environment import Handlers
from flora_async.testing._state.models import KINDS, FakeAction, FakeModel
from flora_async.testing._state.techniques import FakeTechnique
from flora_async.testing._state.work import Work
from flora_async.testing._wire.answers import not_found, wrong_fields
from flora_async.testing._wire.requests import RecordedRequest
from flora_async.testing._wire.validation import one_of, page_of, query_problems

_TYPE = one_of(KINDS)

WorkT = TypeVar("WorkT", bound=Work)


class Catalog:
    """The techniques, models and actions there are.

    Attributes:
        models: The models by id, in the order in which they were added.
        actions: The actions by slug, likewise.
    """

    def __init__(self) -> None:
        self.models: dict[str, FakeModel] = {}
        self.actions: dict[str, FakeAction] = {}
        self._techniques: dict[str, FakeTechnique] = {}

    @property
    def handlers(self) -> Handlers:
        """The operations that look things up."""
        return {
            "techniques.retrieve": lambda request: self.technique(request.route.names["technique_id"]).payload(),
            "techniques.list": self._list_techniques,
            "models.list": self._list_models,
            "actions.list": lambda _: {"actions": [action.payload() for action in self.actions.values()]},
            "actions.retrieve": lambda request: self.action(request.route.names["action_id"]).payload(),
        }

    def add_technique(self, technique: FakeTechnique) -> None:
        """Make a technique known under its slug and its id, in place of one that had them."""
        self._techniques |= {technique.slug: technique, technique.technique_id: technique}

    def technique(self, name: str) -> FakeTechnique:
        """The technique with this slug or id.

        Raises:
            RefusedError: There is none.
        """
        return _found(self._techniques.get(name))

    def action(self, action_id: str) -> FakeAction:
        """The action with this slug.

        Raises:
            RefusedError: There is none.
        """
        return _found(self.actions.get(action_id))

    def model(self, kind: str, model_id: str | None) -> FakeModel:
        """The model with this id, or the first of its kind.

        Raises:
            RefusedError: There is none.
        """
        for model in self.models.values():
            if model.type == kind and model_id in {None, model.model_id}:
                return model
        raise wrong_fields({"model": f"No {kind} model has this id"})

    def _list_techniques(self, request: RecordedRequest) -> dict[str, Any]:
        return page_of("techniques", request.query, self._matching(request), FakeTechnique.payload, {})

    def _matching(self, request: RecordedRequest) -> Iterator[tuple[int, FakeTechnique]]:
        query = request.query
        words = query.get("query", "").lower()
        for number, technique in enumerate({t.technique_id: t for t in self._techniques.values()}.values()):
            is_in = query.get("workspace_id", technique.workspace_id) == technique.workspace_id
            if is_in and words in technique.name.lower():
                yield -number, technique

    def _list_models(self, request: RecordedRequest) -> dict[str, Any]:
        if problems := query_problems(request.query, type=_TYPE):
            raise wrong_fields(problems)
        kind = request.query.get("type")
        return {"models": [model.payload() for model in self.models.values() if kind in {None, model.type}]}


def _found(thing: WorkT | None) -> WorkT:
    if thing is None:
        raise not_found()
    return thing
