"""The scripts of the documentation, run as their reader runs them."""

import asyncio
import csv
import io
import json
import os
import re
import runpy
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, redirect_stdout
from math import inf
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from uvicorn_server import served_by_uvicorn

from flora_async.testing import FakeFlora, FakeTechnique, Status

EXAMPLES: Final = Path(__file__).parents[2] / "docs" / "examples"

with (EXAMPLES / "markets.csv").open(encoding="utf-8", newline="") as _lines:
    HEADLINES: Final = {row["market_code"]: row["headline"] for row in csv.DictReader(_lines)}


async def run_markets(*arguments: str, fake: FakeFlora, cwd: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / "markets.py"),
        *arguments,
        cwd=cwd,
        env={
            **os.environ,
            "FLORA_API_KEY": fake.api_key,
            "FLORA_BASE_URL": fake.base_url,
            "PYTHONIOENCODING": "utf-8",
            "PYTHONWARNINGS": "error",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


def test_the_csv_has_twelve_markets_with_a_headline_each() -> None:
    assert len(HEADLINES) == 12
    assert all(headline.strip() for headline in HEADLINES.values())


async def test_the_markets_are_saved_by_their_codes_and_paid_for_once(fake: FakeFlora, tmp_path: Path) -> None:
    printed = await run_markets(fake=fake, cwd=tmp_path)
    saved = {file.stem: file.read_text(encoding="utf-8") for file in (tmp_path / "markets").glob("*.txt")}
    assert saved == {code: f"Caption: {headline}" for code, headline in HEADLINES.items()}
    assert "12 completed, 0 failed, 0 skipped of 12 rows (0 resumed, 0 in flight) for 0.12 USD" in printed

    (tmp_path / "markets" / "de-DE.txt").unlink()
    asked = len(fake.requests)
    printed = await run_markets(fake=fake, cwd=tmp_path)
    assert len(fake.runs) == 12
    assert len(fake.requests) == asked
    assert printed.count("was done before") == 12
    assert (tmp_path / "markets" / "de-DE.txt").exists()


async def test_files_of_markets_are_fetched_without_the_key(fake: FakeFlora, tmp_path: Path) -> None:
    fake.add_technique(FakeTechnique("poster"))
    await run_markets("poster", "posters", fake=fake, cwd=tmp_path)
    assert {file.name for file in (tmp_path / "posters").glob("*.png")} == {f"{code}.png" for code in HEADLINES}
    fetched = [request for request in fake.requests if request.operation == "media"]
    assert len(fetched) == 12
    assert not any("Authorization" in request.headers for request in fetched)


@pytest.mark.skipif(sys.platform == "win32", reason="event loops have no signal handlers there")
@pytest.mark.parametrize("stopped", [False, True], ids=["killed", "stopped"])
async def test_a_worker_that_ends_early_is_continued_and_no_job_is_paid_for_twice(
    fake: FakeFlora, tmp_path: Path, *, stopped: bool
) -> None:
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as database:
        database.execute(str(runpy.run_path(str(EXAMPLES / "worker.py"))["TABLE"]))
        database.executemany("INSERT INTO jobs (prompt) VALUES (?)", [(f"bicycle {number}",) for number in range(12)])
        database.commit()
        fake.add_technique(FakeTechnique("caption", outputs={"output_1": "text"}, running=inf))
        first = await start_worker(fake, tmp_path)
        while len({request.path for request in fake.requests if request.operation == "poll"}) < 4:
            assert first.returncode is None
            await asyncio.sleep(0.001)

        first.send_signal(signal.SIGTERM if stopped else signal.SIGKILL)
        if not stopped:
            await first.communicate()
        begun = list(fake.runs)
        assert len(begun) == 4
        fake.add_technique(FakeTechnique("caption", outputs={"output_1": "text"}, running=0.01))
        for run in begun:
            fake.finish(run.run_id)
        if stopped:
            output, _ = await first.communicate()
            assert first.returncode == 0, output.decode()
            assert fake.runs == tuple(begun)

        second = await start_worker(fake, tmp_path)
        output, _ = await second.communicate()
        assert second.returncode == 0, output.decode()
        captions = {caption for (caption,) in database.execute("SELECT caption FROM jobs")}
    assert captions == {f"Caption: bicycle {number}" for number in range(12)}
    assert len(fake.runs) == 12


async def start_worker(fake: FakeFlora, cwd: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / "worker.py"),
        cwd=cwd,
        env={**os.environ, "FLORA_API_KEY": fake.api_key, "FLORA_BASE_URL": fake.base_url, "PYTHONWARNINGS": "error"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


def test_the_diagram_of_a_start_is_what_its_script_draws() -> None:
    with redirect_stdout(io.StringIO()) as drawn:
        runpy.run_path(str(EXAMPLES.parent / "images" / "start_states.py"))
    assert (EXAMPLES.parent / "images" / "start_states.svg").read_text(encoding="utf-8") == drawn.getvalue()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_pictures_of_the_command_line_are_taken_from_it(tmp_path: Path) -> None:
    images = EXAMPLES.parent / "images"
    command = [sys.executable, str(images / "screenshots.py"), str(tmp_path), "--cli"]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own script
    assert {picture.name for picture in tmp_path.iterdir()} == {"cli_batch.svg", "cli_run.svg"}
    for name, words in {
        "cli_run.svg": ["techniques show poster", "run cost", "running", "about", "left"],
        "cli_batch.svg": ["batch poster posters.csv", "completed", "/12 rows", "about", "left"],
    }.items():
        for folder in (tmp_path, images):
            shown = re.sub(r"&#160;|\s+", " ", (folder / name).read_text("utf-8"))
            assert [word for word in words if word not in shown] == []
            assert not re.search(r"(href|src|url)\W+http", shown)  # nothing is loaded from elsewhere


async def test_the_service_answers_with_the_run_as_json(
    fake: FakeFlora, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLORA_API_KEY", fake.api_key)
    monkeypatch.setenv("FLORA_BASE_URL", fake.base_url)
    async with served_by_uvicorn(runpy.run_path(str(EXAMPLES / "service.py"))["app"]) as url:
        async with http.post(f"{url}/captions", params={"prompt": "a red bicycle"}) as response:
            run = await response.json()
        (paid,) = fake.runs
        assert (response.status, run["runId"], run["status"]) == (200, paid.run_id, "completed")
        assert run["outputs"][0]["url"] == "Caption: a red bicycle"

        fake.inject(Status(402, code="insufficient_credits"), on="start")
        async with http.post(f"{url}/captions", params={"prompt": "a blue boat"}) as response:
            answer = await response.json()
        assert (response.status, answer["detail"]["run_id"]) == (502, None)
        assert "insufficient_credits" in answer["detail"]["error"]


async def test_the_traced_program_prints_a_span_for_each_run_and_request_below_its_own(
    fake: FakeFlora, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / "traced.py"),
        cwd=tmp_path,
        env={**os.environ, "FLORA_API_KEY": fake.api_key, "FLORA_BASE_URL": fake.base_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaints = await process.communicate()
    assert (process.returncode, complaints.decode()) == (0, "")
    output = printed.decode()
    assert fake.api_key not in output
    values = [value for value in json_values(output) if "span_id" in str(value.get("context"))]
    (own,) = [span for span in values if span["name"] == "captions"]
    runs = [span for span in values if span["name"] == "invoke_workflow caption"]
    assert {span["attributes"]["flora.run.id"] for span in runs} == {run.run_id for run in fake.runs}
    assert {span["parent_id"] for span in values if span is not own} == {own["context"]["span_id"]}
    assert len(values) == 1 + len(runs) + len(fake.requests)
    (metrics,) = [value for value in json_values(output) if "resource_metrics" in value]
    assert {"flora.run.count", "flora.run.cost", "flora.poll.count"} <= set(re.findall(r"flora[\w.]+", str(metrics)))


def json_values(text: str) -> list[dict[str, Any]]:
    """The JSON objects that were printed one after another."""
    decoder, values, position = json.JSONDecoder(), [], 0
    while (position := text.find("{", position)) >= 0:
        value, position = decoder.raw_decode(text, position)
        values.append(value)
    return values
