"""Failures: why a run failed, and whether another run can help."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from attrs import frozen

from flora_async.models._model import Model


class FailureHint(StrEnum):
    """What FLORA advises after a failure. Every further run is charged as a new one."""

    AGAIN = "again"
    """Run it again at once: the failure was temporary."""
    LATER = "later"
    """Run it again later: the provider is under load."""
    CHANGE_INPUT = "change_input"
    """Change the input first: the same input fails again."""
    NEVER = "never"
    """Do not run it again: the account or the plan does not allow it, or it was cancelled."""


_CODES: Final[Mapping[FailureHint, str]] = {
    FailureHint.AGAIN: (
        "GENERATION_PROVIDER_TIMEOUT GPU_PROVIDER_ERROR GENERATION_GENERIC_ERROR SERVER_ERROR "
        "GENERATION_PREGENERATION_FAILED GENERATION_POSTGENERATION_FAILED GENERATION_MAP_AFTER_REQUEST_FAILED "
        "GENERATION_FAILED_TO_START GENERATION_FAILED_TO_UPLOAD GENERATION_FAILED_TO_UPDATE GENERATION_FAILED_TO_GET "
        "model_timeout internal_error provider_error"
    ),
    FailureHint.LATER: (
        "GENERATION_DOWNSTREAM_SERVICE_ERROR GENERATION_INVALID_PROVIDER_RESPONSE GENERATION_NO_RESULT "
        "GENERATION_MODAL_POLL_ERROR GENERATION_PROVIDER_FAILED_TO_GET_STATUS GENERATION_QUEUE_TOO_LARGE "
        "GENERATION_QUEUE_NOT_MOVING GENERATION_CIRCUIT_BREAKER_OPEN AUDIO_GENERATION_ERROR"
    ),
    FailureHint.CHANGE_INPUT: (
        "GENERATION_PROMPT_MODERATED LLM_REFUSAL GENERATION_INPUT_VALIDATION GENERATION_MAP_BEFORE_REQUEST_FAILED "
        "GENERATION_INVALID_PARAMS GENERATION_INVALID_URL GENERATION_ENDPOINT_NOT_FOUND "
        "GENERATION_PROVIDER_NOT_SUPPORTED safety_blocked input_unreachable"
    ),
    FailureHint.NEVER: "GENERATION_NOT_PAID GENERATION_CANCELLED",
}
_HINTS: Final = {code: hint for hint, codes in _CODES.items() for code in codes.split()}
_NEVER: Final = re.compile(r"BILLING_|ACCESS_|.*_ENTITLEMENT_REQUIRED\Z", re.DOTALL)
_MODERATED: Final = frozenset({"GENERATION_PROMPT_MODERATED", "LLM_REFUSAL", "safety_blocked"})
# Providers report a moderation refusal under codes that look temporary; only the message shows it.
_MODERATION: Final = re.compile(
    r"\b(?:safety|unsafe)\b|moderat(?:ed|ion|or)|\bcontent[ _]filter|\bpolic(?:y|ies)\b"
    r"|(?<!connection )(?<!connect )\brefus(?:al|als|e|es|ed|ing)\b",
    re.IGNORECASE,
)


@frozen
class Failure(Model):
    """Why a run ended without being completed.

    Attributes:
        code: FLORA's code, such as `model_timeout`; None when FLORA names none.
        message: FLORA's explanation; None when there is none.

    Example:
        >>> failure = Failure("GPU_PROVIDER_ERROR", "The request was blocked by the safety system.")
        >>> failure.is_moderation, failure.hint
        (True, <FailureHint.CHANGE_INPUT: 'change_input'>)
    """

    code: str | None = None
    message: str | None = None

    @property
    def hint(self) -> FailureHint | None:
        """Whether another run can help; None when the code is unknown, which is no reason to pay again."""
        if self.is_moderation:
            return FailureHint.CHANGE_INPUT
        if self.code is None:
            return None
        return _HINTS.get(self.code) or (FailureHint.NEVER if _NEVER.match(self.code) else None)

    @property
    def is_moderation(self) -> bool:
        """Whether the input was refused by moderation; the same input would be refused, and charged, again."""
        return self.code in _MODERATED or _MODERATION.search(self.message or "") is not None
