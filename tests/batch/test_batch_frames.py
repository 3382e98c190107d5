"""Rows from data frames: each is a mapping of inputs, and what cannot be used is refused before anything is sent."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, cast

import pytest

from flora_async import FloraSession, RunRequest
from flora_async.batch.rows import length_of, source_of
from flora_async.testing import FakeFlora, FakeModel, FakeTechnique

# Typed as Any: one of them has no types, and the types of another take a type checker longer than all of this package.
numpy: Any = import_module("numpy")
pandas: Any = import_module("pandas")
polars: Any = import_module("polars")
pyarrow: Any = import_module("pyarrow")

LIBRARIES: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "pandas": pandas.DataFrame,
    "pandas with NA": lambda columns: pandas.DataFrame(columns).convert_dtypes(),
    "pandas in Arrow": lambda columns: pandas.DataFrame(columns).convert_dtypes(dtype_backend="pyarrow"),
    "polars": polars.DataFrame,
    "Arrow table": pyarrow.table,
    "Arrow batch": pyarrow.RecordBatch.from_pydict,
}
TABLE = {"sku": [57, 58, 59], "headline": ["a red bicycle", None, "a green door"], "shelf": ["B", "C", None]}

every_library = pytest.mark.parametrize("build", LIBRARIES.values(), ids=LIBRARIES)


@every_library
async def test_each_row_of_a_frame_is_a_mapping_of_inputs(
    fake: FakeFlora, flora: FloraSession, build: Callable[[Mapping[str, Any]], Any]
) -> None:
    technique = FakeTechnique("pair", inputs={"first": "text"}, optional_inputs={"second": "text"})
    fake.add_technique(technique)
    frame = build({"first": ["a", "b", "c"], "second": ["x", None, "z"]})
    async with flora.batch("pair", frame) as batch:
        assert batch.summary.total == 3
        results = {result.index: result async for result in batch}
    assert all(result.ok for result in results.values())
    sent = sorted((run.inputs for run in fake.runs), key=lambda inputs: inputs["first"])
    assert sent == [{"first": "a", "second": "x"}, {"first": "b"}, {"first": "c", "second": "z"}]


@every_library
def test_keys_and_inputs_are_picked_by_column_and_the_rest_comes_back(
    build: Callable[[Mapping[str, Any]], Any],
) -> None:
    requests = RunRequest.from_rows(build(TABLE), key="sku", inputs={"prompt": "headline"})
    assert length_of(requests) == 3
    expected = [
        RunRequest({"prompt": "a red bicycle"}, key="57", metadata={"shelf": "B"}),
        RunRequest({}, key="58", metadata={"shelf": "C"}),
        RunRequest({"prompt": "a green door"}, key="59"),
    ]
    assert list(requests) == expected
    assert list(requests) == expected  # a frame can be read again
    assert [request.inputs for request in RunRequest.from_rows(build(TABLE), key="sku", inputs=["shelf"])] == [
        {"shelf": "B"},
        {"shelf": "C"},
        {},
    ]


@every_library
async def test_a_frame_goes_in_and_comes_out(flora: FloraSession, build: Callable[[Mapping[str, Any]], Any]) -> None:
    rows = RunRequest.from_rows(build({"sku": ["a", "b"], "prompt": ["x", "y"]}), key="sku")
    async with flora.batch("caption", rows) as batch:
        records = [record async for record in batch.records()]
    expected = {"a": "Caption: x", "b": "Caption: y"}
    frames = (pandas.DataFrame(records).to_dict("records"), polars.DataFrame(records).to_dicts())
    assert [{row["key"]: row["output_texts"][0] for row in frame} for frame in frames] == [expected] * 2


@every_library
async def test_the_columns_of_a_frame_are_the_fields_of_generations(
    fake: FakeFlora, flora: FloraSession, build: Callable[[Mapping[str, Any]], Any]
) -> None:
    frame = build({"prompt": ["a", "b"], "key": ["x", "y"], "model": [None, "veo-3"], "type": [None, "video"]})
    async with flora.generations.batch(frame, model="flux-pro", type="image", project_id="prj_local") as batch:
        records = {record["key"]: record["status"] async for record in batch.records()}
    assert records == {"x": "completed", "y": "completed"}
    models = {run.inputs["prompt"]: run.work.model_id for run in fake.runs if isinstance(run.work, FakeModel)}
    assert models == {"a": "flux-pro", "b": "veo-3"}


def test_values_are_plain_and_missing_ones_are_left_out() -> None:
    missing = [None, float("nan"), numpy.float32("nan"), numpy.datetime64("NaT", "ns"), pandas.NaT, pandas.NA]
    frame = pandas.DataFrame({f"missing {number}": [value] for number, value in enumerate(missing)}, dtype=object)
    values = {"int": numpy.int64(5), "bool": numpy.bool_(1), "text": numpy.str_("x"), "list": numpy.array([1, 2])}
    values |= {"empty": "", "bytes": b"x", "infinite": float("inf"), "none of it": []}
    frame = frame.assign(**{name: pandas.Series([value], dtype=object) for name, value in values.items()})
    (row,) = cast("Iterable[dict[str, Any]]", source_of(frame))
    assert row == {**values, "list": [1, 2]}
    assert [type(row[name]) for name in ("int", "bool", "text", "list")] == [int, bool, str, list]


UNUSABLE: dict[str, tuple[Any, type[Exception], str]] = {
    "numbered columns": (pandas.DataFrame([["a"]]), TypeError, "must be named by text, not 0: rename"),
    "several levels": (
        pandas.DataFrame([["a"]], columns=pandas.MultiIndex.from_tuples([("a", "b")])),
        TypeError,
        r"not \('a', 'b'\)",
    ),
    "the same name twice": (pandas.DataFrame([["a", "b"]], columns=["x", "x"]), ValueError, "two columns 'x'"),
    "the same name twice in Arrow": (pyarrow.Table.from_arrays([[1], [2]], ["x", "x"]), ValueError, "two columns 'x'"),
    "a blank name": (polars.DataFrame({" ": ["a"]}), ValueError, "blank name ' '"),
    "a pandas Series": (pandas.Series(["a"], name="prompt"), TypeError, "be a Series: pass rows.to_frame"),
    "a polars Series": (polars.Series("prompt", ["a"]), TypeError, "be a Series: pass rows.to_frame"),
    "a LazyFrame": (polars.LazyFrame({"prompt": ["a"]}), TypeError, r"not a LazyFrame: pass rows.collect\(\)"),
}


@pytest.mark.parametrize(("frame", "kind", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_frame_whose_columns_cannot_be_inputs_is_refused_at_once(
    flora: FloraSession, frame: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        flora.batch("caption", frame)
    with pytest.raises(kind, match=message):
        RunRequest.from_rows(frame)


MISTAKES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "unknown key": ({"key": "id"}, ValueError, "no column 'id'; it has 'sku', 'headline', 'shelf'"),
    "unknown input": ({"inputs": ["prompt"]}, ValueError, "no column 'prompt'; it has 'sku'"),
    "mapping the wrong way round": ({"inputs": {"headline": "prompt"}}, ValueError, "no column 'prompt'"),
    "one column as text": ({"inputs": "headline"}, TypeError, "inputs must be a sequence"),
    "a numbered column": ({"inputs": [0]}, TypeError, "must be text, not 0"),
    "a key that is not a name": ({"key": 0}, TypeError, "key must be text, not 0"),
}


@pytest.mark.parametrize(("options", "kind", "message"), MISTAKES.values(), ids=MISTAKES)
def test_columns_that_a_frame_does_not_have_are_refused_at_once(
    options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        RunRequest.from_rows(polars.DataFrame(TABLE), **options)


async def test_an_empty_frame_has_no_rows(fake: FakeFlora, flora: FloraSession) -> None:
    empty = [pandas.DataFrame(), pandas.DataFrame([]), polars.DataFrame(), polars.DataFrame({"prompt": []})]
    assert [await flora.run_all("caption", frame) for frame in empty] == [[]] * 4
    assert fake.requests == []


async def test_a_row_without_a_usable_key_is_that_rows_failure(fake: FakeFlora, flora: FloraSession) -> None:
    # A missing number makes floats of the others, whose text would be another key: paid for again with a journal.
    frame = pandas.DataFrame({"sku": [57, None, True], "prompt": ["a", "b", "c"]}, dtype=object)
    frame.loc[len(frame)] = [5.0, "d"]
    results = await flora.run_all("caption", RunRequest.from_rows(frame, key="sku"))
    assert [(result.key, result.ok, str(result.error)[:40]) for result in results] == [
        ("57", True, "None"),
        ("1", False, "key must not be blank: leave it out, or "),
        ("2", False, "key must be text, not True"),
        ("3", False, "key must be text, not 5.0"),
    ]
    assert [run.inputs["prompt"] for run in fake.runs] == ["a"]


async def test_a_csv_is_read_by_its_columns_and_its_bad_rows_are_failures_of_their_own(flora: FloraSession) -> None:
    lines = io.StringIO("sku,headline\na,one\nb,two,surplus\nc\n,four\n")
    rows = RunRequest.from_rows(csv.DictReader(lines), key="sku", inputs={"prompt": "headline"})
    assert length_of(rows) is None
    results = await flora.run_all("caption", rows)
    assert [(result.key, result.ok) for result in results] == [("a", True), ("b", True), ("c", False), ("3", False)]
    (not_a_row,) = await flora.run_all("caption", RunRequest.from_rows([5]))  # type: ignore[list-item]  # the mistake
    assert isinstance(not_a_row.error, TypeError)
    for source in (5, "x", {"prompt": "x"}):
        with pytest.raises(TypeError, match="source must be a data frame or an iterable of mappings"):
            RunRequest.from_rows(source)  # type: ignore[arg-type]  # the mistake


def test_rows_of_a_frame_are_read_as_they_are_asked_for() -> None:
    table = pyarrow.table({"prompt": [str(number) for number in range(2000)]})
    rows = iter(cast("Iterable[dict[str, str]]", source_of(table)))
    assert [next(rows) for _ in range(2)] == [{"prompt": "0"}, {"prompt": "1"}]
    assert [row["prompt"] for row in rows] == [str(number) for number in range(2, 2000)]
