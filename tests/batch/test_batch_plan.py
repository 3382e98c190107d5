"""A plan says what a batch would do, and starts, uploads, writes and spends nothing."""

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import UNRESOLVED, OpenSession

from flora_async import (
    ActionRequest,
    AuthenticationError,
    FloraSession,
    GenerationRequest,
    InputError,
    JournalError,
    NotFoundError,
    RunRequest,
)
from flora_async.testing import FakeFlora, FakeModel, FakeTechnique, Status

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
PROJECT = "prj_local"


class Broken(Mapping[str, str]):
    """A row whose source fails in a way that nobody has foreseen."""

    def __getitem__(self, key: str) -> str:
        raise RuntimeError(key)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("the cursor is gone")

    def __len__(self) -> int:
        return 1


async def test_a_plan_of_rows_of_every_kind_says_what_each_would_be_and_sends_only_reads(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.add_model(FakeModel("unpriced", "text", estimated_credits=0))
    rows: list[Any] = [
        {"prompt": "x"},
        {"wrong": "x"},
        RunRequest({"input_image": PNG}, key="photo", technique_id="cctv-cam"),
        GenerationRequest("x", model="flux-pro", project_id=PROJECT),
        GenerationRequest("x", model="unpriced", project_id=PROJECT),
        GenerationRequest("x", model="flux-por", project_id=PROJECT),
        ActionRequest([{"type": "text", "text": "x"}], action_id="concat-text-browser", project_id=PROJECT),
        ActionRequest([{"type": "text", "text": "x"}], action_id="concat-txt", project_id=PROJECT),
        RunRequest({"prompt": "y"}, key="photo"),
        RunRequest({"prompt": "y"}, key="photo"),
        Broken(),
    ]
    plan = await flora.batch("caption", rows, max_cost=0.05).plan()
    assert [(row.index, row.key, row.kind, row.target) for row in plan.rows] == [
        (0, "0", "technique", "caption"),
        (2, "photo", "technique", "cctv-cam"),
        (3, "3", "generation", "flux-pro"),
        (4, "4", "generation", "unpriced"),
        (6, "6", "action", "concat-text-browser"),
        (8, "photo", "technique", "caption"),
    ]
    assert [(problem.index, type(problem.error)) for problem in plan.problems] == [
        (1, InputError),
        (5, InputError),
        (7, NotFoundError),
        (9, ValueError),
        (10, RuntimeError),
    ]
    prices = {row.target: row.price for row in plan.rows}
    assert (prices["caption"], prices["flux-pro"], prices["unpriced"]) == (0.01, 0.05, None)
    assert plan.cost == pytest.approx(sum(price or 0.0 for price in prices.values()) + 0.01)
    assert (plan.unpriced, plan.fits) == (1, False)
    assert {request.method for request in fake.requests} == {"GET"}
    assert (fake.runs, fake.assets) == ((), ())
    first, *lines = str(plan).splitlines()
    assert first.startswith("6 rows would be started (technique:caption: 2, ")
    assert first.endswith(" USD and 1 unknown price; max_cost=0.05 will not do for all of them; 5 rows have problems")
    assert [line.partition(":")[0] for line in lines] == [
        "  row 1 ('1')",
        "  row 5 ('5')",
        "  row 7 ('7')",
        "  row 9 ('photo')",
        "  row 10 ('10')",
    ]


async def test_a_plan_says_what_a_journal_has_done_and_does_not_change_or_create_it(
    fake: FakeFlora, flora: FloraSession, session_on: OpenSession, tmp_path: Path
) -> None:
    journal = tmp_path / "batch.sqlite"
    rows = [RunRequest({"prompt": f"row {number}"}, key=f"key-{number}") for number in range(6)]
    plan = await flora.batch("priced", rows, journal=journal, check=False).plan()
    assert (len(plan.rows), len(plan.problems)) == (0, 6)  # there is no such technique yet
    assert not list(tmp_path.iterdir())
    fake.add_technique(FakeTechnique("priced", run_cost=0.3, quote=0.1))
    fake.inject(Status(504, acts=True), on="start", after=1)
    fake.inject(Status(400), on="start", after=1)
    await session_on(fake, retry=UNRESOLVED).run_all("priced", rows[:4], journal=journal, concurrency=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    started = len(fake.runs)
    plan = await session_on(fake).batch("priced", rows, journal=journal, max_cost=2.0).plan()
    assert (plan.done, plan.under_way, len(plan.rows)) == (2, 1, 3)
    assert plan.spent == pytest.approx(0.6)
    assert plan.cost == pytest.approx(0.9)  # what runs have cost, not what they were said to
    assert plan.fits
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert len(fake.runs) == started


async def test_a_failed_run_that_would_be_run_again_is_in_the_plan(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    journal = tmp_path / "batch.sqlite"
    fake.add_technique(FakeTechnique("flaky", error_code="model_timeout"))
    rows = [RunRequest({"prompt": "x"}, key="a")]
    await flora.run_all("flaky", rows, journal=journal)
    once = await flora.batch("flaky", rows, journal=journal).plan()
    twice = await flora.batch("flaky", rows, journal=journal, run_attempts=2).plan()
    assert (once.done, len(once.rows), twice.done, len(twice.rows)) == (1, 0, 0, 1)


async def test_a_plan_takes_the_place_of_the_run_and_closes_the_source(flora: FloraSession) -> None:
    closed = []

    async def source() -> AsyncIterator[str]:
        try:
            yield "a red bicycle"
            raise LookupError("line 2 is missing")
        finally:
            closed.append(True)

    batch = flora.generations.batch(source(), model="flux-pro", project_id=PROJECT)
    with pytest.raises(LookupError, match="line 2"):
        await batch.plan()
    assert closed == [True]
    with pytest.raises(RuntimeError, match="planned or run once"):
        await batch.plan()
    with pytest.raises(RuntimeError):
        async with batch:
            pass


async def test_a_refused_key_ends_a_plan_and_is_not_the_fault_of_a_row(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    fake.inject(Status(401, code="invalid_api_key"), on="technique", times=None)
    fake.inject(Status(401, code="invalid_api_key"), on="models.list", times=None)
    with pytest.raises(AuthenticationError):
        await flora.batch("caption", [{"prompt": "x"}]).plan()
    with pytest.raises(AuthenticationError):
        await flora.generations.batch(["x", "y"], model="flux-pro", project_id=PROJECT).plan()
    (tmp_path / "batch.sqlite").write_bytes(b"something else")
    with pytest.raises(JournalError):
        await flora.batch("caption", [], journal=tmp_path / "batch.sqlite").plan()
