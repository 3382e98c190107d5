"""What answers mean: which error, how long to wait, and whether money may have been spent."""

import copy
import json
import pickle
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from sweep import Sweep

from flora_async import errors
from flora_async._checks import check_api_key, check_idempotency_key
from flora_async._http.responses import (
    Response,
    is_transient,
    may_be_in_flight,
    may_have_acted,
    raise_for_status,
    retry_after,
)
from flora_async.errors import APIConnectionError, APIStatusError, APITimeoutError, DecodeError, FieldError, FloraError
from flora_async.models import Asset, Run, RunStatus

NOW = 1_780_000_000.0  # Thu, 28 May 2026 20:26:40 GMT
KINDS = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    402: errors.InsufficientCreditsError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    422: errors.UnprocessableEntityError,
    429: errors.RateLimitError,
    **dict.fromkeys((500, 501, 502, 503, 504, 520, 524, 599, 600, 999), errors.InternalServerError),
    **dict.fromkeys((300, 301, 302, 304, 307, 308, 405, 408, 410, 413, 418, 451, 499), APIStatusError),
}
# The examples on FLORA's page "Get a technique run".
ENVELOPES = [
    (401, "unauthorized", "Invalid API key."),
    (402, "insufficient_credits", "Insufficient credits."),
    (403, "forbidden", "Forbidden."),
    (404, "not_found", "Not found."),
    (409, "idempotency_duplicate", "Duplicate idempotency key."),
    (429, "rate_limited", "Rate limit exceeded."),
    (500, "unknown_error", "An unknown error occurred."),
]
HOSTILE_BODIES = [b"", b"<html>502</html>", b"null", b"[]", b"5", b'"error"', b"{}", b'{"error"', b"\xff", b"[" * 10**5]
HOSTILE_ERRORS: list[Any] = [None, [], ["x"], "x", 5, {}, {"code": 5, "message": ["x"]}, {"code": "", "message": ""}]
HOSTILE_FIELDS: list[Any] = [5, "x", {}, None, [5], [None, "x", [], {}], [{"field": 5}], [{"message": {"a": 1}}]]
WAITS = {
    30.0: ["30", " 30.0 ", "Thu, 28 May 2026 20:27:10 GMT", "Thu, 28 May 2026 22:27:10 +0200", "28 May 2026 20:27:10"],
    1.5: ["1.5"],
    0.0: ["0", "Thu, 28 May 2026 20:26:40 GMT", "Thu, 28 May 2026 20:26:39 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"],
    3600.0: ["3600", "3601", "1" * 400, "inf", "1e999", "Fri, 28 May 2027 20:26:40 GMT"],
    None: ["nan", "-1", "-inf", "", " ", "soon", "5 s", "0x5", "5,6", ",", "Thu,", "Thu, 99 May 2026 20:27:10 GMT"],
}
RUN = Run(run_id="run_1", status=RunStatus.FAILED, error_code="safety_blocked", extra={"a": [1]})
SINCE = datetime(2026, 5, 28, tzinfo=UTC)


KINDS_OF_ERROR = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, FloraError)]


def status_error(status: int, kind: type[APIStatusError] = APIStatusError) -> APIStatusError:
    return kind(
        "No.", status=status, code="c", fields=[FieldError("f", "m")], headers={"a": "b"}, body=b"{}", retry_after=1.5
    )


# An error, whether it passes, whether the server may have acted, and whether it may still be at work.
TRUTH: list[tuple[FloraError, bool, bool, bool]] = [
    (FloraError("No."), False, True, False),
    (APIConnectionError("No."), True, True, False),
    (APIConnectionError("No.", sent=False), True, False, False),
    (APITimeoutError(timeout=5.0), True, True, True),
    (APITimeoutError(timeout=None, sent=False), True, False, False),
    *[(status_error(status), False, False, False) for status in (302, 304, 405, 410, 451, 499)],
    (status_error(408), True, True, False),
    *[(status_error(s, KINDS[s]), False, False, False) for s in (400, 401, 402, 403, 404, 409, 422)],
    (status_error(409, errors.IdempotencyError), False, False, False),
    (status_error(429, errors.RateLimitError), True, False, False),
    *[(status_error(s, errors.InternalServerError), True, True, False) for s in (500, 501, 502, 503, 520)],
    # 524 is Cloudflare's 504: the gateway stopped listening, FLORA goes on.
    *[(status_error(s, errors.InternalServerError), True, True, True) for s in (504, 524)],
    (DecodeError("", "no JSON", transient=True, request_id="req_1"), True, True, False),
    (DecodeError("outputs[0].url", "is missing"), False, True, False),
    (errors.SessionClosedError("closed"), False, True, False),
    (errors.UntrustedURLError("https://evil.example", "elsewhere"), False, True, False),
    (errors.RunFailedError(RUN), False, True, False),
    (errors.WaitTimeoutError(RUN, 5.0), False, True, False),
    (errors.SubmissionUnknownError(idempotency_key="k", technique_id="t", since=SINCE), False, True, False),
    (errors.InputError("cctv-cam", [FieldError("input_image", "is missing")]), False, True, False),
    (errors.UploadError("It failed", Asset(asset_id="asset_1", status="failed")), False, True, False),
    (errors.DownloadError("https://media.example/a.png", "404"), False, True, False),
    (errors.WebhookVerificationError("Signed too long ago", "stale"), False, True, False),
    (errors.SkippedError(), False, True, False),
    (errors.BatchInterruptedError(LookupError(), []), False, True, False),
    (errors.BudgetExceededError(max_cost=5.0, spent=4.5, price=0.75), False, True, False),
    (errors.BatchInterruptedError(LookupError("no such file"), []), False, True, False),
    (errors.JournalError("q3.sqlite", "is damaged"), False, True, False),
    (errors.ClusterLostError("the client is closed"), False, True, False),
]
ERRORS = [row[0] for row in TRUTH]


def error_from(status: int, body: bytes = b"", **headers: str) -> APIStatusError:
    response = Response(status, CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}), body)
    with pytest.raises(APIStatusError) as caught:
        raise_for_status(response, NOW)
    return caught.value


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
def test_a_success_passes(status: int) -> None:
    raise_for_status(Response(status, {}, b"anything"), NOW)


def test_each_status_has_its_error_even_without_an_envelope() -> None:
    with Sweep() as sweep:
        for status, kind in KINDS.items():
            with sweep.row(status):
                error = error_from(status, b"<html>", request_id="req_1")
                assert (type(error), error.status, error.code, error.request_id) == (kind, status, None, "req_1")
                assert str(status) in str(error)
                assert str(error).endswith("[req_1]")


@pytest.mark.parametrize(("status", "code", "message"), ENVELOPES)
def test_an_envelope_is_read_whole(status: int, code: str, message: str) -> None:
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    error = error_from(status, body, Request_Id="req_1", Retry_After="7", X_Other="y")
    assert type(error) is (errors.IdempotencyError if status == 409 else KINDS[status])
    assert (error.code, error.message, error.fields) == (code, message, ())
    assert (error.body, error.retry_after, error.request_id) == (body, 7.0, "req_1")
    assert error.headers == {"request-id": "req_1", "retry-after": "7", "x-other": "y"}
    assert str(error) == f"{status} {code}: {message} [req_1]"


def test_the_fields_of_a_validation_error_are_read() -> None:
    fields = [{"field": "prompt", "message": "Required"}, {"field": "seed", "message": "Too big", "limit": 5}]
    error = error_from(400, json.dumps({"error": {"code": "input_validation_error", "fields": fields}}).encode())
    assert error.fields == (FieldError("prompt", "Required"), FieldError("seed", "Too big"))


def test_any_other_409_is_no_idempotency_error() -> None:
    assert type(error_from(409, b'{"error": {"code": "conflict"}}')) is errors.ConflictError
    assert type(error_from(422, b'{"error": {"code": "idempotency_duplicate"}}')) is errors.UnprocessableEntityError


def test_a_redirect_says_where_it_leads_and_that_nothing_went_there() -> None:
    error = error_from(308, b"", Location="https://evil.example/" + "x" * 300)
    assert "https://evil.example/" in str(error)
    assert "base_url" in str(error)


def test_a_hostile_body_leaves_the_status_its_error() -> None:
    with Sweep() as sweep:
        for body in (
            HOSTILE_BODIES
            + [json.dumps({"error": error}).encode() for error in HOSTILE_ERRORS]
            + [json.dumps({"error": {"fields": fields}}).encode() for fields in HOSTILE_FIELDS]
        ):
            with sweep.row(body):
                error = error_from(400, body)
                assert (type(error), error.code, error.body) == (errors.BadRequestError, None, body)
                assert error.message == "Bad Request, without FLORA's error envelope"
                assert all(isinstance(text, str) for field in error.fields for text in field)


KEYS = st.sampled_from(["error", "code", "message", "fields", "field"])
JSON = st.recursive(st.none() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner))


@settings(deadline=None)
@given(st.binary() | JSON.map(lambda value: json.dumps({"error": value}).encode()))
def test_any_body_leaves_the_status_its_error(body: bytes) -> None:
    error = error_from(503, body)
    assert type(error) is errors.InternalServerError
    assert str(error).splitlines() == [str(error)[:200]]


def test_retry_after_is_seconds_or_a_date_and_at_most_an_hour() -> None:
    with Sweep() as sweep:
        for seconds, values in WAITS.items():
            for value in values:
                for name in ("Retry-After", "retry-after", "RETRY-AFTER"):
                    with sweep.row(name, value):
                        assert retry_after(CIMultiDict({name: value}), NOW) == seconds
    assert retry_after({}, NOW) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"Retry-After-Ms": "250", "Retry-After": "7"}, 0.25),
        ({"retry-after-ms": "soon", "Retry-After": "7"}, 7.0),
        ({"retry-after-ms": "1e99"}, 3600.0),
        # Against the response's own clock, however wrong this machine's is.
        ({"Retry-After": "Wed, 01 Jan 2020 00:00:30 GMT", "Date": "Wed, 01 Jan 2020 00:00:00 GMT"}, 30.0),
        ({"Retry-After": "Thu, 28 May 2026 20:27:10 GMT", "Date": "not a date"}, 30.0),
    ],
)
def test_a_pause_in_milliseconds_comes_first_and_a_date_is_read_by_the_servers_clock(
    headers: dict[str, str], seconds: float
) -> None:
    assert retry_after(CIMultiDict(headers), NOW) == seconds


@pytest.mark.parametrize(
    ("status", "advice", "transient"),
    [(503, "false", False), (400, "true", True), (400, "TRUE ", True), (503, "maybe", True), (409, "true", False)],
)
def test_floras_advice_on_retrying_is_followed_but_for_a_used_key(status: int, advice: str, transient: bool) -> None:
    error = error_from(status, X_Should_Retry=advice)
    assert is_transient(error) is transient
    assert may_have_acted(error) is (status == 503)


@pytest.mark.parametrize(("status", "code", "message"), [row for row in ENVELOPES if row[0] != 500])
def test_an_error_envelope_inside_a_200_is_that_error(status: int, code: str, message: str) -> None:
    body = json.dumps({"error": {"code": code, "message": message}, "success": False}).encode()
    error = error_from(200, body, request_id="req_1")
    assert (type(error), error.status, error.code) == (type(error_from(status, body)), status, code)
    assert type(error_from(200, b'{"error": {"code": "new_code"}}')) is errors.InternalServerError


@pytest.mark.parametrize(
    "body",
    [
        {"run_id": "run_1", "status": "failed", "error": {"code": "provider_error", "message": "x"}},
        {"error": None},
        {"error": "text"},
        {"error": {}},
        {"technique_runs": [], "error": {"code": "x"}},
        {"models": ["error"]},
    ],
)
def test_an_answer_that_mentions_an_error_is_not_one(body: object) -> None:
    raise_for_status(Response(200, {}, json.dumps(body).encode()), NOW)


def test_an_empty_request_id_is_not_floras() -> None:
    assert Response(200, CIMultiDict({"request-id": ""}), b"").request_id is None


DATES = st.from_regex(r"\A\w{3}, \d{1,3} \w{3} \d{1,6} \d\d:\d\d(:\d\d)? [+-]?\w{0,9}\Z")


@settings(deadline=None)
@given(st.text() | DATES, st.floats(0, 1e11))
def test_any_retry_after_is_a_bearable_wait_or_none(value: str, now: float) -> None:
    seconds = retry_after({"Retry-After": value}, now)
    assert seconds is None or 0 <= seconds <= 3600


def test_each_error_says_whether_it_passes_and_whether_money_may_be_spent() -> None:
    with Sweep() as sweep:
        for error, *truth in TRUTH:
            with sweep.row(error):
                assert [is_transient(error), may_have_acted(error), may_be_in_flight(error)] == truth


def test_every_error_is_judged() -> None:
    assert {type(error) for error in ERRORS} == set(KINDS_OF_ERROR)


MALFORMED = ["Bearer sk_live_S3cret", "bearer S3cret", "S3cret\n", " S3cret", "S3cret x", "S3crét", "\x00S3cret"]


@pytest.mark.parametrize("key", MALFORMED)
def test_a_malformed_api_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="API key") as caught:
        check_api_key(key)
    assert not re.search("S3cr|cret", f"{caught.value!r} {caught.value.__context__!r}")


def test_a_missing_api_key_is_asked_for() -> None:
    check_api_key("sk_live_S3cret")
    with pytest.raises(ValueError, match="FLORA_API_KEY"):
        check_api_key("")


@pytest.mark.parametrize("key", ["k", "row:1/2?x=#", "6f1c0a52-5a3e-4f0c-8a44-0f6f2c9f1f5e", "~" * 255])
def test_an_idempotency_key_passes_unchanged(key: str) -> None:
    assert check_idempotency_key(key) == key


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "a\n", "\ta", "é", "\x00", "\x7f", "~" * 256, "\ud800", None, 5, b"k", True]
)
def test_an_idempotency_key_that_fits_no_header_is_refused(key: object) -> None:
    with pytest.raises((TypeError, ValueError), match="idempotency_key"):
        check_idempotency_key(key)


LONG = "first\nsecond\r\n\x85\u2028\x1c\t" * 50
LONG_RUN = Run(run_id=LONG, status=LONG, error_code=LONG, error_message=LONG)


@pytest.mark.parametrize(
    "error",
    [
        FloraError(LONG),
        APIConnectionError(LONG, request_id=LONG),
        APITimeoutError(timeout=1e300),
        errors.InternalServerError(LONG, status=500, code=LONG, request_id=LONG),
        DecodeError(LONG, LONG, request_id=LONG),
        DecodeError("", "short", request_id="req\u2028_1\n"),
        errors.UntrustedURLError(LONG, LONG),
        errors.RunFailedError(LONG_RUN),
        errors.WaitTimeoutError(LONG_RUN, 1e300),
        errors.SubmissionUnknownError(idempotency_key=LONG, technique_id=LONG, since=SINCE),
        errors.InputError(LONG, [FieldError(LONG, LONG)]),
        errors.DownloadError(LONG, LONG),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_one_line_of_at_most_200_characters(error: FloraError) -> None:
    assert str(error).splitlines() == [str(error)[:200]]


def test_an_error_crosses_process_borders_with_its_data() -> None:
    with Sweep() as sweep:
        for error in ERRORS:
            twins = {
                "copy": copy.copy(error),
                "deepcopy": copy.deepcopy(error),
                "pickle": pickle.loads(pickle.dumps(error)),  # noqa: S301 - our own
            }
            for way, twin in twins.items():
                with sweep.row(way, error):
                    assert (type(twin), str(twin), twin.args) == (type(error), str(error), error.args)
                    assert vars(twin) == vars(error)


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    path: list[str] = []
    drawn = []
    for branch, name, meaning in re.findall(r"^([│├└─ ]*)(\w+Error) +(.+)$", errors.__doc__ or "", re.MULTILINE):
        path[len(branch) // 4 :] = [name]
        drawn.append((name, path[-2] if len(path) > 1 else "Exception"))
        kind = getattr(errors, name)
        assert issubclass(kind, TimeoutError) is ("also a TimeoutError" in meaning)
        if status := re.match(r"\d{3} ", meaning + " "):
            assert issubclass(kind, type(error_from(int(status[0]))))
    assert sorted(drawn) == sorted((kind.__name__, kind.__bases__[0].__name__) for kind in KINDS_OF_ERROR)
