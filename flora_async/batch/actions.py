"""Rows that run an action."""

from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import frozen

from flora_async._checks import free_form, identifier, optional
from flora_async._repr import ShortRepr
from flora_async.batch.arguments import ArgumentsWork, params_of, planned, project_of
from flora_async.batch.rows import ActionRequest, Kind, Planned, read_fields
from flora_async.errors import FloraError, NotFoundError
from flora_async.models import RunTicket
from flora_async.resources import PendingStart
from flora_async.resources._arguments import action_body, check_action
from flora_async.resources._start import action_start


@frozen(kw_only=True)
class ActionDefaults(ShortRepr):
    """What a batch says for its rows that run actions; each argument as in `ActionRequest`.

    Raises:
        ValueError: An argument is malformed.
        TypeError: An argument has the wrong type.
    """

    action_id: str | None = None
    params: Mapping[str, Any] | None = None
    project_id: str | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("action_id", "project_id"):
            optional(identifier, name, getattr(self, name))
        optional(free_form, "params", self.params)


@frozen(kw_only=True)
class ActionWork(ArgumentsWork):
    """Runs rows through actions.

    Attributes:
        defaults: What the batch says for its rows.
    """

    defaults: ActionDefaults

    kind: ClassVar[Kind] = "action"
    request_type: ClassVar[type[Any]] = ActionRequest

    @property
    def target(self) -> str:
        """The action."""
        return self.defaults.action_id or "actions"

    def request_of(self, row: Any) -> ActionRequest:  # noqa: ANN401 - whatever the caller gave
        """Read a sequence of inputs, or a mapping with the fields of a request."""
        return read_fields(row, ActionRequest) if isinstance(row, Mapping) else ActionRequest(row)

    def is_by_default(self, request: ActionRequest) -> bool:
        """Whether action, project and workspace are the batch's."""
        return request.action_id is None and request.project_id is None and request.workspace_id is None

    async def plan(self, request: ActionRequest, key: str, index: int) -> Planned:
        """Read the arguments of a row, and the files among them."""
        defaults = self.defaults
        params = params_of(request, defaults.params, is_by_default=request.action_id is None)
        action_id = request.action_id if request.action_id is not None else defaults.action_id
        if action_id is None:
            raise ValueError("action_id is needed: this batch names no action")
        project_id = project_of(request, defaults.project_id)
        body = action_body(
            action_id=action_id,
            inputs=request.inputs,
            project_id=project_id,
            workspace_id=self.workspace_of(request),
            params=params,
        )
        return await planned(request, key, index, kind=self.kind, target=action_id, body=body, history=None)

    async def price(self, row: Planned) -> float | None:
        """The price of the action."""
        try:
            return (await self.catalog.find_action(row.target)).charged_cost
        except NotFoundError:
            raise
        except FloraError:
            return None

    async def estimate(self, row: Planned) -> float | None:
        """The price of the action."""
        return await self.price(row)

    async def check(self, row: Planned) -> Mapping[str, Any]:
        """The fields to send, with the workspace."""
        if self.checks:
            await check_action(row.arguments, self.catalog)
        return await self.in_workspace(row.arguments)

    def start(self, row: Planned, sent: Mapping[str, Any], idempotency_key: str) -> PendingStart[RunTicket]:  # noqa: ARG002 - a protocol's method
        """The start of a row's run."""
        return action_start(sent, idempotency_key)
