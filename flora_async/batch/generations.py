"""Rows that are generations by a model."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from attrs import frozen

from flora_async._checks import free_form, identifier, optional
from flora_async._repr import ShortRepr
from flora_async.batch.arguments import ArgumentsWork, params_of, planned, project_of
from flora_async.batch.rows import GenerationRequest, Kind, Planned, read_fields
from flora_async.models import RunTicket
from flora_async.resources import PendingStart
from flora_async.resources._arguments import check_generation, generation_body
from flora_async.resources._start import generation_history, generation_start
from flora_async.resources.models import Medium, check_medium

_USD_OF_A_CREDIT: Final = 0.001


@frozen(kw_only=True)
class GenerationDefaults(ShortRepr):
    """What a batch says for its rows that are generations; each argument as in `GenerationRequest`.

    Raises:
        ValueError: An argument is malformed.
        TypeError: An argument has the wrong type.
    """

    model: str | None = None
    type: Medium | None = None
    params: Mapping[str, Any] | None = None
    project_id: str | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("model", "project_id"):
            optional(identifier, name, getattr(self, name))
        optional(free_form, "params", self.params)
        if self.type is not None:
            check_medium("type", self.type)


@frozen(kw_only=True)
class GenerationWork(ArgumentsWork):
    """Runs rows as generations.

    Attributes:
        defaults: What the batch says for its rows.
    """

    defaults: GenerationDefaults

    kind: ClassVar[Kind] = "generation"
    request_type: ClassVar[type[Any]] = GenerationRequest

    @property
    def target(self) -> str:
        """The model."""
        return self.defaults.model or self.defaults.type or "generations"

    def request_of(self, row: Any) -> GenerationRequest:  # noqa: ANN401 - whatever the caller gave
        """Read a prompt, or a mapping with the fields of a request."""
        if isinstance(row, Mapping):
            return read_fields(row, GenerationRequest)
        return GenerationRequest(row)

    def is_by_default(self, request: GenerationRequest) -> bool:
        """Whether model, project and workspace are the batch's."""
        return request.model is None and request.project_id is None and request.workspace_id is None

    async def plan(self, request: GenerationRequest, key: str, index: int) -> Planned:
        """Read the arguments of a row, and the files among them."""
        defaults = self.defaults
        params = params_of(request, defaults.params, is_by_default=request.model is None)
        model = request.model if request.model is not None else defaults.model
        # The batch's type is that of its model.
        medium = request.type or (defaults.type if request.model is None else None)
        if medium is None and model is None:
            raise ValueError("type is needed where no model is named: 'image', 'video', 'audio' or 'text'")
        project_id = project_of(request, defaults.project_id)
        body = generation_body(
            type=medium,
            prompt=request.prompt,
            project_id=project_id,
            workspace_id=self.workspace_of(request),
            model=model,
            params=params,
            callback_url=request.callback_url,
        )
        return await planned(
            request,
            key,
            index,
            kind=self.kind,
            target=model or str(medium),
            body=body,
            history=generation_history(body),
        )

    async def price(self, row: Planned) -> float | None:  # noqa: ARG002 - a protocol's method
        """Not known: what the catalog says can be a third of what is charged."""
        return None

    async def estimate(self, row: Planned) -> float | None:
        """What the catalog says that the model costs; 0 there does not mean that it is free."""
        model = (await self.catalog.find_models()).get(row.arguments["model"] or "")
        credits_ = model.estimated_credits if model else None
        return credits_ * _USD_OF_A_CREDIT if credits_ else None

    async def check(self, row: Planned) -> Mapping[str, Any]:
        """The fields to send, with the type that the model makes and the workspace."""
        body = dict(row.arguments)
        if body["type"] is None:
            body["type"] = await self._type_of(body)
        if self.checks:
            await check_generation(body, self.catalog)
        return await self.in_workspace(body)

    def start(self, row: Planned, sent: Mapping[str, Any], idempotency_key: str) -> PendingStart[RunTicket]:  # noqa: ARG002 - a protocol's method
        """The start of a row's run."""
        return generation_start(sent, idempotency_key, "generations.create")

    async def _type_of(self, body: Mapping[str, Any]) -> str:
        """What the model makes, where the caller does not say."""
        name = body["model"]
        model = (await self.catalog.find_models()).get(name)
        if model is None:
            await check_generation({**body, "type": "image"}, self.catalog)  # names the nearest model, of any type
            raise ValueError(f"type is needed: FLORA does not say what {name!r:.60} makes")
        return check_medium(f"the type of the model {name!r:.60}", model.type)
