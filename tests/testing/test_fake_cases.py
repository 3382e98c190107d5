"""The three spellings of keys in answers of the local FLORA."""

from typing import Any

import aiohttp
from plain_client import Client, start_body

from flora_async.testing import (
    FakeFlora,
    VirtualClock,
)

RUN_KEYS = {
    "run_id",
    "status",
    "progress",
    "created_at",
    "started_at",
    "completed_at",
    "charged_cost",
    "error_code",
    "error_message",
    "outputs",
    "poll_url",
}
CAMEL_RUN_KEYS = {
    "runId",
    "status",
    "progress",
    "createdAt",
    "startedAt",
    "completedAt",
    "chargedCost",
    "errorCode",
    "errorMessage",
    "outputs",
    "pollUrl",
}


async def seen_keys(case: Any, http: aiohttp.ClientSession) -> tuple[set[str], set[str], Any]:
    """Return the keys of all runs, the keys of their outputs, and a history page."""
    clock = VirtualClock()
    async with FakeFlora(case=case, clock=clock, history_lag=0) as fake:
        client = Client(fake, http)
        for technique in ("caption", "always-fails"):
            await client.start(technique)
        clock.advance(1.0)
        runs = [(await client.get(f"/runs/{run.run_id}"))[1] for run in fake.runs]
        outputs = [output for run in runs for output in run.get("outputs", ())]
        _, page = await client.get("/technique-runs", params={"limit": 1})
        return set().union(*runs), set().union(*outputs), page


async def test_camel_case_has_the_keys_of_the_get_a_run_page(http: aiohttp.ClientSession) -> None:
    run_keys, output_keys, page = await seen_keys("camel", http)
    assert run_keys == CAMEL_RUN_KEYS
    assert output_keys == {"outputId", "type", "url"}
    assert page.keys() == {"techniqueRuns", "meta"}
    assert page["meta"].keys() == {"nextCursor", "totalEstimate"}


async def test_snake_case_has_the_keys_of_the_runs_page(http: aiohttp.ClientSession) -> None:
    run_keys, output_keys, page = await seen_keys("snake", http)
    assert run_keys == RUN_KEYS
    assert output_keys == {"output_id", "type", "url"}
    item = page["technique_runs"][0]
    assert item.keys() == (RUN_KEYS - {"charged_cost", "outputs"}) | {
        "technique_run_id",
        "project_id",
        "workspace_id",
        "technique",
    }
    assert item["technique"] == {"technique_id": "tech_always_fails", "name": "Always fails"}
    assert item["technique_run_id"] == item["run_id"]


async def test_both_alternates_the_case_by_level_and_repeats_ids(http: aiohttp.ClientSession) -> None:
    run_keys, output_keys, page = await seen_keys("both", http)
    assert run_keys == CAMEL_RUN_KEYS | {"run_id"}
    assert output_keys == {"outputId", "output_id", "type", "url"}
    assert page["meta"].keys() == {"next_cursor", "total_estimate"}
    item = page["techniqueRuns"][0]
    assert item["runId"] == item["run_id"]
    assert item["technique"].keys() == {"techniqueId", "technique_id", "name"}
    assert "created_at" in item
    assert "createdAt" not in item


async def test_values_of_users_are_never_changed(http: aiohttp.ClientSession) -> None:
    async with FakeFlora(case="camel", run_seconds=0) as fake:
        _, run = await Client(fake, http).start(json=start_body('{"run_id": "snake_case"}\n\ud83d'))
        assert run["outputs"][0]["url"] == 'Caption: {"run_id": "snake_case"}\n\ud83d'
