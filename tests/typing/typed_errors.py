"""What a type checker says of a user's program that catches errors, receives webhooks and tests itself."""

from collections.abc import Mapping
from datetime import datetime
from typing import assert_type

from flora_async import (
    APIStatusError,
    APITimeoutError,
    BudgetExceededError,
    DecodeError,
    FieldError,
    FloraError,
    FloraSession,
    InputError,
    JournalError,
    Run,
    RunFailedError,
    SubmissionUnknownError,
    UploadError,
    WaitTimeoutError,
)
from flora_async.models import Asset, WebhookEvent
from flora_async.testing import FakeFlora, FakeRun, Status
from flora_async.webhooks import WebhookReceiver, unwrap


async def wait_again(flora: FloraSession) -> Run:
    try:
        return await flora.run("caption", {"prompt": "a red bicycle"})
    except SubmissionUnknownError as error:
        assert_type(error.idempotency_key, str)
        assert_type(error.since, datetime)
        assert_type(error.technique_id, str | None)
        raise
    except WaitTimeoutError as error:
        assert_type(error.run, Run)  # known, where FloraError.run may be None
        assert_type(error.elapsed, float)
        return await flora.wait_for_run(error.run)
    except RunFailedError as error:
        assert_type(error.run, Run)
        assert_type(error.run.error_code, str | None)
        raise
    except APIStatusError as error:
        assert_type(error.status, int)
        assert_type(error.fields, tuple[FieldError, ...])
        assert_type(error.headers, Mapping[str, str])
        assert_type(error.retry_after, float | None)
        raise
    except FloraError as error:
        assert_type(error.run, Run | None)
        assert_type(error.request_id, str | None)
        raise


def read_errors(
    timeout: APITimeoutError, budget: BudgetExceededError, decode: DecodeError, journal: JournalError
) -> TimeoutError:
    assert_type(timeout.sent, bool)
    assert_type(budget.max_cost, float)
    assert_type(decode.path, str)
    assert_type(journal.journal, str)
    return timeout  # an APITimeoutError is a TimeoutError


def read_more_errors(upload: UploadError, inputs: InputError) -> ValueError:
    assert_type(upload.asset, Asset | None)
    assert_type(inputs.fields[0].message, str)
    return inputs  # an InputError is a ValueError


async def receive(flora: FloraSession, body: bytes, headers: Mapping[str, str]) -> None:
    assert_type(unwrap(body, headers, "whsec_1"), WebhookEvent)
    receiver = WebhookReceiver("whsec_1")
    assert_type(await flora.run("caption", {"prompt": "x"}, wake=receiver), Run)


async def test_it(fake_flora: FakeFlora, flora_session: FloraSession) -> None:
    fake_flora.inject(Status(503), on="start", times=2)
    await wait_again(flora_session)
    assert_type(list(fake_flora.runs), list[FakeRun])
