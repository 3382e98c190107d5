"""Webhooks: the events that FLORA sends to a `callback_url` when a run has ended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from flora_async.models._model import Model
from flora_async.models.runs import RunStatus


@frozen(kw_only=True)
class WebhookRun(Model):
    """The run of a webhook (FLORA's page "Webhooks"), without its outputs: fetch the run for those.

    Attributes:
        run_id: FLORA's id (`run_…`); `wait_for_run` takes it.
        run_type: `generation` or `technique`; other values are possible.
        workspace_id: The workspace that pays (`ws_…`).
        status: The final state of the run; an unknown status stays a plain `str`.
        error_code: FLORA's code for the failure, such as `model_timeout`.
        error_message: FLORA's explanation of the failure.
        extra: Unknown fields and unreadable values, under FLORA's names.

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
class WebhookEvent(Model):
    """One webhook, delivered at least once (FLORA's page "Webhooks").

    Attributes:
        id: The id of the event (`whd_…`), the same in every delivery: act on each id only once.
        type: `run.completed` or `run.failed`; other values are possible.
        api_version: The version of the payload, such as `2026-06-11`.
        created_at: When FLORA created the event (aware, UTC), or None.
        data: The run.
        extra: Unknown fields and unreadable values, under FLORA's names.

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
