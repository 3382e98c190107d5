"""The program of the documentation that makes thumbnails on a cluster, with a bucket behind a real S3 API."""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack
from io import BytesIO
from pathlib import Path

import fsspec
import pytest
from cluster_work import daemon, scheduler, worker
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from PIL import Image

from flora_async.testing import FakeFlora, FakeTechnique

pytestmark = [
    pytest.mark.xdist_group("dask"),  # one worker, and so one cluster for a module
    pytest.mark.timeout(180),  # on a busy machine it takes a minute until processes have started
]

PROGRAM = Path(__file__).parents[2] / "docs" / "examples" / "thumbnails.py"


async def test_thumbnails_are_in_the_bucket_and_the_second_call_pays_for_nothing(
    fake: FakeFlora, tmp_path: Path
) -> None:
    fake.add_technique(FakeTechnique("poster"))
    s3 = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    s3.start()
    async with AsyncExitStack() as stack:
        stack.callback(s3.stop)
        host, port = s3.get_host_and_port()
        credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        endpoint = f"http://{host}:{port}"
        environment = {**credentials, "AWS_ENDPOINT_URL": endpoint}
        store = fsspec.filesystem("s3", key="test", secret="test", endpoint_url=endpoint)
        await asyncio.to_thread(store.mkdir, "thumbnails")
        await stack.enter_async_context(daemon(*scheduler(tmp_path)))
        await stack.enter_async_context(daemon(*worker(tmp_path), env=environment))
        file = tmp_path / "scheduler.json"
        while not (file.exists() and file.stat().st_size):  # it is there a moment before its content
            await asyncio.sleep(0.01)
        address = json.loads(file.read_text(encoding="utf-8"))["address"]

        async def call() -> str:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(PROGRAM), "poster", "s3://thumbnails/spring", address),
                cwd=tmp_path,
                env={**os.environ, **environment, "FLORA_API_KEY": fake.api_key, "FLORA_BASE_URL": fake.base_url},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output, _ = await process.communicate()
            assert process.returncode == 0, output.decode()
            return output.decode()

        assert "12 completed" in await call()
        names = await asyncio.to_thread(store.ls, "thumbnails/spring", detail=False)
        small = [name for name in names if name.endswith("-small.png")]
        assert len(small) == 12
        assert len(names) == 3 * 12  # with the pictures and their side-cars
        content = await asyncio.to_thread(store.cat_file, small[0])
        assert Image.open(BytesIO(content)).size == (32, 32)

        asked = len(fake.requests)
        printed = await call()
        assert all(f"s3://{name}" in printed for name in small)
        assert len(fake.runs) == 12
        assert len(fake.requests) == asked
