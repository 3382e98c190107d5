"""Webhooks: what FLORA calls a `callback_url` with when a run has ended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from flora_async.models.runs import RunStatus


@frozen(kw_only=True)
class WebhookRun:
    """The run that a webhook tells of (FLORA's page "Webhooks"). Its outputs are not here: fetch the run.

    Attributes:
        run_id: FLORA's id (`run_…`); `wait_for_run` takes it.
        run_type: `generation` or `technique`; an unknown kind stays as it is.
        workspace_id: The workspace that pays (`ws_…`).
        status: How the run ended; an unknown status stays a plain `str`.
        error_code: Why it failed, for programs, such as `model_timeout`.
        error_message: Why it failed, for people.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> from flora_async.webhooks import WebhookRun
        >>> WebhookRun(run_id="run_abc123", status=RunStatus.COMPLETED).error_code is None
        True
    """

    run_id: str
    run_type: str = ""
    workspace_id: str | None = None
    status: RunStatus | str
    error_code: str | None = None
    error_message: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class WebhookEvent:
    """One webhook, delivered at least once (FLORA's page "Webhooks").

    Attributes:
        id: The delivery's id (`whd_…`), the same each time it is delivered: act once on each.
        type: `run.completed` or `run.failed`; an unknown type stays as it is.
        api_version: The contract that the event was written by, such as `2026-06-11`.
        created_at: When FLORA made the event (aware, UTC), or None.
        data: The run.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> from flora_async.webhooks import WebhookEvent, WebhookRun
        >>> run = WebhookRun(run_id="run_abc123", status=RunStatus.FAILED, error_code="safety_blocked")
        >>> WebhookEvent(id="whd_1", type="run.failed", data=run).data.error_code
        'safety_blocked'
    """

    id: str
    type: str
    api_version: str = ""
    created_at: datetime | None = None
    data: WebhookRun
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
