"""Feedback sent to FLORA."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from flora_async.models._model import Model


@frozen(kw_only=True)
class FeedbackReceipt(Model):
    """The confirmation that FLORA received feedback (FLORA's `POST /feedback`).

    Attributes:
        feedback_id: FLORA's id of the feedback.
        received_at: When FLORA received it (aware, UTC), or None.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> FeedbackReceipt(feedback_id="fb_1").feedback_id
        'fb_1'
    """

    feedback_id: str
    received_at: datetime | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
