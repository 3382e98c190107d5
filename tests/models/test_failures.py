"""Failures: what FLORA advises for each code, and how a run that ended is judged."""

from datetime import UTC, datetime
from typing import Any

import pytest

from flora_async import Failure, FailureHint, Run, RunFailedError

HINTS: dict[FailureHint | None, list[Any]] = {
    FailureHint.AGAIN: [
        "GENERATION_PROVIDER_TIMEOUT",
        "GPU_PROVIDER_ERROR",
        "SERVER_ERROR",
        "GENERATION_FAILED_TO_GET",
    ],
    FailureHint.LATER: ["GENERATION_DOWNSTREAM_SERVICE_ERROR", "GENERATION_NO_RESULT", "AUDIO_GENERATION_ERROR"],
    FailureHint.CHANGE_INPUT: ["GENERATION_PROMPT_MODERATED", "LLM_REFUSAL", "GENERATION_INVALID_URL"],
    FailureHint.NEVER: ["BILLING_LIMIT", "GENERATION_NOT_PAID", "ACCESS_DENIED", "VIDEO_ENTITLEMENT_REQUIRED"],
    None: ["SOMETHING_NEW", "model_timeout ", "", None],
}
HINTS[FailureHint.AGAIN] += ["model_timeout", "internal_error", "provider_error"]
HINTS[FailureHint.CHANGE_INPUT] += ["safety_blocked", "input_unreachable"]
ENDED = datetime(2026, 5, 28, tzinfo=UTC)


@pytest.mark.parametrize(("code", "hint"), [(code, hint) for hint, codes in HINTS.items() for code in codes])
def test_each_code_has_the_hint_that_flora_gives_for_it(code: str | None, hint: FailureHint | None) -> None:
    assert Failure(code, "The provider did not answer in time.").hint is hint


@pytest.mark.parametrize("code", ["GPU_PROVIDER_ERROR", "GENERATION_NO_RESULT", "SOMETHING_NEW", None])
@pytest.mark.parametrize(
    "message",
    [
        "Blocked by the SAFETY system",
        "Your prompt was moderated",
        "The model refused this request",
        "It violates the usage policies",
        "Output flagged as unsafe",
    ],
)
def test_a_message_about_moderation_counts_more_than_the_code(code: str | None, message: str) -> None:
    failure = Failure(code, message)
    assert (failure.is_moderation, failure.hint) == (True, FailureHint.CHANGE_INPUT)


@pytest.mark.parametrize("message", ["Connection refused", "connect ECONNREFUSED 10.0.0.1", "Out of memory", None])
def test_other_messages_leave_the_hint_to_the_code(message: str | None) -> None:
    failure = Failure("GPU_PROVIDER_ERROR", message)
    assert (failure.is_moderation, failure.hint) == (False, FailureHint.AGAIN)


def test_the_error_of_a_failed_run_says_whether_another_run_helps() -> None:
    run = Run(run_id="run_1", status="failed", error_code="safety_blocked", error_message="Blocked.\x1b[2J\nrun_2: ok")
    with pytest.raises(
        RunFailedError, match=r"^Run run_1 failed with safety_blocked: Blocked.*Change the input"
    ) as caught:
        run.raise_if_failed()
    assert str(caught.value).isprintable()
    assert caught.value.run.failure == Failure("safety_blocked", run.error_message)


def test_an_unknown_status_with_an_end_is_an_end_without_success() -> None:
    run = Run(run_id="run_1", status="cancelled", completed_at=ENDED)
    assert (run.is_terminal, run.is_completed, run.is_failed) == (True, False, False)
    assert run.failure == Failure()
    with pytest.raises(RunFailedError, match="run_1 ended 'cancelled'"):
        run.raise_if_failed()


@pytest.mark.parametrize(
    ("status", "completed_at"),
    [
        ("pending", ENDED),
        ("running", ENDED),
        ("completed", ENDED),
        ("queued", None),
        ("queued", datetime.fromtimestamp(0, UTC)),  # FLORA's own example has a time of 0 where there is none
    ],
)
def test_a_run_that_has_not_failed_has_no_failure(status: str, completed_at: datetime | None) -> None:
    run = Run(run_id="run_1", status=status, completed_at=completed_at, error_code="model_timeout")
    assert run.failure is None
    assert run.raise_if_failed() is run
    assert run.is_terminal == (status == "completed")
