"""Idempotency keys of the local FLORA."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from plain_client import Client, start_body

from flora_async.testing import (
    FakeFlora,
    Slow,
    VirtualClock,
)


@pytest.fixture
async def fake(clock: VirtualClock) -> AsyncIterator[FakeFlora]:
    async with FakeFlora(case="snake", run_seconds=10.0, clock=clock) as fake:
        yield fake


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


@pytest.mark.parametrize("idempotency", ["replay", "conflict"])
async def test_two_concurrent_starts_with_one_key_both_act(http: aiohttp.ClientSession, idempotency: Any) -> None:
    async with FakeFlora(idempotency=idempotency) as fake:
        client = Client(fake, http)
        fake.inject(Slow(0.05), on="start", times=2)
        both = [client.start(headers={"Idempotency-Key": "k1"}) for _ in range(2)]
        assert [response.status for response, _ in await asyncio.gather(*both)] == [201, 201]
        assert len(fake.runs) == 2
        await client.start(headers={"Idempotency-Key": "k1"})
        assert len(fake.runs) == 2
