"""Results as flat records: plain data under stable names, whatever became of the row."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from conftest import UNRESOLVED, OpenSession
from sweep import Sweep

from flora_async import BatchResult, BatchSummary, FieldError, FloraSession, Run, RunOutput, RunRequest
from flora_async.batch import Row
from flora_async.errors import (
    APITimeoutError,
    BadRequestError,
    InputError,
    RunFailedError,
    SkippedError,
    WaitTimeoutError,
)
from flora_async.testing import Drop, FakeFlora, FakeTechnique

BATCHES = Path(__file__).parents[2] / "docs" / "batches.md"
FAILED = Run(run_id="run_1", status="failed", error_code="model_timeout", error_message="It took too long.")
RUNNING = Run(run_id="run_2", status="running", charged_cost=0.05)
IMAGE = RunOutput("image", "imageUrl", "https://media.flora.ai/a.png")
HOSTILE = Run(run_id="\ud800", status="completed", outputs=(RunOutput("a", "text", "\udfff"), IMAGE))


class Unreadable(Exception):  # noqa: N818 - the exception of another library, under its own name
    code = 5
    request_id = b"x"

    def __str__(self) -> str:
        raise RuntimeError


RESULTS: list[tuple[BatchResult, dict[str, Any]]] = [
    (
        BatchResult(index=0, key="a", run=FAILED, error=RunFailedError(FAILED), attempts=2),
        {"status": "failed", "error_type": "RunFailedError", "error_code": "model_timeout", "hint": "again"},
    ),
    (
        BatchResult(index=1, key="b", run=RUNNING, error=WaitTimeoutError(RUNNING, 5.0), attempts=1),
        {"status": "running", "run_id": "run_2", "cost": None, "error_type": "WaitTimeoutError"},
    ),
    (
        BatchResult(index=2, key="c", error=InputError("caption", [FieldError("prompt", "is missing")])),
        {"status": "not_started", "run_id": None, "error": "Inputs of 'caption': 'prompt' is missing"},
    ),
    (BatchResult(index=3, key="d", error=SkippedError()), {"status": "skipped", "ok": False}),
    (
        BatchResult(index=4, key="e", error=BadRequestError("No.", status=400, code="bad", request_id="req_1")),
        {"status": "not_started", "error_code": "bad", "request_id": "req_1"},
    ),
    (
        BatchResult(index=5, key="f", error=APITimeoutError(timeout=5.0, request_id="req_2")),
        {"error_code": None, "request_id": "req_2"},
    ),
    (
        BatchResult(index=6, key="g", error=Unreadable()),
        {"error_type": "Unreadable", "error": "(its message cannot be read)", "error_code": None, "request_id": None},
    ),
    (
        BatchResult(index=7, key="\ud83d", run=HOSTILE, files=(Path("a\udcff.png"),)),
        {
            "key": "\ufffd",
            "run_id": "\ufffd",
            "output_texts": ["\ufffd"],
            "output_urls": ["https://media.flora.ai/a.png"],
            "files": ["a\ufffd.png"],
        },
    ),
]


def documented_names(heading: str) -> list[str]:
    section = BATCHES.read_text("utf-8").partition(heading)[2].partition("\n## ")[0]
    return [
        name for row in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    ]


def test_a_record_has_the_documented_names_and_data_that_every_reader_accepts() -> None:
    names = documented_names("\n### As flat records\n")
    with Sweep() as sweep:
        for result, expected in RESULTS:
            with sweep.row(str(result.index)):
                record = result.to_dict()
                assert list(record) == names
                assert {name: record[name] for name in expected} == expected
                assert (record["index"], record["attempts"]) == (result.index, result.attempts)
                text = json.dumps(record, ensure_ascii=False, allow_nan=False)
                assert json.loads(text.encode()) == record


async def test_a_batch_yields_the_record_of_each_result(fake: FakeFlora, flora: FloraSession, tmp_path: Path) -> None:
    fake.add_technique(FakeTechnique("poster", run_cost=0.05))
    rows: list[Row] = [
        RunRequest({"prompt": "a"}, key="text"),
        RunRequest({"prompt": "b"}, key="media", technique_id="poster"),
        RunRequest({"prompt": "c"}, key="failing", technique_id="always-fails"),
        RunRequest({"prompt": 5}, key="bad"),  # type: ignore[dict-item]  # the mistake itself
    ]
    async with flora.batch("caption", rows, save_to=tmp_path) as batch:
        records = {record["key"]: record async for record in batch.records()}
    assert {key: record["status"] for key, record in records.items()} == {
        "text": "completed",
        "media": "completed",
        "failing": "failed",
        "bad": "not_started",
    }
    assert (records["text"]["output_texts"], records["text"]["output_urls"]) == (["Caption: a"], [])
    assert (records["media"]["output_texts"], len(records["media"]["output_urls"])) == ([], 1)
    assert [Path(file).read_text("utf-8") for file in records["text"]["files"]] == ["Caption: a"]
    assert records["media"]["cost"] == 0.05
    assert records["text"]["seconds"] >= 0


async def test_the_record_of_a_start_in_doubt_has_its_key(fake: FakeFlora, session_on: OpenSession) -> None:
    flora = session_on(fake, retry=UNRESOLVED)
    fake.inject(Drop(acts=True), on="start", times=None)
    (result,) = await flora.run_all("caption", [{"prompt": "a"}])
    record = result.to_dict()
    (key,) = {request.headers["Idempotency-Key"] for request in fake.requests if request.operation == "start"}
    assert (record["status"], record["idempotency_key"]) == ("in_doubt", key)


class Stream:
    """A source whose class has a length and whose instance has none."""

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    def __iter__(self) -> Iterator[Row]:
        yield {"prompt": "a"}

    def __len__(self) -> int:
        raise self._error


async def generated() -> AsyncIterator[Row]:
    yield {"prompt": "a"}


def test_the_total_is_known_before_anything_is_read_if_the_source_has_a_length(flora: FloraSession) -> None:
    rows: list[Row] = [{"prompt": "a"}]
    sources: list[tuple[Any, int | None]] = [(rows * 3, 3), ((), 0), (iter(rows), None), (generated(), None)]
    sources += [(Stream(TypeError), None), (Stream(NotImplementedError), None)]
    assert [flora.batch("caption", source).summary.total for source, _ in sources] == [total for _, total in sources]


async def test_a_summary_says_how_many_rows_have_ended_and_is_plain_data(flora: FloraSession) -> None:
    seen: list[BatchSummary] = []
    rows: list[Row] = [{"prompt": "a"}, {"wrong": "b"}, {"prompt": "c"}]
    async with flora.batch("caption", rows, concurrency=1, on_progress=seen.append) as batch:
        async for _ in batch:
            if len(seen) == 2:
                break
    assert [summary.ended for summary in seen] == [1, 2]
    assert [(summary.completed, summary.failed) for summary in seen] == [(1, 0), (1, 1)]
    assert " of 3 rows " in str(seen[0])
    plain = batch.summary.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert (plain["total"], plain["ended"], plain["in_flight"]) == (3, 2, list(batch.summary.in_flight))


def test_every_field_of_a_summary_is_documented(flora: FloraSession) -> None:
    names = documented_names("\n## Summary and progress\n")
    assert sorted(names) == sorted(flora.batch("caption", []).summary.to_dict())
