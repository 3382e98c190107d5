"""Rows that run a technique."""

import json
from collections.abc import Sequence
from typing import Any, ClassVar, cast

from attrs import frozen

from flora_async._http.urls import check_https, segment
from flora_async._repr import ShortRepr
from flora_async.batch.rows import Kind, Planned, RunRequest, digest_of, fingerprint, history_of
from flora_async.batch.watchers import TechniqueLookup
from flora_async.models import Run, RunInput
from flora_async.resources import (
    InputPreparer,
    PendingStart,
    RawInput,
    StartOptions,
    read_inputs,
    technique_start,
)


@frozen
class TechniqueDefaults(ShortRepr):
    """What a batch says for its rows that run techniques.

    Attributes:
        technique_id: The technique of rows that do not name their own; None = each has to.

    Raises:
        ValueError: The technique is blank.
        TypeError: It is not text.
    """

    technique_id: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.technique_id is not None:
            segment("technique_id", self.technique_id)


@frozen(kw_only=True)
class TechniqueWork:
    """Runs rows through techniques.

    Attributes:
        defaults: What the batch says for its rows.
        techniques: Finds techniques.
        preparer: Checks inputs and uploads files.
        checks: Whether inputs are checked against the technique.
        workspace_id: Where files go; None = the session's workspace.
    """

    defaults: TechniqueDefaults
    techniques: TechniqueLookup
    preparer: InputPreparer
    checks: bool
    workspace_id: str | None

    kind: ClassVar[Kind] = "technique"
    request_type: ClassVar[type[Any]] = RunRequest

    @property
    def target(self) -> str:
        """The technique."""
        return self.defaults.technique_id or "techniques"

    def request_of(self, row: Any) -> RunRequest:  # noqa: ANN401 - whatever the caller gave
        """Read a row of inputs."""
        return RunRequest(row)

    def is_by_default(self, request: RunRequest) -> bool:
        """Whether the row runs the batch's technique."""
        return request.technique_id is None

    async def plan(self, request: RunRequest, key: str, index: int) -> Planned:
        """Read the inputs of a row, and the files among them."""
        technique_id = self.defaults.technique_id if request.technique_id is None else request.technique_id
        if technique_id is None:
            raise ValueError("technique_id is needed: this batch names no technique")
        return await plan_technique(request, key, index, technique_id)

    async def price(self, row: Planned) -> float | None:
        """The price of the technique."""
        technique = await self.techniques.find(row.target)
        return technique.run_cost if technique else None

    async def estimate(self, row: Planned) -> float | None:
        """The price of the technique."""
        price = await self.price(row)
        if (failure := self.techniques.failure_of(row.target)) is not None:
            raise failure.with_traceback(None)
        return price

    async def check(self, row: Planned) -> Sequence[RawInput]:
        """The inputs to send."""
        return await self.preparer.to_send(row.target, row.arguments, check=self.checks)

    async def upload(self, checked: Sequence[RawInput]) -> list[list[str]]:
        """Upload the files among the inputs."""
        return [[item.id, item.type, item.value] for item in await self.preparer.upload(checked, self.workspace_id)]

    def start(self, row: Planned, sent: list[list[str]], idempotency_key: str) -> PendingStart[Run]:
        """The start of a row's run."""
        callback_url = cast("RunRequest", row.request).callback_url
        options = StartOptions(row.target, callback_url=callback_url, idempotency_key=idempotency_key)
        return technique_start(options, [RunInput(*item) for item in sent])


async def plan_technique(request: RunRequest, key: str, index: int, technique_id: str) -> Planned:
    """Read a row of a technique, as `Work.plan` does."""
    raw_inputs = await read_inputs(request.inputs, str(technique_id))
    segment("technique_id", technique_id)
    if request.callback_url is not None:
        check_https("callback_url", request.callback_url)
    values = sorted([(item.id, item.likely_type, await fingerprint(item.value)) for item in raw_inputs])
    return Planned(
        index=index,
        key=key,
        request=request,
        kind="technique",
        target=technique_id,
        arguments=raw_inputs,
        shown=_shown(raw_inputs),
        history=history_of("technique", technique_id),
        digest=digest_of(technique_id, str(request.callback_url), json.dumps(values)),
    )


def _shown(raw_inputs: tuple[RawInput, ...]) -> dict[str, str]:
    """The inputs as text, with the names of files."""
    return {item.id: item.value if isinstance(item.value, str) else item.value.name for item in raw_inputs}
