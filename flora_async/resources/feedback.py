"""`flora.feedback`: tell FLORA what is missing or wrong."""

from collections.abc import Sequence
from typing import Literal, get_args

from flora_async import models
from flora_async._checks import identifier, items, non_blank, one_of, optional
from flora_async._http.client import Client
from flora_async.resources._operations import Operations, mutate

FeedbackKind = Literal["feature_request", "bug", "technique_request", "missing_capability"]


class Feedback(Operations):
    """Feedback to FLORA."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def record(  # noqa: PLR0913 - FLORA's own fields
        self,
        *,
        kind: FeedbackKind,
        summary: str,
        detail: str,
        attempted_tools: Sequence[str] | None = None,
        workspace_id: str | None = None,
        project_id: str | None = None,
        run_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> "models.FeedbackReceipt":
        """Send feedback (FLORA's `POST /feedback`).

        Args:
            kind: `feature_request`, `bug`, `technique_request` or `missing_capability`; the last is for what the API
                cannot do.
            summary: One line.
            detail: The whole story.
            attempted_tools: What was tried before.
            workspace_id: The workspace it is about (`ws_…`).
            project_id: The project it is about (`prj_…`).
            run_id: The run it is about (`run_…`).
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The receipt.

        Raises:
            SubmissionUnknownError: It may have arrived, but no answer says so.
            FloraError: FLORA refused, or was never reached.
            ValueError: `kind` is not one of these, or a text is blank; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> receipt = await flora.feedback.record(
            ...     kind="feature_request", summary="Cancel runs", detail="There is no way to stop a run."
            ... )
            >>> receipt.received_at is None
            False
        """
        tools = optional(items, "attempted_tools", attempted_tools)
        body = {
            "kind": one_of("kind", kind, get_args(FeedbackKind)),
            "summary": non_blank("summary", summary),
            "detail": non_blank("detail", detail),
            "attempted_tools": None if tools is None else [non_blank("attempted_tools", tool) for tool in tools],
            "workspace_id": optional(identifier, "workspace_id", workspace_id),
            "project_id": optional(identifier, "project_id", project_id),
            "run_id": optional(identifier, "run_id", run_id),
        }
        return await mutate(
            self._client, "feedback.record", models.FeedbackReceipt, body=body, idempotency_key=idempotency_key
        )
