"""Essentials strict, the rest lenient: whatever else is odd never costs an answer."""

import json
import logging
from typing import Any

import pytest
from attrs import NOTHING, AttrsInstance, evolve, fields, has
from conftest import SWIFT_RETRY, OpenSession
from hypothesis import given, settings
from hypothesis import strategies as st

from flora_async import (
    DecodeError,
    Page,
    Run,
    RunOutput,
    SubmissionUnknownError,
    TechniqueRun,
    models,
)
from flora_async.models import ItemProblem
from flora_async.models._codec import decode, decode_page, to_dict
from flora_async.testing import FakeFlora, Replace

# What FLORA's pages show, every field filled; the essential ones in `ESSENTIAL`, by their path.
OUTPUT = {"output_id": "o", "type": "text", "url": "A caption", "new": {"a": 1}}
RUN: dict[str, Any] = {
    "run_id": "run_1",
    "status": "completed",
    "progress": 100,
    "created_at": 1780000000000,
    "started_at": 1780000000500,
    "completed_at": "2026-05-28T20:27:05Z",
    "charged_cost": 0.05,
    "error_code": "none",
    "error_message": "Nothing.",
    "outputs": [OUTPUT, OUTPUT],
    "poll_url": "https://app.flora.ai/api/v1/runs/run_1",
    "project_id": "prj_1",
    "workspace_id": "ws_1",
    "technique_run_id": "run_1",
    "technique": {"technique_id": "tech_1", "name": "CCTV cam"},
    "new": ["anything"],
}
PAYLOADS: list[tuple[type[Any], dict[str, Any], set[str]]] = [
    (TechniqueRun, RUN, {"run_id", "status"}),
    (
        models.RunTicket,
        {
            "run_id": "run_1",
            "type": "generation",
            "charged_cost": 0.1,
            "estimated_seconds": 20,
            "poll_url": "u",
            "project_id": "prj_1",
            "action": None,
            "model": {"model_id": "flux"},
            "technique": {"technique_id": "t", "name": "n"},
        },
        {"run_id"},
    ),
    (
        models.WebhookEvent,
        {
            "id": "whd_1",
            "type": "run.completed",
            "api_version": "2026-06-11",
            "created_at": 1780000000000,
            "data": {"run_id": "run_1", "status": "completed", "run_type": "technique", "workspace_id": "ws_1"},
        },
        {"id", "type", "data", "data.run_id", "data.status"},
    ),
    (
        models.Technique,
        {
            "technique_id": "tech_1",
            "name": "n",
            "run_cost": 0.05,
            "inputs": [{"id": "a", "type": "text", "specified_duration": 5}],
            "outputs": [{"id": "b", "type": "text", "optional": True}],
        },
        {"technique_id"},
    ),
    (
        models.ProjectGraph,
        {
            "project_id": "prj_1",
            "nodes": [{"id": "n1", "params": {"a": 1}, "position": {"x": 1, "y": 2}, "action": {"params": {}}}],
            "edges": [{"from": "n1", "to": "n2", "in": "image"}],
        },
        {"project_id"},
    ),
    (
        models.Action,
        {
            "action_id": "a",
            "inputs": [{"name": "", "multiple": {"min": 1}}],
            "params": [{"key": "k", "min_number_value": 1}],
        },
        {"action_id"},
    ),
    (
        models.Asset,
        {"asset_id": "asset_1", "upload": {"url": "u", "form_fields": {"a_b": "c"}}, "size_bytes": 5, "width": None},
        set(),
    ),
]
SPOILS: list[Any] = [
    "",
    "0",
    "NaN",
    5,
    -1,
    1e300,
    10**400,
    True,
    [],
    [None],
    [[]],
    {},
    {"a": None},
    "\ud800",
    "x" * 300,
]


def read(kind: type[Any], payload: object) -> Any:
    return decode(json.dumps(payload).encode(), kind)


def places(payload: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Every value in a payload, with its path and the container and key that hold it."""
    found = []
    for key, value in payload.items() if isinstance(payload, dict) else enumerate(payload):
        here = f"{path}.{key}".lstrip(".")
        found.append((here, payload, key))
        if isinstance(value, dict | list):
            found += places(value, here)
    return found


SPOILABLE = [
    (kind, payload, path)
    for kind, payload, essential in PAYLOADS
    for path, *_ in places(payload)
    if path not in essential
]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(SPOILABLE), st.sampled_from(SPOILS), st.booleans())
def test_an_answer_survives_whatever_is_odd_but_its_essentials_and_comes_back_equal_from_a_journal(
    place: tuple[type[Any], dict[str, Any], str], odd: object, twice: bool
) -> None:
    kind, payload, path = place
    spoiled = json.loads(json.dumps(payload))
    for here, container, key in places(spoiled):
        if here == path:
            container[key] = odd
            break
    if twice and isinstance(spoiled.get("outputs"), list):
        spoiled["outputs"].append(json.loads(json.dumps(odd)))
    model = read(kind, spoiled)
    names = [a.name for a in fields(kind) if a.default is NOTHING]
    assert [getattr(model, name) for name in names if name.endswith("id")] == [
        payload[n] for n in names if n.endswith("id")
    ]
    assert read(kind, to_dict(model)) == read(kind, to_dict(model, "camel")) == model


KINDS: list[type[AttrsInstance]] = [
    kind for name in models.__all__ if has(kind := getattr(models, name)) and kind not in {Page, ItemProblem}
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_only_required_fields_can_cost_a_model(kind: type[AttrsInstance]) -> None:
    required = {a.name for a in fields(kind) if a.default is NOTHING or a.metadata.get("required")}
    answers: dict[str, Any] = {"data": {"run_id": "r", "status": "s"}, "runs": [], "definition": {}}
    good = {a.metadata.get("name", a.name): answers.get(a.name, "x") for a in fields(kind) if a.name in required}
    odd: dict[str, Any] = {
        a.metadata.get("name", a.name): [[]] for a in fields(kind) if a.name not in required | {"extra"}
    }
    if "extra" not in {a.name for a in fields(kind)}:
        return  # a part of a request, or a position, which its node keeps whole
    model = read(kind, good | odd)
    for attribute in fields(kind):
        if attribute.name not in required | {"extra"} and attribute.metadata.get("name", attribute.name) in model.extra:
            assert model.extra[attribute.metadata.get("name", attribute.name)] == [[]]
    assert read(kind, to_dict(model)) == model
    for name in good:
        with pytest.raises(DecodeError) as caught:
            read(kind, {**good, name: None})
        assert (caught.value.path, caught.value.reason) == (name, "is missing")


@pytest.mark.parametrize(
    ("odd", "field", "value"),
    [
        ({"progress": "0"}, "progress", 0.0),
        ({"progress": [50]}, "progress", 0.0),
        ({"createdAt": ""}, "created_at", None),
        ({"completed_at": "yesterday"}, "completed_at", None),
        ({"completed_at": 1e300}, "completed_at", None),
        ({"completed_at": -99_999_999_999}, "completed_at", None),
        ({"started_at": True}, "started_at", None),
        ({"charged_cost": "0.05"}, "charged_cost", None),
        ({"charged_cost": -0.01}, "charged_cost", None),
        ({"chargedCost": 1e7}, "charged_cost", None),
        ({"error_code": 5}, "error_code", None),
        ({"outputs": {}}, "outputs", ()),
        ({"outputs": [None]}, "outputs", ()),
        ({"outputs": [{"output_id": "o", "type": "text"}]}, "outputs", ()),
        ({"outputs": [[], {"type": "text", "url": ""}]}, "outputs", (RunOutput(type="text", url=""),)),
        ({"technique": "tech_1"}, "technique", None),
    ],
    ids=str,
)
def test_an_odd_value_becomes_the_default_is_kept_under_its_own_name_and_logged_once(
    odd: dict[str, Any], field: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "flora_async"):
        run = decode(
            json.dumps({"run_id": "run_1", "status": "running", **odd}).encode(), TechniqueRun, request_id="req_1"
        )
    assert (run.run_id, getattr(run, field), run.extra) == ("run_1", value, odd)
    (record,) = caplog.records
    assert field in record.getMessage()
    assert "req_1" in record.getMessage()


def test_the_warning_is_short_printable_and_holds_no_value_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    hostile = "sk_live_S3cret\n\x1b[31mrun_2 is fine\u202e" * 10
    odd = dict.fromkeys(("progress", "created_at", "charged_cost", "outputs", "technique", "started_at"), hostile)
    payload = {"run_id": "run_1", "status": "running", "extra_upload": hostile, **odd}
    decode(json.dumps(payload).encode(), TechniqueRun, request_id=hostile[:60].replace("S3cret", ""))
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.isprintable()
    assert len(message) <= 200
    assert "S3cret" not in message
    assert message.endswith("and 3 more")


@pytest.mark.parametrize("status", [{}, {"status": None}, {"status": ""}, {"status": 5}], ids=str)
async def test_an_answer_without_a_status_does_not_lose_the_id_of_the_run_that_was_started(
    status: dict[str, Any], fake: FakeFlora, session_on: OpenSession
) -> None:
    flora = session_on(fake, retry=evolve(SWIFT_RETRY, resolve=False))
    fake.inject(Replace({"runId": "run_1", **status}), on="start")
    with pytest.raises(SubmissionUnknownError) as caught:
        await flora.techniques.runs.create("caption", inputs={"prompt": "a red bicycle"})
    assert caught.value.run is not None
    assert (caught.value.run.run_id, caught.value.run.is_terminal) == ("run_1", False)
    assert isinstance(caught.value.__cause__, DecodeError)
    assert caught.value.__cause__.path == "status"


def test_a_value_set_since_is_written_rather_than_the_odd_one() -> None:
    run = read(Run, {"run_id": "run_1", "status": "running", "pollUrl": 5, "progress": "0"})
    again = models.Run(
        run_id="run_1", status="running", poll_url="https://app.flora.ai/api/v1/runs/run_1", extra=run.extra
    )
    assert to_dict(again)["poll_url"] == again.poll_url
    assert read(Run, to_dict(again)).poll_url == again.poll_url
    assert read(Run, to_dict(again)).extra == {"progress": "0"}


BODIES = {
    "a byte order mark": b'\xef\xbb\xbf{"run_id": "run_1", "status": "running"}',
    "NaN": b'{"run_id": "run_1", "status": "running", "new": NaN, "progress": -Infinity}',
    "a float without end": b'{"run_id": "run_1", "status": "running", "new": [1e999], "charged_cost": 1e999}',
    "a lone surrogate": b'{"run_id": "run_1", "status": "running", "new": "\\ud800", "error_message": "\\udfff"}',
    "halves apart": b'{"run_id": "run_1", "status": "running", "new": "\xed\xa0\xbd\xed\xb8\x80"}',
    "another encoding": b'{"run_id": "run_1", "status": "running", "error_message": "Gr\xf6\xdfe"}',
    "a very long number": b'{"run_id": "run_1", "status": "running", "progress": ' + b"9" * 5000 + b"}",
    "NUL": b'{"run_id": "run_1", "status": "running", "\\u0000": "\\u0000"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_an_odd_encoding_costs_no_run_and_what_was_read_is_json_and_reads_back_equal(body: bytes) -> None:
    run = decode(body, Run)
    assert (run.run_id, run.status) == ("run_1", "running")
    written = json.dumps(to_dict(run), allow_nan=False).encode("ascii")
    assert decode(written, Run) == run


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_a_run_is_read_in_any_encoding_of_unicode_and_with_nuls_behind_it(encoding: str) -> None:
    body = json.dumps({"run_id": "run_1", "status": "completed", "error_message": "größe 🚲"}, ensure_ascii=False)
    for end in ("", "\0\0", "\r\n"):
        run = decode((body + end).encode(encoding), Run)
        assert (run.run_id, run.error_message) == ("run_1", "größe 🚲")


@pytest.mark.parametrize("other", ["", None])
def test_an_empty_id_does_not_hide_the_one_under_its_other_name(other: str | None) -> None:
    for kind in (Run, models.RunTicket):
        read: Any = decode(json.dumps({"run_id": other, "id": "run_1", "status": "x"}).encode(), kind)
        assert read.run_id == "run_1"
        with pytest.raises(DecodeError, match="run_id: is missing"):
            decode(json.dumps({"run_id": other, "id": "", "status": "x"}).encode(), kind)


@pytest.mark.parametrize("body", [b"", b" \n", b"<html>", b"{", b'{"a":1}{', b"{'a':1}", b"\x00", b"\xff" * 300])
def test_a_body_that_is_not_json_is_refused_as_a_whole_and_may_pass(body: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(body, Run, request_id="r")
    assert (caught.value.path, caught.value.request_id, caught.value.transient) == ("", "r", True)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("body", [[], None, 5, "run_1", True, [{}]], ids=str)
def test_json_that_is_not_an_object_is_refused_as_a_whole(body: object) -> None:
    for read_body in (lambda raw: decode(raw, Run), lambda raw: decode_page(raw, Run, "items")):
        with pytest.raises(DecodeError, match="top level: an object was expected"):
            read_body(json.dumps(body).encode())


@pytest.mark.parametrize("around", ['{"run_id": "r", "status": "s", "new": %s}', '{"runs": [], "new": %s}'])
def test_nesting_is_read_to_a_depth_of_200_and_refused_beyond_it(around: str) -> None:
    def body(depth: int) -> bytes:
        return (around % ("[" * depth + "]" * depth)).encode()

    def read_both(raw: bytes) -> object:
        return decode(raw, Run) if b"run_id" in raw else decode_page(raw, Run, "runs")

    read_both(body(199))
    for depth in (200, 500, 990, 5_000, 90_000):
        with pytest.raises(DecodeError, match="200 levels"):
            read_both(body(depth))


def page(body: object) -> Page[TechniqueRun]:
    return decode_page(json.dumps(body).encode(), TechniqueRun, "technique_runs", request_id="req_1")


def test_an_unreadable_item_of_a_list_is_reported_and_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    runs = [{"run_id": f"run_{number}", "status": "completed"} for number in range(3)]
    answer = page(
        {"techniqueRuns": [runs[0], None, {"run_id": 5, "status": "x"}, {**runs[1], "progress": "100"}, runs[2]]}
    )
    assert [run.run_id for run in answer.items] == ["run_0", "run_1", "run_2"]
    assert answer.problems == (
        ItemProblem(1, "", "an object was expected, not null"),
        ItemProblem(2, "run_id", "text was expected, not a number"),
    )
    (record,) = caplog.records
    assert "technique_runs[2].run_id" in record.getMessage()


@pytest.mark.parametrize("meta", [5, "c2", [1], True, {"next_cursor": 5}], ids=str)
def test_a_cursor_that_cannot_be_read_is_a_problem_of_the_page_and_not_its_end(meta: object) -> None:
    answer = page({"technique_runs": [{"run_id": "run_1", "status": "running"}], "meta": meta})
    assert (len(answer.items), answer.next_cursor) == (1, None)
    assert [(problem.index, problem.path) for problem in answer.problems] == [(None, "meta.next_cursor")]


def test_an_odd_estimate_of_the_total_is_left_out() -> None:
    assert page({"technique_runs": [], "meta": {"total_estimate": "7", "next_cursor": "c"}}) == Page((), "c")


@pytest.mark.parametrize("runs", [None, {}, 0, [0] * 10_001], ids=["missing", "object", "number", "too long"])
def test_a_page_without_a_list_is_refused(runs: object) -> None:
    with pytest.raises(DecodeError) as caught:
        page({"technique_runs": runs})
    assert (caught.value.path, caught.value.transient) == ("technique_runs", False)


@pytest.mark.parametrize("field", ["outputs", "inputs"])
def test_a_list_beyond_any_real_length_is_left_out(field: str) -> None:
    technique = read(models.Technique, {"technique_id": "t", field: [{"id": "a"}] * 10_001})
    assert getattr(technique, field) == ()
    assert len(technique.extra[field]) == 10_001


@pytest.mark.parametrize("body", [b'{"x":[' + b"{}," * 200_000 + b"{}]}", b'{"x":[' + b"0," * 600_000 + b"0]}"])
def test_a_body_of_more_values_than_any_real_answer_has_is_refused_before_it_is_read(body: bytes) -> None:
    with pytest.raises(DecodeError, match="too many values"):
        decode_page(body, Run, "x")
