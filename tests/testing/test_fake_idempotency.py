"""Idempotency keys of the local FLORA."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from plain_client import Client, start_body

from flora_async.testing import Drop, FakeFlora, Fault, Slow, Status, VirtualClock


@pytest.fixture
async def fake(clock: VirtualClock) -> AsyncIterator[FakeFlora]:
    async with FakeFlora(case="snake", run_seconds=10.0, clock=clock, idempotency="replay") as fake:
        yield fake


@pytest.fixture
async def production(clock: VirtualClock, http: aiohttp.ClientSession) -> AsyncIterator[Client]:
    async with FakeFlora(case="snake", run_seconds=10.0, clock=clock, idempotency="suppress") as fake:
        yield Client(fake, http)


async def test_replay_repeats_the_original_bytes_for_a_day(client: Client, clock: VirtualClock) -> None:
    url = f"{client.fake.base_url}/techniques/caption/runs"
    headers = {"Authorization": "Bearer sk_test_local"}
    bodies = []
    for key_order in (1, -1):
        body = dict(list(start_body(idempotency_key="k1").items())[::key_order])
        async with client.http.post(url, json=body, headers=headers) as response:
            bodies.append(await response.read())
            assert response.status == 201
        clock.advance(5.0)
    assert bodies[0] == bodies[1]
    assert response.headers["idempotent-replayed"] == "true"
    assert len(client.fake.runs) == 1
    clock.advance(24 * 3600.0)
    response, _ = await client.start(json=start_body(idempotency_key="k1"))
    assert "idempotent-replayed" not in response.headers
    assert len(client.fake.runs) == 2


async def test_replay_refuses_a_key_with_another_body_or_technique(client: Client) -> None:
    headers = {"Idempotency-Key": "k1"}
    await client.start(headers=headers)
    for technique, body in (("caption", start_body("a dog")), ("always-fails", start_body())):
        response, error = await client.start(technique, json=body, headers=headers)
        assert (response.status, error["error"]["code"]) == (422, "idempotency_conflict")
    assert len(client.fake.runs) == 1


async def test_conflict_answers_409_without_the_run_for_two_hours(
    http: aiohttp.ClientSession, clock: VirtualClock
) -> None:
    async with FakeFlora(idempotency="conflict", clock=clock) as fake:
        client = Client(fake, http)
        headers = {"Idempotency-Key": "k1"}
        await client.start(headers=headers)
        clock.advance(2 * 3600.0 - 1)
        for body in (start_body(), start_body("a dog"), start_body(idempotency_key="k1")):
            response, error = await client.start(json=body, headers=headers)
            assert response.status == 409
            assert error == {"error": {"code": "idempotency_duplicate", "message": "Duplicate idempotency key."}}
        assert len(fake.runs) == 1
        clock.advance(1.0)
        response, _ = await client.start(headers=headers)
        assert (response.status, len(fake.runs)) == (201, 2)


async def test_the_key_is_read_from_the_body_before_the_header(client: Client) -> None:
    await client.start(json=start_body(idempotency_key="in body"), headers={"Idempotency-Key": "in header"})
    await client.start(headers={"Idempotency-Key": "in header"})
    assert [run.idempotency_key for run in client.fake.runs] == ["in body", "in header"]


async def test_without_a_key_every_start_acts(client: Client) -> None:
    for _ in range(3):
        await client.start()
    assert len({run.run_id for run in client.fake.runs}) == 3


async def test_a_refused_start_does_not_use_its_key(client: Client) -> None:
    await client.start(json=start_body(mode="fast", idempotency_key="k1"))
    response, _ = await client.start(json=start_body(idempotency_key="k1"))
    assert response.status == 201


@pytest.mark.parametrize("idempotency", ["suppress", "replay", "conflict"])
async def test_two_concurrent_starts_with_one_key_both_act(http: aiohttp.ClientSession, idempotency: Any) -> None:
    async with FakeFlora(idempotency=idempotency) as fake:
        client = Client(fake, http)
        fake.inject(Slow(0.05), on="start", times=2)
        both = [client.start(json=start_body(idempotency_key="k1")) for _ in range(2)]
        assert [response.status for response, _ in await asyncio.gather(*both)] == [201, 201]
        assert len(fake.runs) == 2
        await client.start(json=start_body(idempotency_key="k1"))
        assert len(fake.runs) == 2


GENERATION = {"type": "image", "prompt": "a cat", "workspace_id": "ws_local", "project_id": "prj_local"}
TOP_LEVEL = {"technique_id": "tech_caption", "workspace_id": "ws_local", "inputs": {"prompt": "a cat"}}


async def test_suppress_answers_409_without_the_run_for_two_hours(production: Client, clock: VirtualClock) -> None:
    body = start_body(idempotency_key="k1")
    await production.start(json=body)
    clock.advance(2 * 3600.0 - 1)
    for again in (body, {**body, **start_body("a dog")}):
        response, error = await production.start(json=again)
        assert response.status == 409
        assert error == {"error": {"code": "idempotency_duplicate", "message": "Duplicate idempotency key."}}
    clock.advance(1.0)
    response, _ = await production.start(json=body)
    assert (response.status, len(production.fake.runs)) == (201, 2)


@pytest.mark.parametrize("fault", [Status(503), Status(400), Drop(acts=False)], ids=["503", "400", "drop"])
async def test_suppress_releases_a_key_whose_request_has_created_no_run(production: Client, fault: Fault) -> None:
    production.fake.inject(fault, on="start")
    body = start_body(idempotency_key="k1")
    with suppress(aiohttp.ClientError):
        await production.start(json=body)
    response, _ = await production.start(json=body)
    assert (response.status, len(production.fake.runs)) == (201, 1)


@pytest.mark.parametrize("fault", [Status(503, acts=True), Drop(acts=True)], ids=["503", "drop"])
async def test_suppress_keeps_a_key_whose_run_exists_although_its_answer_was_lost(
    production: Client, fault: Fault
) -> None:
    production.fake.inject(fault, on="start")
    body = start_body(idempotency_key="k1")
    with suppress(aiohttp.ClientError):
        await production.start(json=body)
    response, _ = await production.start(json=body)
    assert (response.status, len(production.fake.runs)) == (409, 1)


async def test_suppress_keeps_the_key_of_a_run_that_has_failed(production: Client, clock: VirtualClock) -> None:
    await production.start("always-fails", json=start_body(idempotency_key="k1"))
    clock.advance(10.0)
    assert production.fake.runs[0].status == "failed"
    response, _ = await production.start("always-fails", json=start_body(idempotency_key="k1"))
    assert response.status == 409


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/techniques/caption/runs", start_body(), "body"),
        ("/runs/technique", TOP_LEVEL, "body"),
        ("/generate", GENERATION, "header"),
        ("/runs/generation", GENERATION, "header"),
    ],
)
async def test_suppress_honours_the_key_in_one_place_only(production: Client, path: str, body: Any, place: str) -> None:
    for where, statuses in (("header", [201, 409]), ("body", [201, 409])):
        for expected in statuses if where == place else [201, 201]:
            more = {"headers": {"Idempotency-Key": where}} if where == "header" else {}
            response, _ = await production.post(path, {**body, **({} if more else {"idempotency_key": where})}, **more)
            assert response.status == expected


async def test_suppress_scopes_a_key_to_operation_and_destination(production: Client) -> None:
    headers = {"Idempotency-Key": "k1"}
    _, project = await production.post("/projects", {"name": "Other", "workspace_id": "ws_local"}, headers=headers)
    elsewhere = {**GENERATION, "project_id": project["project_id"]}
    for path, body in (("/generate", GENERATION), ("/generate", elsewhere), ("/runs/generation", GENERATION)):
        response, _ = await production.post(path, body, headers=headers)
        assert response.status == 201
        response, _ = await production.post(path, body, headers=headers)
        assert response.status == 409
    for technique in ("caption", "always-fails"):
        response, _ = await production.start(technique, json=start_body(idempotency_key="k1"))
        assert response.status == 201
