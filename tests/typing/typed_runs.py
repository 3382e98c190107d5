"""What a type checker says of a user's program that starts runs, waits for them and reads lists.

Nothing here is executed: mypy and pyright read it, and each `type: ignore` marks a mistake that they must find.
"""

from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

from flora_async import (
    FloraSession,
    InputValue,
    OutputType,
    Page,
    Pager,
    PollPolicy,
    RetryPolicy,
    Run,
    RunInput,
    RunOutput,
    RunStatus,
    Technique,
    TechniqueInput,
    TechniqueRun,
    to_dict,
    wait_for_run,
    watch_run,
)
from flora_async.models import Asset, Generation, GenerationModel, RunTicket, TechniqueTicket


def show(run: Run) -> None:
    assert_type(run.status, RunStatus | str)


async def show_later(run: Run) -> None:
    assert_type(run.progress, float)


async def start_and_wait() -> None:
    async with FloraSession("sk_live_1", retry=RetryPolicy(attempts=None), poll=PollPolicy(timeout=None)) as flora:
        assert_type(flora, FloraSession)
        run = await flora.techniques.runs.create("caption", inputs={"prompt": "a red bicycle"})
        assert_type(run, Run)
        assert_type(await flora.wait_for_run(run), Run)
        assert_type(await flora.wait_for_run(run.run_id, timeout=None, on_update=show), Run)
        assert_type(await wait_for_run(flora, run, raise_on_failure=True, on_update=show_later), Run)
        assert_type(flora.watch_run(run), AsyncGenerator[Run, None])
        async for update in watch_run(flora, run, poll=PollPolicy(), timeout=5):
            assert_type(update, Run)
        assert_type(await flora.run("caption", [RunInput("prompt", "text", "a red bicycle")]), Run)
        assert_type(await flora.run("cctv-cam", {"input_image": Path("photo.png"), "note": "x"}), Run)
        ticket = await flora.generations.create(type="image", prompt="x", workspace_id="ws_1", project_id="prj_1")
        assert_type(ticket, RunTicket)
        assert_type(await flora.wait_for_run(ticket), Run)
        params = {"image_url": Path("photo.png"), "seed": 5}
        assert_type(await flora.generate("x", type="video", model="i2v-1", params=params, project_id="prj_1"), Run)
        await flora.generate("x", type="sculpture", project_id="prj_1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        several = await flora.runs.start_technique(technique_id="tech_1", inputs={"prompt": ["a", "b"]}, check=True)
        assert_type(several, TechniqueTicket)
        assert_type([await flora.wait_for_run(started) for started in several.runs or (several,)], list[Run])


def read_a_run(run: Run) -> None:
    assert_type(run.charged_cost, float | None)
    assert_type(run.created_at, datetime | None)
    assert_type(run.duration, float | None)
    assert_type(run.raise_if_failed(), Run)
    assert_type(run.outputs, tuple[RunOutput, ...])
    for output in run.outputs:
        assert_type(output.type, OutputType | str)
        assert_type(output.text, str | None)
    assert_type(to_dict(run), dict[str, Any])
    run.status = RunStatus.FAILED  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


async def read_lists(flora: FloraSession) -> None:
    history = flora.techniques.runs.list(status="completed")
    assert_type((history, flora.generations.list()), tuple[Pager[TechniqueRun], Pager[Generation]])
    assert_type(await history, Page[TechniqueRun])
    async for run in history:
        assert_type(run.raise_if_failed(), TechniqueRun)
    async for page in history.pages():
        assert_type(page.items, tuple[TechniqueRun, ...])
        assert_type(page.next_cursor, str | None)
    async for technique in flora.techniques.list(query="cam"):
        assert_type(technique, Technique)
        assert_type(technique.inputs, tuple[TechniqueInput, ...])
        assert_type(technique.run_cost, float | None)
    assert_type([model.name async for model in flora.models.list(type="image")], list[str])
    assert_type((await flora.models.list()).items, tuple[GenerationModel, ...])


async def move_files(flora: FloraSession, run: Run) -> None:
    asset = await flora.assets.upload(Path("photo.png"))
    assert_type(asset, Asset)
    assert_type(await flora.download(run.outputs[0], "results"), Path)
    assert_type(await flora.save_outputs(run, Path("results")), tuple[Path, ...])
    assert_type(asset.url, str | None)
    values: dict[str, InputValue] = {"input_image": b"\x89PNG", "prompt": "a red bicycle"}
    assert_type(await flora.run("cctv-cam", values), Run)


async def make_mistakes(flora: FloraSession, run: Run) -> None:
    await flora.run("caption", {5: "a red bicycle"})  # type: ignore[dict-item] # pyright: ignore[reportArgumentType]
    await flora.wait_for_run(5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await flora.wait_for_run(run, timeout="5")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    FloraSession(retry=PollPolicy())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await flora.techniques.runs.create("caption", {})  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
