"""What rows of generations and of actions have in common: FLORA takes all their arguments as one JSON object."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from flora_async._checks import free_form, optional
from flora_async.batch.rows import (
    ActionRequest,
    GenerationRequest,
    Kind,
    Planned,
    canonical,
    digest_of,
    fingerprints,
    given,
    named,
)
from flora_async.resources import Catalog, DefaultWorkspace, History, InputPreparer
from flora_async.resources._arguments import Body, read_body
from flora_async.resources._parameters import upload_files


@frozen(kw_only=True)
class ArgumentsWork:
    """The part of a `Work` that does not depend on what the arguments mean.

    Attributes:
        catalog: The models and actions that FLORA has.
        workspace: Chooses the workspace of a row that does not name one.
        preparer: Uploads files.
        checks: Whether arguments are checked against the catalog.
        workspace_id: The workspace of rows that do not name one; None = the session's.
    """

    catalog: Catalog
    workspace: DefaultWorkspace = field(repr=False)
    preparer: InputPreparer
    checks: bool
    workspace_id: str | None

    async def upload(self, checked: Mapping[str, Any]) -> dict[str, Any]:
        """Upload the files among the arguments."""
        return given(await upload_files(checked, self.preparer, checked["workspace_id"]))

    async def in_workspace(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields to send, with the workspace."""
        return {**body, "workspace_id": await self.workspace.choose(body["workspace_id"])}

    def workspace_of(self, request: GenerationRequest | ActionRequest) -> str | None:
        """The workspace that the row names, or else the batch."""
        return request.workspace_id if request.workspace_id is not None else self.workspace_id


def params_of(
    request: GenerationRequest | ActionRequest, defaults: Mapping[str, Any] | None, *, is_by_default: bool
) -> Mapping[str, Any] | None:
    """The parameters of a row, which the batch's are added to if it runs the batch's own model or action."""
    params: Mapping[str, Any] | None = optional(free_form, "params", request.params)
    return {**defaults, **(params or {})} if is_by_default and defaults is not None else params


def project_of(request: GenerationRequest | ActionRequest, default: str | None) -> str:
    """The project of a row.

    Raises:
        ValueError: Neither the row nor the batch names one.
    """
    project_id = request.project_id if request.project_id is not None else default
    if project_id is None:
        raise ValueError("project_id is needed: name it for the row or for the batch")
    return project_id


async def planned(  # noqa: PLR0913 - what is known of a row
    request: GenerationRequest | ActionRequest,
    key: str,
    index: int,
    *,
    kind: Kind,
    target: str,
    body: Body,
    history: History | None,
) -> Planned:
    """Read the files among the arguments of a row, and plan it.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file cannot be uploaded.
    """
    body = await read_body(body)
    return Planned(
        index=index,
        key=key,
        request=request,
        kind=kind,
        target=target,
        arguments=body,
        shown=named(given(body)),
        history=history,
        digest=digest_of(kind, canonical(await fingerprints(given(body)))),
    )
