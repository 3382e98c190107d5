"""The codec: any spelling in, typed models out, and back again."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
from attrs import NOTHING, AttrsInstance, fields, has
from hypothesis import given, settings
from hypothesis import strategies as st

from flora_async import (
    DecodeError,
    OutputType,
    Page,
    Run,
    RunOutput,
    RunStatus,
    TechniqueReference,
    TechniqueRun,
    models,
)
from flora_async.models._codec import Case, decode, decode_page, to_body, to_dict

# The answer on FLORA's page "Get a technique run".
EXAMPLE = b"""{
  "createdAt": 0, "progress": 0, "runId": "run_abc123", "status": "pending", "chargedCost": 0, "completedAt": 0,
  "errorCode": "provider_error", "errorMessage": "The provider failed to complete the generation.",
  "outputs": [{"outputId": "output_1", "type": "imageUrl", "url": "https://media.flora.ai/output.png"}],
  "pollUrl": "https://example.com", "startedAt": 0
}"""
# Every field of `RunListResponse` on FLORA's page "Runs", which has no example.
ITEM: dict[str, Any] = json.loads("""{
  "created_at": 1780000000000, "progress": 100, "project_id": "prj_1", "run_id": "run_abc123", "status": "completed",
  "technique": {"name": "CCTV cam", "technique_id": "tech_1"}, "technique_run_id": "run_abc123",
  "workspace_id": "ws_1", "charged_cost": 0.05, "completed_at": 1780000025500, "error_code": "none",
  "error_message": "Nothing.", "outputs": [{"output_id": "o", "type": "text", "url": "A caption"}],
  "poll_url": "https://app.flora.ai/api/v1/runs/run_abc123", "started_at": 1780000000500
}""")
HISTORY = {"technique_runs": [ITEM], "meta": {"next_cursor": "c2", "total_estimate": 7}}
MINIMAL: dict[str, Any] = {"run_id": "run_1", "status": "running"}
UNKNOWN = {"formFields": {"x_Amz_date": None, "X-Amz": [{"run_id": "no", "outputId": 1}]}, "extra": 1, "new_key": None}
untimed = settings(deadline=None)


def item_from(body: object, request_id: str | None = None) -> TechniqueRun:
    return decode(json.dumps(body).encode(), TechniqueRun, request_id=request_id)


def run_from(**fields_given: object) -> Run:
    return decode(json.dumps(MINIMAL | fields_given).encode(), Run)


def history_from(body: object, request_id: str | None = None) -> Page[TechniqueRun]:
    return decode_page(json.dumps(body).encode(), TechniqueRun, "technique_runs", request_id=request_id)


def camel(name: str) -> str:
    return re.sub("_(.)", lambda match: match[1].upper(), name)


def respelled(value: Any, spell: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {spell(key): respelled(item, spell) for key, item in value.items()}
    return [respelled(item, spell) for item in value] if isinstance(value, list) else value


def test_the_example_of_the_page_get_a_technique_run_is_read_whole() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert decode(EXAMPLE, Run) == Run(
        run_id="run_abc123",
        status=RunStatus.PENDING,
        created_at=epoch,
        started_at=epoch,
        completed_at=epoch,
        charged_cost=0.0,
        error_code="provider_error",
        error_message="The provider failed to complete the generation.",
        outputs=(RunOutput("output_1", OutputType.IMAGE, "https://media.flora.ai/output.png"),),
        poll_url="https://example.com",
    )


def test_every_field_of_the_page_runs_is_read() -> None:
    page = history_from(HISTORY)
    (item,) = page.items
    assert to_dict(item) == ITEM | {
        "created_at": "2026-05-28T20:26:40+00:00",
        "started_at": "2026-05-28T20:26:40.500000+00:00",
        "completed_at": "2026-05-28T20:27:05.500000+00:00",
        "adopted": False,
    }
    assert (page.next_cursor, page.total_estimate, item.duration) == ("c2", 7, 25.0)
    assert item.technique == TechniqueReference("tech_1", "CCTV cam")
    assert (type(item.status), type(item.outputs[0].type)) == (RunStatus, OutputType)


@untimed
@given(st.randoms(use_true_random=False))
def test_keys_are_read_in_either_spelling_mixed_at_any_depth(random: Any) -> None:
    mixed = respelled(HISTORY, lambda name: camel(name) if random.random() < 0.5 else name)
    assert history_from(mixed) == history_from(HISTORY) == history_from(respelled(HISTORY, camel))


@pytest.mark.parametrize("name", [name for name in ITEM if "_" in name])
def test_the_snake_case_name_wins_in_either_order(name: str) -> None:
    wrong = {camel(name): ["wrong"]}
    assert item_from({**wrong, **ITEM}) == item_from({**ITEM, **wrong}) == item_from(ITEM)


@pytest.mark.parametrize("spell", [str, camel])
@pytest.mark.parametrize("name", sorted(ITEM.keys() - MINIMAL))
def test_null_is_the_same_as_missing(name: str, spell: Callable[[str], str]) -> None:
    assert item_from({**respelled(MINIMAL, spell), spell(name): None}) == item_from(MINIMAL)
    assert item_from({**ITEM, camel(name): None, name: ITEM[name]}) == item_from(ITEM)


@pytest.mark.parametrize("body", [{"run_id": None, "runId": "r"}, {"runId": None, "run_id": "r"}, {"id": "r"}])
def test_a_run_id_may_be_called_id_where_no_other_spelling_has_a_value(body: dict[str, Any]) -> None:
    assert item_from({**body, "status": "running"}) == TechniqueRun(run_id="r", status=RunStatus.RUNNING)
    assert item_from({**MINIMAL, "id": "other"}).extra == {"id": "other"}


@pytest.mark.parametrize("name", ["run_id", "status"])
@pytest.mark.parametrize("nothing", [{}, {"run_id": None, "id": None, "status": None}, {"run_id": "", "status": ""}])
def test_a_run_without_id_or_status_is_refused(name: str, nothing: dict[str, Any]) -> None:
    given_fields = {key: value for key, value in MINIMAL.items() if key != name}
    with pytest.raises(DecodeError, match="is missing") as caught:
        item_from({**nothing, **given_fields})
    assert caught.value.path == name


def test_unknown_fields_are_kept_under_their_own_keys_at_any_depth() -> None:
    run = item_from({**MINIMAL, **UNKNOWN, "outputs": [{"type": "text", "url": "", **UNKNOWN}], "technique": UNKNOWN})
    assert run.technique is not None
    assert run.extra == run.outputs[0].extra == run.technique.extra == UNKNOWN


@pytest.mark.parametrize("status", ["cancelled", "COMPLETED", "Failed", "completed ", "ausgeführt"])
def test_an_unknown_status_without_an_end_stays_a_str_and_is_not_terminal(status: str) -> None:
    run = run_from(status=status)
    assert (type(run.status), run.status) == (str, status)
    assert (run.is_terminal, run.is_completed, run.is_failed) == (False, False, False)


def test_an_unknown_output_type_stays_a_str_and_has_no_text() -> None:
    (output,) = run_from(outputs=[{"type": "hologramUrl", "url": "x"}]).outputs
    assert (type(output.type), output.type, output.text) == (str, "hologramUrl", None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "1970-01-01T00:00:00+00:00"),
        (-1, "1969-12-31T23:59:59+00:00"),
        (1_780_000_000, "2026-05-28T20:26:40+00:00"),
        (1_780_000_000.25, "2026-05-28T20:26:40.250000+00:00"),
        (1_780_000_000_250, "2026-05-28T20:26:40.250000+00:00"),
        (99_999_999_999, "5138-11-16T09:46:39+00:00"),
        (100_000_000_000, "1973-03-03T09:46:40+00:00"),
        (-100_000_000_000, "1966-10-31T14:13:20+00:00"),
        ("2026-05-28T20:26:40Z", "2026-05-28T20:26:40+00:00"),
        ("2026-05-28T22:26:40.000250+02:00", "2026-05-28T20:26:40.000250+00:00"),
        ("2026-05-28T20:26:40", "2026-05-28T20:26:40+00:00"),
    ],
)
def test_times_are_read_as_seconds_milliseconds_or_iso_8601_and_are_utc(value: object, expected: str) -> None:
    assert to_dict(run_from(createdAt=value))["created_at"] == expected


@pytest.mark.parametrize("meta", [None, {}, {"next_cursor": None}, {"nextCursor": ""}])
def test_no_cursor_means_the_last_page(meta: object) -> None:
    assert history_from({"techniqueRuns": [], "meta": meta}) == Page(items=())


KINDS: list[type[AttrsInstance]] = [
    kind for name in models.__all__ if has(kind := getattr(models, name)) and kind not in {Page, models.ItemProblem}
]
TEXT, NUMBERS = st.text(), st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | st.integers() | NUMBERS | TEXT
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=6)
OF_A_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(),
    float: NUMBERS,
    bool: st.booleans(),
    type(None): st.none(),
    Any: JSON,
    datetime: st.datetimes(timezones=st.just(UTC)),
}


def spellings(kind: type[AttrsInstance]) -> set[str]:
    """FLORA's spellings of the fields of a model."""
    names = {a.metadata.get("name", a.name) for a in fields(kind)} - {"extra"}
    return names | {camel(name) for name in names}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type may hold."""
    if kind in OF_A_TYPE:
        return OF_A_TYPE[kind]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    if has(kind):
        return instances(kind)
    if get_origin(kind) is tuple:
        return st.lists(values(get_args(kind)[0]), max_size=2).map(tuple)
    if get_origin(kind) is Mapping:
        return st.dictionaries(TEXT, values(get_args(kind)[1]), max_size=2)
    assert get_origin(kind) in {Union, UnionType}, kind
    return st.one_of(*map(values, get_args(kind)))


def instances(kind: type[AttrsInstance]) -> st.SearchStrategy[Any]:
    """Models that FLORA's answers can become: ids and statuses are not empty, costs are possible."""
    known = spellings(kind) | {alias for a in fields(kind) for alias in a.metadata.get("aliases", ())}
    given = {a.name: values(a.type) for a in fields(kind) if a.name != "extra"}
    for attribute in fields(kind):
        if attribute.name.endswith("_cost"):
            given[attribute.name] = st.none() | st.floats(0, 1e6)
        if attribute.default is NOTHING:
            given[attribute.name] = given[attribute.name].filter(lambda value: value != "")
        if attribute.name == "extra":
            given["extra"] = st.dictionaries(TEXT.filter(lambda key: key not in known), JSON, max_size=2)
    return st.builds(kind, **given)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=10)
@given(st.data(), st.sampled_from(["snake", "camel"]))
def test_a_model_survives_to_dict_json_and_decode(kind: type[AttrsInstance], data: st.DataObject, case: Case) -> None:
    model = data.draw(instances(kind))
    plain, spell = to_dict(model, case), camel if case == "camel" else str
    assert repr(json.loads(json.dumps(plain))) == repr(plain)
    assert decode(json.dumps(plain).encode(), kind) == model
    names = {spell(a.metadata.get("name", a.name)) for a in fields(kind)} - {"extra"}
    assert plain.keys() == names | getattr(model, "extra", {}).keys()


def nested(kind: Any) -> set[type[AttrsInstance]]:
    """The models in a model, itself included."""
    if not has(kind):
        return set().union(*map(nested, get_args(kind)))
    return {kind}.union(*(nested(a.type) for a in fields(kind)))


@cache
def hostile(kind: type[AttrsInstance]) -> st.SearchStrategy[bytes]:
    """Bytes that are not an answer, and JSON with the right names in the wrong places."""
    names = set().union(*map(spellings, nested(kind))) | {"id", "extra", "items", "meta", "nextCursor"}
    anything = st.recursive(
        LEAVES | st.floats() | st.sampled_from(["run_1", "running"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(names)), inner),
        max_leaves=20,
    )
    return st.binary() | anything.map(lambda value: json.dumps(value).encode())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=12)
@given(st.data())
def test_whatever_is_sent_is_read_or_refused_with_a_short_decode_error(
    kind: type[AttrsInstance], data: st.DataObject
) -> None:
    body = data.draw(hostile(kind))
    for read in (lambda: decode(body, kind), lambda: decode_page(body, kind, "items")):
        message = "read"
        try:
            read()
        except DecodeError as error:
            message = str(error)
        assert message.splitlines() == [message[:200]]


@pytest.mark.parametrize(
    ("status", "kind", "is_ready", "is_failed"),
    [
        ("pending_upload", models.AssetStatus, False, False),
        ("ready", models.AssetStatus, True, False),
        ("failed", models.AssetStatus, False, True),
        ("scanning", str, False, False),
    ],
)
def test_an_asset_tells_whether_it_is_ready_or_failed(status: str, kind: type, is_ready: bool, is_failed: bool) -> None:
    asset = decode(json.dumps({"status": status}).encode(), models.Asset)
    assert (type(asset.status), asset.status) == (kind, status)
    assert (asset.is_ready, asset.is_failed) == (is_ready, is_failed)


def test_a_body_leaves_out_none_except_where_flora_requires_null_and_in_free_form_data() -> None:
    edge = models.CanvasEdge(id="e", source="a", target="b", data={"k": None}, extra={"new_field": None})
    assert to_body(models.CanvasDefinition(edges=(edge,), node_inputs={"a": {"k": None}})) == {
        "nodes": [],
        "edges": [
            {
                "id": "e",
                "source": "a",
                "target": "b",
                "source_handle": None,
                "target_handle": None,
                "data": {"k": None},
                "new_field": None,
            }
        ],
        "node_inputs": {"a": {"k": None}},
        "node_outputs": {},
    }


@pytest.mark.parametrize(("model", "case"), [(None, "snake"), ({}, "camel"), (Run, "snake"), (run_from(), "kebab")])
def test_to_dict_takes_models_and_two_cases_only(model: Any, case: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"a model such as a Run|snake, camel"):
        to_dict(model, case)
