"""Outcomes that a test plans for runs that do not exist yet."""

from pathlib import Path

import pytest

from flora_async import FloraSession
from flora_async.testing import FakeFlora


async def test_planned_failures_let_some_runs_pass_and_then_happen_so_many_times(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.fail("caption", code="model_timeout", message="Too slow.", after=1, times=2)
    runs = [await flora.run("caption", {"prompt": "x"}) for _ in range(4)]
    assert [run.error_code for run in runs] == [None, "model_timeout", "model_timeout", None]
    assert runs[1].error_message == "Too slow."
    assert [run.charged_cost for run in fake.runs] == [0.01, 0.0, 0.0, 0.01]


async def test_a_planned_outcome_is_that_of_the_row_with_these_inputs(fake: FakeFlora, flora: FloraSession) -> None:
    fake.fail(code="safety_blocked", inputs={"prompt": "row 2"})
    fake.produce("caption", outputs={"output_1": "My own words."}, inputs={"prompt": "row 1"})
    results = await flora.run_all("caption", [{"prompt": f"row {number}"} for number in range(3)])
    assert [result.ok for result in results] == [True, True, False]
    assert [result.outputs[0].text for result in results[:2]] == ["Caption: row 0", "My own words."]


async def test_planned_outputs_are_files_of_the_storage_host(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    fake.produce("flux-pro", outputs={"output_1": b"\x89PNG my own picture"})
    run = await flora.generate("a cat", type="image", model="flux-pro", project_id="prj_local")
    saved = await flora.download(run.outputs[0], tmp_path / "cat.png")
    assert saved.read_bytes() == b"\x89PNG my own picture"


def test_an_outcome_that_can_never_happen_is_refused() -> None:
    fake = FakeFlora()
    with pytest.raises(LookupError, match="no technique, model or action 'captoin'"):
        fake.fail("captoin", code="model_timeout")
    with pytest.raises(ValueError, match=r"no outputs \['text'\]: it has \['output_1'\]"):
        fake.produce("caption", outputs={"text": "x"})
    with pytest.raises(ValueError, match="'output_1' is text: give it str"):
        fake.produce("caption", outputs={"output_1": b"x"})
    with pytest.raises(ValueError, match=r"no inputs \['promt'\]: it has \['prompt'\]"):
        fake.fail("caption", code="model_timeout", inputs={"promt": "x"})
    with pytest.raises(ValueError, match="code must not be blank"):
        fake.fail("caption", code=" ")
    with pytest.raises(ValueError, match="times"):
        fake.fail("caption", code="model_timeout", times=0)
