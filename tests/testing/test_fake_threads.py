"""The local FLORA on a thread of its own: for programs without an event loop, and for several loops at once."""

import asyncio
import threading

import pytest
from aiohttp import web

from flora_async import FloraSession
from flora_async.testing import Drop, FakeFlora, FakeTechnique


async def run_caption(fake: FakeFlora, prompt: str) -> str | None:
    async with FloraSession(fake.api_key, base_url=fake.base_url) as flora:
        return (await flora.run("caption", {"prompt": prompt})).outputs[0].text


def test_a_program_without_an_event_loop_has_a_server_at_the_same_address_again_and_again() -> None:
    fake = FakeFlora(run_seconds=0)
    with fake:
        address = fake.base_url
        assert asyncio.run(run_caption(fake, "a")) == "Caption: a"
    with fake:
        fake.inject(Drop(acts=False), on="poll")
        assert asyncio.run(run_caption(fake, "b")) == "Caption: b"
    assert (fake.base_url, len(fake.runs)) == (address, 2)
    assert not [thread for thread in threading.enumerate() if thread.name == "FakeFlora"]


async def test_a_run_ended_from_another_thread_has_its_webhook_delivered() -> None:
    events: asyncio.Queue[str] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        events.put_nowait((await request.json())["type"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        with FakeFlora(techniques=[FakeTechnique("film", running=float("inf"))]) as fake:
            fake.resolve("https://hooks.example/", f"http://127.0.0.1:{runner.addresses[0][1]}/")
            async with FloraSession(fake.api_key, base_url=fake.base_url) as flora:
                run = await flora.techniques.runs.create(
                    "film", inputs={"prompt": "x"}, callback_url="https://hooks.example/"
                )
                fake.finish(run.run_id)
                assert await events.get() == "run.completed"
                delivery = await fake.deliver_again(run.run_id)
                assert (delivery.is_taken, await events.get()) == (True, "run.completed")
    finally:
        await runner.cleanup()


def test_a_server_that_cannot_start_leaves_no_thread() -> None:
    with FakeFlora() as fake:
        port = int(fake.origin.rpartition(":")[2])
        with pytest.raises(OSError, match="address"):
            FakeFlora(port=port).__enter__()
    assert not [thread for thread in threading.enumerate() if thread.name == "FakeFlora"]
