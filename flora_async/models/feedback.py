"""Feedback: what people tell FLORA."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen


@frozen(kw_only=True)
class FeedbackReceipt:
    """That feedback has arrived (FLORA's `POST /feedback`).

    Attributes:
        feedback_id: FLORA's id of it.
        received_at: When it arrived (aware, UTC); None when FLORA does not say.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> FeedbackReceipt(feedback_id="fb_1").feedback_id
        'fb_1'
    """

    feedback_id: str
    received_at: datetime | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
