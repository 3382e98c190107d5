"""Batches of generations, of actions and of everything at once keep the promises that batches of techniques keep."""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import UNRESOLVED, OpenSession

from flora_async import (
    ActionRequest,
    BudgetExceededError,
    FloraSession,
    GenerationRequest,
    InputError,
    NotFoundError,
    RunInput,
    RunRequest,
    SessionClosedError,
    SubmissionUnknownError,
)
from flora_async.batch import Batch, BatchResult
from flora_async.batch.records import encode_entry
from flora_async.batch.sqlite import SqliteJournal
from flora_async.batch.techniques import plan_technique
from flora_async.testing import Drop, FakeAction, FakeFlora, FakeModel, FakeTechnique, RecordedRequest, Status

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
PROJECT = "prj_local"
STARTS = {"technique": "start", "generation": "generations.create", "action": "actions.run"}
KINDS = tuple(STARTS)


def batch_of(
    flora: FloraSession, kind: str, count: int, *, source: Callable[[list[Any]], Iterable[Any]] = iter, **options: Any
) -> Batch:
    """A batch of rows with the keys `row-0`, `row-1` …, whose runs cost 0.1 USD each."""
    numbers = range(count)
    if kind == "technique":
        rows = [RunRequest({"prompt": f"row {n}"}, key=f"row-{n}") for n in numbers]
        return flora.batch("priced", source(rows), **options)
    if kind == "generation":
        prompts = [GenerationRequest(f"row {n}", key=f"row-{n}") for n in numbers]
        return flora.generations.batch(source(prompts), model="priced", project_id=PROJECT, **options)
    actions = [ActionRequest([{"type": "text", "text": f"row {n}"}], key=f"row-{n}") for n in numbers]
    return flora.actions.batch("priced", source(actions), project_id=PROJECT, **options)


def starts(fake: FakeFlora) -> list[RecordedRequest]:
    return [request for request in fake.requests if request.operation in STARTS.values()]


@pytest.fixture
def priced(fake: FakeFlora) -> FakeFlora:
    add_priced(fake)
    return fake


def add_priced(fake: FakeFlora, running: float = 0.02) -> None:
    times: dict[str, Any] = {"run_cost": 0.1, "running": running}
    fake.add_technique(FakeTechnique("priced", **times))
    fake.add_model(FakeModel("priced", "text", **times))
    fake.add_action(FakeAction("priced", inputs={"text": "text"}, outputs={"text": "text"}, **times))


async def results_of(batch: Batch) -> dict[str, Any]:
    async with batch:
        return {result.key: result async for result in batch}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_row_of_any_kind_has_one_run_and_a_journal_keeps_it(
    priced: FakeFlora, flora: FloraSession, tmp_path: Path, kind: str
) -> None:
    journal = tmp_path / "batch.sqlite"
    first = await results_of(batch_of(flora, kind, 12, journal=journal, save_to=tmp_path / "out"))
    assert all(result.ok and len(result.files) == 1 for result in first.values())
    assert {result.files[0].name.partition("-run_")[0] for result in first.values()} == set(first)
    again = batch_of(flora, kind, 12, journal=journal)
    second = await results_of(again)
    assert {key: result.run for key, result in second.items()} == {key: result.run for key, result in first.items()}
    assert all(result.resumed for result in second.values())
    assert again.summary.cost == pytest.approx(1.2)
    assert len(priced.runs) == 12


@pytest.mark.parametrize("kind", KINDS)
async def test_a_batch_of_any_kind_stays_within_its_budget_over_calls(
    priced: FakeFlora, flora: FloraSession, tmp_path: Path, kind: str
) -> None:
    journal = tmp_path / "batch.sqlite"
    for budget, runs in ((0.5, 5), (0.75, 7)):
        batch = batch_of(flora, kind, 10, journal=journal, max_cost=budget)
        results = await results_of(batch)
        assert sum(isinstance(result.error, BudgetExceededError) for result in results.values()) == 10 - runs
        assert len(priced.runs) == runs
        assert batch.summary.cost == pytest.approx(runs * 0.1)


@pytest.mark.parametrize("kind", ["technique", "generation"])
async def test_a_run_whose_answer_was_lost_is_found_in_the_history_of_its_kind(
    priced: FakeFlora, flora: FloraSession, kind: str
) -> None:
    priced.inject(Drop(acts=True), on=STARTS[kind], after=2)
    results = await results_of(batch_of(flora, kind, 4, concurrency=1))
    assert [result.ok for result in results.values()] == [True] * 4
    assert [result.run.adopted for result in results.values()] == [False, False, True, False]
    assert len(priced.runs) == 4


async def test_an_action_whose_answer_was_lost_is_in_doubt_and_is_never_started_twice(
    priced: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    journal = tmp_path / "batch.sqlite"
    priced.inject(Drop(acts=True), on="actions.run")
    for _ in range(2):
        results = await results_of(batch_of(flora, "action", 2, concurrency=1, journal=journal))
        error = results["row-0"].error
        assert isinstance(error, SubmissionUnknownError)
        assert error.idempotency_key == priced.runs[0].idempotency_key
        assert results["row-1"].ok
    assert len(priced.runs) == 2


async def test_an_action_is_asked_for_again_under_its_key_where_flora_replays_answers(
    session_on: OpenSession,
) -> None:
    async with FakeFlora(idempotency="replay") as fake:
        add_priced(fake)
        fake.inject(Drop(acts=True), on="actions.run")
        results = await results_of(batch_of(session_on(fake), "action", 2))
        assert all(result.ok for result in results.values())
        assert len(fake.runs) == 2


@pytest.mark.parametrize("kind", KINDS)
async def test_a_start_in_doubt_of_any_kind_is_sent_again_as_it_was_by_the_next_call(
    session_on: OpenSession, tmp_path: Path, kind: str
) -> None:
    journal = tmp_path / "batch.sqlite"
    async with FakeFlora(idempotency="replay") as fake:
        add_priced(fake)
        fake.inject(Status(504, acts=True), on=STARTS[kind])
        first = await results_of(batch_of(session_on(fake, retry=UNRESOLVED), kind, 3, journal=journal, concurrency=1))
        assert [type(result.error) for result in first.values()] == [SubmissionUnknownError, type(None), type(None)]
        second = await results_of(batch_of(session_on(fake), kind, 3, journal=journal))
        assert all(result.ok for result in second.values())
        assert len(fake.runs) == 3
        sent = starts(fake)
        again = [request for request in sent if request.json == sent[0].json]
        assert len(again) == 2
        assert again[0].headers["Idempotency-Key"] == again[1].headers["Idempotency-Key"]


CHILD = """
import asyncio, sys
sys.path[:0] = sys.argv[3].split("|")
from test_batch_kinds import batch_of
from flora_async import FloraSession, PollPolicy, RetryPolicy

async def main():
    async with FloraSession(
        retry=RetryPolicy(initial=0.01, maximum=0.05, settle=0.1), poll=PollPolicy(initial=0.01, maximum=0.05)
    ) as flora:
        async with batch_of(flora, sys.argv[1], 20, journal=sys.argv[2], concurrency=6) as batch:
            async for result in batch:
                print(result.key, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", KINDS)
async def test_a_batch_of_any_kind_that_was_killed_is_resumed_and_pays_once(tmp_path: Path, kind: str) -> None:
    journal = tmp_path / "batch.sqlite"
    folder = str(Path(__file__).parent)
    async with FakeFlora(idempotency="replay") as fake:
        add_priced(fake)
        environment = {**os.environ, "FLORA_API_KEY": fake.api_key, "FLORA_BASE_URL": fake.base_url}
        paths = f"{folder}|{Path(folder).parent}"
        command = [sys.executable, "-c", CHILD, kind, str(journal), paths]
        child = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(5):
            assert await child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        await child.communicate()
        child = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.PIPE)
        output, _ = await child.communicate()
        assert sorted(output.decode().split()) == sorted(f"row-{number}" for number in range(20))
        assert sorted(run.idempotency_key or "" for run in fake.runs) == sorted(
            {run.idempotency_key or "" for run in fake.runs}
        )
        assert len(fake.runs) == 20


FIELDS = (
    "a row has no field 'idempotency_key': it takes prompt, key, model, type, params, project_id, workspace_id, "
    "callback_url, metadata"
)


async def test_a_row_that_is_wrong_is_one_result_and_sends_nothing(fake: FakeFlora, flora: FloraSession) -> None:
    rows: list[Any] = [
        "a red bicycle",
        "",
        {"prompt": "x", "idempotency_key": "mine"},
        {"model": "flux-pro"},
        GenerationRequest("x", model="flux-por"),
        GenerationRequest("x", params={"aspect": "1:1"}),
        GenerationRequest("x", type="sculpture"),  # type: ignore[arg-type]  # the mistake itself
        GenerationRequest("x", workspace_id="prj_1"),
        GenerationRequest("x", params={"seed": object()}),
        RunRequest({"prompt": "x"}),
        ActionRequest([{"type": "text", "text": "x"}]),
        5,
    ]
    results = await flora.generations.run_all(rows, model="flux-pro", project_id=PROJECT)
    assert [result.ok for result in results] == [True] + [False] * 11
    assert [str(result.error) for result in results[1:5]] == [
        "prompt must not be blank: leave it out, or say what it is",
        FIELDS,
        "a row needs the field 'prompt', and has 'model'",
        "Inputs of 'flux-por': 'model' 'flux-por' is unknown: did you mean 'flux-pro'?",
    ]
    assert isinstance(results[5].error, InputError)
    assert all(isinstance(result.error, TypeError | ValueError) for result in results[6:])
    assert len(fake.runs) == 1


async def test_arguments_of_a_batch_are_defaults_for_its_rows(fake: FakeFlora, flora: FloraSession) -> None:
    rows: list[Any] = [
        "plain",
        {"prompt": "more", "params": {"aspect_ratio": "16:9"}, "callback_url": "https://example.com/hook"},
        GenerationRequest("other", model="storyteller", metadata={"mine": 1}),
    ]
    results = await flora.generations.run_all(
        rows, model="flux-pro", params={"aspect_ratio": "1:1"}, project_id=PROJECT
    )
    assert [result.ok for result in results] == [True] * 3, [result.error for result in results]
    bodies = {request.json["prompt"]: request.json for request in starts(fake)}
    assert bodies["plain"] == {
        "type": "image",
        "prompt": "plain",
        "workspace_id": "ws_local",
        "project_id": PROJECT,
        "model": "flux-pro",
        "params": {"aspect_ratio": "1:1"},
    }
    assert bodies["more"]["params"] == {"aspect_ratio": "16:9"}
    assert bodies["more"]["callback_url"] == "https://example.com/hook"
    assert (bodies["other"]["type"], bodies["other"]["model"]) == ("text", "storyteller")
    assert "params" not in bodies["other"]
    assert results[2].request is not None
    assert results[2].request.metadata == {"mine": 1}


async def test_files_of_generations_and_actions_are_uploaded_once_and_first(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(PNG)
    fake.add_model(FakeModel("i2i-edit", "image"))
    rows: list[Any] = [
        GenerationRequest("x", model="i2i-edit", params={"image_url": photo}, project_id=PROJECT),
        RunRequest({"input_image": photo}, technique_id="cctv-cam"),
    ]
    journal = tmp_path / "batch.sqlite"
    for _ in range(2):
        results = await flora.run_all("caption", rows, journal=journal)
        assert [result.ok for result in results] == [True] * 2, [result.error for result in results]
    assert (len(fake.assets), len(fake.runs)) == (1, 2)
    photo.write_bytes(PNG + b"changed")
    await flora.run_all("caption", rows, journal=journal)
    assert (len(fake.assets), len(fake.runs)) == (2, 4)
    rotate = ActionRequest([{"type": "image", "url": photo}], action_id="rotate-image-browser", project_id=PROJECT)
    await flora.run_all("caption", [rotate])
    (request,) = [request for request in fake.requests if request.operation == "actions.run"]
    assert request.json["inputs"][0]["url"] == (await flora.assets.retrieve(fake.assets[-1].asset_id)).url
    assert len(fake.assets) == 2


async def test_rows_of_different_kinds_share_a_batch_its_journal_and_its_budget(
    priced: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    rows: list[Any] = []
    for number in range(4):
        rows += [
            RunRequest({"prompt": f"row {number}"}, key=f"t{number}", technique_id="priced"),
            GenerationRequest(f"row {number}", key=f"g{number}", model="priced", project_id=PROJECT),
            ActionRequest([{"type": "text", "text": "x"}], key=f"a{number}", action_id="priced", project_id=PROJECT),
        ]
    journal = tmp_path / "batch.sqlite"
    batch = flora.batch("caption", rows, journal=journal, max_cost=1.2, watch="list")
    results = await results_of(batch)
    assert all(result.ok for result in results.values()), [result.error for result in results.values()]
    assert batch.summary.cost == pytest.approx(1.2)
    assert sorted(run.kind for run in priced.runs) == ["action"] * 4 + ["generation"] * 4 + ["technique"] * 4
    again = flora.generations.batch(rows, journal=journal)
    assert all(result.resumed for result in (await results_of(again)).values())
    assert len(priced.runs) == 12


async def test_a_price_of_one_kind_says_nothing_about_another(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("cheap", run_cost=0.01))
    fake.add_model(FakeModel("dear", "text", run_cost=0.9))
    rows: list[Any] = [
        GenerationRequest("x", model="dear", project_id=PROJECT),
        *[RunRequest({"prompt": f"row {number}"}, technique_id="cheap") for number in range(5)],
        GenerationRequest("y", model="dear", project_id=PROJECT),
    ]
    async with flora.batch("cheap", rows, max_cost=0.95) as batch:
        results = sorted([result async for result in batch], key=lambda result: result.index)
    assert [result.ok for result in results] == [True] * 6 + [False]
    assert isinstance(results[-1].error, BudgetExceededError)
    assert batch.summary.cost == pytest.approx(0.95)


async def test_an_action_that_does_not_exist_stops_its_batch_and_not_one_whose_row_named_it(
    flora: FloraSession,
) -> None:
    rows = [[{"type": "text", "text": "x"}]] * 2
    results = await flora.actions.run_all("concat-txt", rows, project_id=PROJECT)
    assert isinstance(results[0].error, NotFoundError)
    assert "did you mean 'concat-text-browser'?" in str(results[0].error)
    assert results[1].skipped
    mixed: list[Any] = [ActionRequest(rows[0], action_id="concat-txt", project_id=PROJECT), {"prompt": "x"}]
    named, other = await flora.run_all("caption", mixed)
    assert isinstance(named.error, NotFoundError)
    assert other.ok


async def test_the_type_of_a_generation_is_what_its_model_makes(fake: FakeFlora, flora: FloraSession) -> None:
    (result,) = await flora.generations.run_all(["x"], model="veo-3", project_id=PROJECT, check=False)
    assert result.ok
    assert [request.json["type"] for request in starts(fake)] == ["video"]
    (result,) = await flora.generations.run_all(["x"], project_id=PROJECT)
    assert str(result.error) == "type is needed where no model is named: 'image', 'video', 'audio' or 'text'"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_source_that_raises_ends_a_batch_of_any_kind_after_its_last_result(
    priced: FakeFlora, flora: FloraSession, kind: str
) -> None:
    closed = []

    def broken(rows: list[Any]) -> Iterator[Any]:
        try:
            yield from rows
            raise LookupError("line 4 is missing")
        finally:
            closed.append(True)

    results = []
    with pytest.raises(LookupError, match="line 4"):
        async with batch_of(flora, kind, 3, source=broken) as batch:
            async for result in batch:
                results.append(result)  # noqa: PERF401 - what comes before the error counts
    assert [result.ok for result in results] == [True] * 3
    assert (len(priced.runs), closed) == (3, [True])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_consumer_that_leaves_finds_its_runs_again_in_the_next_call(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path, kind: str
) -> None:
    add_priced(fake, running=float("inf"))
    journal = tmp_path / "batch.sqlite"
    async with batch_of(flora, kind, 6, journal=journal, concurrency=6) as batch:
        reading = asyncio.ensure_future(anext(batch))
        while len(batch.summary.in_flight) < 6:
            await asyncio.sleep(0.001)
        reading.cancel()
        await asyncio.wait([reading])
    assert sorted(batch.summary.in_flight) == sorted(run.run_id for run in fake.runs)
    assert not [task for task in asyncio.all_tasks() if "flora_async/batch" in repr(task)]
    for run in fake.runs:
        fake.finish(run.run_id)
    results = await results_of(batch_of(flora, kind, 6, journal=journal))
    assert all(result.ok and result.resumed for result in results.values())
    assert len(fake.runs) == 6


@pytest.mark.parametrize("kind", KINDS)
async def test_a_session_that_closes_stops_a_batch_of_any_kind_and_loses_no_run(
    fake: FakeFlora, session_on: OpenSession, tmp_path: Path, kind: str
) -> None:
    add_priced(fake, running=float("inf"))
    journal, flora = tmp_path / "batch.sqlite", session_on(fake)
    batch = batch_of(flora, kind, 6, journal=journal, concurrency=3)
    results: list[BatchResult] = []
    with pytest.raises(SessionClosedError):
        async with batch:
            reading = asyncio.ensure_future(anext(batch))
            while len(batch.summary.in_flight) < 3:
                await asyncio.sleep(0.001)
            await flora.close()
            results = [await reading] + [result async for result in batch]
    started = [result for result in results if not result.skipped]
    assert sorted(result.run.run_id for result in started if result.run) == sorted(run.run_id for run in fake.runs)
    assert len(results) == 6
    for run in fake.runs:
        fake.finish(run.run_id)
    add_priced(fake)
    again = await results_of(batch_of(session_on(fake), kind, 6, journal=journal))
    assert all(result.ok for result in again.values())
    assert len(fake.runs) == 6


# A journal that was written before there were batches of other kinds, and the rows that it is about.
EARLIER = Path(__file__).with_name("journal_of_techniques.sqlite")
EARLIER_ROWS = [
    RunRequest({"prompt": "a red bicycle"}, key="done"),
    RunRequest([RunInput("prompt", "text", "a blue boat")], key="late"),
    RunRequest({"prompt": "a green door"}, key="running", callback_url="https://example.com/hook"),
    RunRequest({"prompt": "ein gelbes Haus"}, key="doubtful"),
    RunRequest({"input_image": PNG}, key="file", technique_id="cctv-cam"),
    RunRequest({"prompt": "a white horse"}, key="refused"),
]


async def test_a_journal_of_before_names_the_same_rows_starts_and_runs(tmp_path: Path) -> None:
    journal = Path(shutil.copy(EARLIER, tmp_path))
    with closing(sqlite3.connect(journal)) as database:
        written = database.execute("SELECT key, digest, idempotency_key, details FROM rows").fetchall()
    recorded = {key: tuple(values) for key, *values in written}
    file = await SqliteJournal.open(journal, None)
    for index, request in enumerate(EARLIER_ROWS):
        row = await plan_technique(request, str(request.key), index, request.technique_id or "caption")
        entry = await file.find(row)
        assert entry is not None
        details = encode_entry(row, entry, "fixture").details.decode()
        assert recorded[row.key] == (row.digest, row.idempotency_key("fixture", entry.attempt), details)
    assert await file.open_rows() == ["technique:caption", "technique:caption", "technique:cctv-cam"]
    assert await file.costs() == [("technique:caption", 0.01)]
    await file.close()


async def test_a_batch_of_before_is_resumed_and_only_what_was_refused_is_started(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    journal = Path(shutil.copy(EARLIER, tmp_path))
    results = {result.key: result for result in await flora.run_all("caption", EARLIER_ROWS, journal=journal)}
    assert (results["done"].resumed, results["late"].resumed) == (True, True)
    assert isinstance(results["running"].error, NotFoundError)  # this FLORA has never had the run
    for key in ("doubtful", "file"):  # their keys have expired
        assert isinstance(results[key].error, SubmissionUnknownError)
    assert results["refused"].ok
    assert len(starts(fake)) == 1
