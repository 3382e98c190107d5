"""What FLORA signed is read, and everything else is refused with a reason."""

import hashlib
import hmac
import json
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.message import Message
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from sweep import Sweep

from flora_async import FloraError, RunStatus, to_dict
from flora_async.webhooks import WebhookEvent, WebhookRun, WebhookVerificationError, sign, unwrap, verify

SECRET = "whsec_do-not-show-me"
NOW = 1_780_000_000
# Every field on FLORA's page "Webhooks".
EVENT: dict[str, Any] = json.loads("""{
  "id": "whd_1", "type": "run.failed", "api_version": "2026-06-11", "created_at": 1780000000500,
  "data": {"run_id": "run_abc", "run_type": "technique", "workspace_id": "ws_1", "status": "failed",
           "error_code": "model_timeout", "error_message": "The model took too long."}
}""")
BODY = json.dumps(EVENT).encode()
VALUE = sign(BODY, SECRET, timestamp=NOW)
DIGEST = VALUE.rpartition("=")[2]
MINIMAL: dict[str, Any] = {"id": "whd_1", "type": "run.completed", "data": {"run_id": "run_1", "status": "completed"}}

untimed = settings(deadline=None)
secrets = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)
bodies = st.one_of(st.binary(), st.text(), st.just(BODY))
seconds = st.integers(0, 10**15 - 1)


def refusal(body: Any, headers: Any, secret: str = SECRET, *, now: float = NOW, **options: Any) -> str:
    """The reason for which a webhook is refused."""
    with pytest.raises(WebhookVerificationError) as caught:
        unwrap(body, headers, secret, now=now, **options)
    assert len(str(caught.value)) <= 200
    return caught.value.reason


def reference(body: bytes, secret: str, timestamp: str) -> str:
    """The signature, as FLORA's page describes it."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def test_a_signature_is_the_one_that_floras_own_sdk_accepts() -> None:
    body = '{"id":"whd_1","note":"é","data":{}}'
    digest = "c0c69637ff84b709475d312219548252fa2848a2245895989b4ccdebea0aac3e"  # accepted by @flora-ai/flora 0.11.0
    assert sign(body, "whsec_dGVzdA", timestamp=NOW) == f"t={NOW},v1={digest}"


@untimed
@given(body=bodies, secret=secrets, timestamp=seconds)
def test_whatever_is_signed_is_verified(body: str | bytes, secret: str, timestamp: int) -> None:
    value = sign(body, secret, timestamp=timestamp)
    sent = body.encode() if isinstance(body, str) else body
    assert value == f"t={timestamp},v1={reference(sent, secret, str(timestamp))}"
    for same in (body, sent, bytearray(sent), memoryview(sent)):
        verify(same, value, secret, now=timestamp)


@untimed
@given(run_id=st.text(min_size=1), note=st.text(), secret=secrets)
def test_whatever_event_is_signed_is_read(run_id: str, note: str, secret: str) -> None:
    body = json.dumps({**MINIMAL, "note": note, "data": {"run_id": run_id, "status": "completed"}})
    headers = {"Flora-Signature": sign(body, secret)}
    event = unwrap(body, headers, secret)
    for same in (body.encode(), bytearray(body.encode()), memoryview(body.encode())):
        assert unwrap(same, headers, secret) == event
    assert (event.data.run_id, event.extra) == (run_id, {"note": note})


@untimed
@given(body=st.binary(min_size=1), place=st.integers(0), change=st.integers(1, 255))
def test_no_byte_of_the_body_may_change(body: bytes, place: int, change: int) -> None:
    tampered = bytearray(body)
    tampered[place % len(body)] ^= change
    assert refusal(tampered, sign(body, SECRET, timestamp=NOW)) == "mismatch"


@untimed
@given(place=st.integers(0, len(VALUE) - 1), change=st.integers(1, 127))
def test_no_character_of_the_header_may_change(place: int, change: int) -> None:
    tampered = VALUE[:place] + chr(ord(VALUE[place]) ^ change) + VALUE[place + 1 :]
    assert refusal(BODY, tampered, tolerance=None) in {"mismatch", "malformed", "no_timestamp", "no_signature"}


@untimed
@given(secret=secrets)
def test_another_secret_does_not_match(secret: str) -> None:
    assume(secret != SECRET)
    assert refusal(BODY, VALUE, secret) == "mismatch"


@untimed
@given(st.one_of(st.text(), st.binary(), st.text("tv10=,9af ").map("t=1,v1=".__add__)))
def test_no_header_without_the_secret_is_ever_accepted(value: str | bytes) -> None:
    assert refusal(BODY, value, tolerance=None) in {
        *("no_header", "no_timestamp", "no_signature", "malformed", "mismatch"),
    }


def message() -> Message:
    headers = Message()
    headers["FLORA-Signature"] = VALUE
    return headers


SHAPES: list[Any] = [
    VALUE,
    VALUE.encode(),
    f"  {VALUE.replace(',', ' , ')} ",
    {"Flora-Signature": VALUE, "Flora-Event": "run.failed"},
    {"flora-signature": VALUE},
    {"FLORA-SIGNATURE": VALUE},
    {b"flora-signature": VALUE.encode()},
    {"REQUEST_METHOD": "POST", "wsgi.input": object(), "wsgi.version": (1, 0), "HTTP_FLORA_SIGNATURE": VALUE},
    {"Flora-Signature": [VALUE], "Host": None},
    {"Flora-Signature": (VALUE.encode(),)},
    [(b"host", b"x"), (b"flora-signature", VALUE.encode())],
    (("Flora-Signature", VALUE),),
    iter([["Flora-Signature", VALUE]]),
    MappingProxyType({"Flora-Signature": VALUE}),
    CIMultiDict({"flora-Signature": VALUE}),
    CIMultiDictProxy(CIMultiDict({"Flora-Signature": VALUE})),
    message(),
]


def test_the_header_is_found_in_the_headers_of_any_framework() -> None:
    with Sweep() as sweep:
        for headers in SHAPES:
            with sweep.row(headers):
                assert unwrap(BODY, headers, SECRET, now=NOW).id == "whd_1"


REFUSALS: dict[str, list[Any]] = {
    "no_header": [
        *({}, [], "", b" ", {"Flora-Event": "x"}, {"Flora-Signature": ""}, {"Flora-Signature": []}),
        *({"Flora-Signature": None}, {"Flora-Signature": 5}, {7: VALUE}, {"X-Flora-Signature": VALUE}),
    ],
    "no_timestamp": [f"v1={DIGEST}", "x", "=", ",", f"T={NOW},v1={DIGEST}", "\ud800", "\x00", f"v0=1,v1={DIGEST}"],
    "no_signature": [f"t={NOW}", f"t={NOW},v1=", f"t={NOW},v0={DIGEST}", f"t={NOW},V1={DIGEST}", f"t={NOW},{DIGEST}"],
    "malformed": [
        *(f"t={t},v1={DIGEST}" for t in ("", "-1", "+1", "1.5", "1e9", "0x1", "nan", "1_0", "9" * 400, "\uff11", "१")),
        *(f"t={NOW},t={NOW},v1={DIGEST}", f"t={NOW},t=1,v1={DIGEST}", f"{VALUE},{VALUE}", f"{VALUE}, {VALUE}"),
        *(VALUE + ",v1=0" * 1000, "x" * 5000, {"Flora-Signature": [VALUE, VALUE]}),
        [("Flora-Signature", VALUE), ("flora-signature", VALUE)],
        CIMultiDict([("Flora-Signature", VALUE), ("Flora-Signature", "x")]),
    ],
    "mismatch": [
        *(f"t={NOW},v1={v1}" for v1 in ("0", "zz", DIGEST[:-1], DIGEST + "0", DIGEST.upper(), "é" * 64, "\ud800")),
        *(f"t=0{NOW},v1={DIGEST}", f"t={NOW},v1={'0' * 64}", f"t={NOW + 1},v1={DIGEST}"),
    ],
}


def test_each_problem_of_the_header_is_named() -> None:
    with Sweep() as sweep:
        for reason, headers in ((reason, value) for reason, many in REFUSALS.items() for value in many):
            with sweep.row(reason, headers):
                assert refusal(BODY, headers) == reason
                with pytest.raises(WebhookVerificationError):
                    verify(BODY, headers, SECRET, now=NOW, tolerance=None)


@pytest.mark.parametrize(
    "value",
    [
        f"t={NOW},v1={'0' * 64},v1={DIGEST}",
        f"t={NOW},v1={DIGEST},v1={'0' * 64}",
        f"v1=zz,v1={DIGEST},t={NOW}",
        f"t={NOW},v0=é,v2=x,,v1={DIGEST},junk",
    ],
)
def test_any_of_several_signatures_may_match_and_unknown_schemes_are_ignored(value: str) -> None:
    verify(BODY, value, SECRET, now=NOW)


@pytest.mark.parametrize(
    ("tolerance", "age", "reason"),
    [
        (300.0, 300, None),
        (300.0, 300.5, "stale"),
        (300.0, -300, None),
        (300.0, -300.5, "future"),
        (0.5, 0.25, None),
        (0.5, 1, "stale"),
        (None, NOW, None),
        (0, -(10**9), None),
    ],
)
def test_a_signature_is_taken_within_the_tolerance(tolerance: float | None, age: float, reason: str | None) -> None:
    if reason is None:
        verify(BODY, VALUE, SECRET, tolerance=tolerance, now=NOW + age)
    else:
        assert refusal(BODY, VALUE, tolerance=tolerance, now=NOW + age) == reason


def test_the_tolerance_is_five_minutes_by_the_clock_of_the_machine() -> None:
    assert verify(BODY, sign(BODY, SECRET), SECRET) is None  # type: ignore[func-returns-value]  # which is the point
    with pytest.raises(WebhookVerificationError, match="tolerance of 300 s"):
        verify(BODY, VALUE, SECRET)


def test_without_the_secret_the_age_of_a_signature_is_not_judged() -> None:
    assert refusal(BODY, f"t=1,v1={'0' * 64}") == "mismatch"


@pytest.mark.parametrize("body", [b"", b"x", b"{", b"NaN", b"\xff\xfe", b"[]", b"5", b"null", b"[" * 100_000, "\ud800"])
def test_a_signed_body_that_is_not_a_json_object_is_named(body: str | bytes) -> None:
    assert refusal(body, sign(body, SECRET, timestamp=NOW)) == "not_json"


@pytest.mark.parametrize(
    "change",
    [
        *({"id": bad} for bad in (None, "", 5)),
        *({"type": bad} for bad in (None, 5)),
        *({"data": bad} for bad in (None, "run_1")),
        *({"data": data} for data in ({}, {"run_id": "run_1"}, {"status": "completed"})),
        {"data": []},
        {"data": {"run_id": 5, "status": "completed"}},
    ],
)
def test_a_signed_event_that_lacks_essential_fields_is_malformed(change: dict[str, Any]) -> None:
    body = json.dumps({**MINIMAL, **change})
    assert refusal(body, sign(body, SECRET, timestamp=NOW)) == "malformed"


@pytest.mark.parametrize("change", [{"created_at": "yesterday"}, {"api_version": 5}, {"new": float("nan")}], ids=str)
def test_a_signed_event_is_read_whatever_else_is_odd(change: dict[str, Any]) -> None:
    body = json.dumps({**MINIMAL, **change})
    event = unwrap(body, sign(body, SECRET, timestamp=NOW), SECRET, now=NOW)
    assert (event.id, event.created_at, event.api_version) == ("whd_1", None, "")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
SIDE_FIELDS: list[tuple[str, ...]] = [("api_version",), ("created_at",), ("new_field",)]
SIDE_FIELDS += [("data", name) for name in ("run_type", "workspace_id", "error_code", "error_message", "new_field")]


@untimed
@given(path=st.sampled_from(SIDE_FIELDS), value=anything, has_bom=st.booleans())
def test_no_odd_side_field_costs_an_event(path: tuple[str, ...], value: Any, has_bom: bool) -> None:
    payload = json.loads(BODY)
    target = payload if len(path) == 1 else payload["data"]
    target[path[-1]] = value
    body = (b"\xef\xbb\xbf" if has_bom else b"") + json.dumps(payload).encode()
    event = unwrap(body, sign(body, SECRET, timestamp=NOW), SECRET, now=NOW)
    assert (event.id, event.type, event.data.run_id, event.data.status) == ("whd_1", "run.failed", "run_abc", "failed")


def test_verify_does_not_read_the_body() -> None:
    verify(b"no json", sign(b"no json", SECRET, timestamp=NOW), SECRET, now=NOW)


def test_an_event_has_every_field_of_floras_page() -> None:
    event = unwrap(BODY, VALUE, SECRET, now=NOW)
    assert event == WebhookEvent(
        id="whd_1",
        type="run.failed",
        api_version="2026-06-11",
        created_at=datetime(2026, 5, 28, 20, 26, 40, 500_000, UTC),
        data=WebhookRun(
            run_id="run_abc",
            run_type="technique",
            workspace_id="ws_1",
            status=RunStatus.FAILED,
            error_code="model_timeout",
            error_message="The model took too long.",
        ),
    )
    assert event.data.status is RunStatus.FAILED
    assert to_dict(event) == {**EVENT, "created_at": "2026-05-28T20:26:40.500000+00:00"}


def test_an_event_keeps_what_this_version_does_not_know() -> None:
    data = {"runId": "run_1", "status": "paused", "outputs": [{"outputId": 1}]}
    body = json.dumps({"id": "whd_1", "type": "run.paused", "livemode": True, "data": data})
    event = unwrap(body, sign(body, SECRET), SECRET)
    assert (event.type, event.created_at, event.api_version) == ("run.paused", None, "")
    assert (event.data.run_id, event.data.status, event.data.workspace_id) == ("run_1", "paused", None)
    assert (event.extra, event.data.extra) == ({"livemode": True}, {"outputs": [{"outputId": 1}]})


CALLS: list[Callable[..., Any]] = [sign, verify, unwrap]
BAD_SECRETS: Mapping[type[Exception], list[Any]] = {
    TypeError: [None, SECRET.encode(), 5, [SECRET]],
    ValueError: ["", " ", SECRET + "\n", " " + SECRET, SECRET + "é", f"{SECRET} x", "\ud800"],
}


def test_an_unusable_secret_is_refused() -> None:
    with Sweep() as sweep:
        for call in CALLS:
            for error, secret in [(error, bad) for error, many in BAD_SECRETS.items() for bad in many]:
                with sweep.row(call.__name__, secret):
                    arguments = (BODY, secret) if call is sign else (BODY, VALUE, secret)
                    with pytest.raises(error, match=r"^secret"):
                        call(*arguments)


@pytest.mark.parametrize(
    ("error", "options"),
    [
        *((ValueError, {"tolerance": bad}) for bad in (-1, float("nan"), float("inf"), 10**400)),
        *((TypeError, {"tolerance": bad}) for bad in (True, "300")),
        *((ValueError, {"now": bad}) for bad in (-1, float("nan"), 10**400)),
        *((TypeError, {"now": bad}) for bad in (True, datetime.now(UTC))),
    ],
)
def test_a_tolerance_or_time_that_is_out_of_range_is_refused(error: type[Exception], options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(error, match=rf"^{name} must be"):
        unwrap(BODY, VALUE, SECRET, **options)


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), 10**15, 10**400])
def test_a_timestamp_out_of_range_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"^timestamp must be"):
        sign(BODY, SECRET, timestamp=bad)


@pytest.mark.parametrize("bad", [EVENT, None, 5, [BODY]])
def test_a_body_that_was_parsed_already_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"^body must be the raw body"):
        unwrap(bad, VALUE, SECRET)


@pytest.mark.parametrize("bad", [None, 5, object(), ["Flora-Signature"], [1], [(1, 2, 3)]])
def test_headers_of_another_type_are_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"^headers must be a mapping"):
        unwrap(BODY, bad, SECRET)


@pytest.mark.parametrize("secret", [SECRET, SECRET + "\n", SECRET.encode()], ids=["right", "malformed", "bytes"])
@pytest.mark.parametrize("call", [sign, verify, unwrap], ids=lambda call: call.__name__)
def test_neither_the_secret_nor_the_signature_shows_in_an_error_or_its_frames(
    call: Callable[..., Any], secret: Any
) -> None:
    tampered = BODY + b" "
    options: dict[str, Any] = {"timestamp": -1} if call is sign else {"now": NOW}
    arguments = (tampered, secret) if call is sign else (tampered, VALUE, secret)
    with pytest.raises((FloraError, ValueError, TypeError)) as caught:
        call(*arguments, **options)
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    report.stack = traceback.StackSummary.from_list(report.stack[1:])  # the frame of this test knows it, of course
    shown = "".join(report.format()) + repr(vars(caught.value))
    assert "hashing" in shown or "key" in shown
    assert SECRET not in shown
    assert reference(tampered, SECRET, str(NOW)) not in shown


def test_an_error_crosses_processes_with_its_reason() -> None:
    with pytest.raises(WebhookVerificationError) as caught:
        verify(BODY, {}, SECRET)
    assert isinstance(caught.value, FloraError)
    assert pickle.loads(pickle.dumps(caught.value)).reason == "no_header"  # noqa: S301 - our own


def test_importing_webhooks_does_not_import_a_web_server() -> None:
    code = "import flora_async.webhooks, sys; print('aiohttp.web' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603 - our own code
    assert done.stdout.strip() == "False"
