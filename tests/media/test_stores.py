"""Outputs saved in stores: whole or not at all, over no other run's file, against a real S3 API on loopback."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from typing import Any

import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from upath import UPath

from flora_async import FloraSession
from flora_async.testing import Cut, FakeFlora, FakeTechnique

PNG = b"\x89PNG\r\n\x1a\n"
MIB = 1024 * 1024
# Each test has a bucket of its own, and the driver's connections and threads serve all of them.
_numbers = count()


class Gate:
    """A TCP proxy before the store, which can cut connections and answer in the place of the store."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.rule: Callable[[bytes], bytes | None] = lambda _: None
        self.seen: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            head = self._head(client)
            if not head:
                return
            self.seen.append(head)
            answer = self.rule(head)
            if answer is not None:
                client.sendall(answer)
                return
            with socket.create_connection(("127.0.0.1", self._target)) as store:
                first, _, rest = head.partition(b"\r\n")
                store.sendall(first + b"\r\nConnection: close\r\n" + rest)
                back = threading.Thread(target=self._copy, args=(store, client), daemon=True)
                back.start()
                self._copy(client, store)
                back.join()

    @staticmethod
    def _head(client: socket.socket) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = client.recv(65536)
            if not chunk:
                return b""
            head += chunk
        return head

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while chunk := source.recv(65536):
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def close(self) -> None:
        self._server.close()


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def gate(moto: int) -> Iterator[Gate]:
    gate = Gate(moto)
    yield gate
    gate.close()


class Bucket:
    """A bucket of its own for a test."""

    def __init__(self, gate: Gate) -> None:
        self.name = f"bucket-{next(_numbers)}"
        self.gate = gate
        self.options: dict[str, Any] = {
            "key": "AKIATESTING",
            "secret": "never-to-be-seen",
            "endpoint_url": f"http://127.0.0.1:{gate.port}",
            "config_kwargs": {"retries": {"max_attempts": 0}},
        }
        self.path = UPath(f"s3://{self.name}", **self.options)
        self.fs: Any = self.path.fs
        self.fs.mkdir(self.name)

    @property
    def objects(self) -> dict[str, bytes]:
        self.fs.invalidate_cache()
        names = self.fs.find(self.name)
        return {name.partition("/")[2]: self.fs.cat_file(name) for name in names}

    @property
    def pending_uploads(self) -> list[Any]:
        found = self.fs.call_s3("list_multipart_uploads", Bucket=self.name)
        return list(found.get("Uploads", []))


@pytest.fixture
async def bucket(gate: Gate) -> AsyncIterator[Bucket]:
    opened = await asyncio.to_thread(Bucket, gate)
    yield opened
    gate.rule = lambda _: None


@pytest.fixture
def poster(fake: FakeFlora) -> FakeTechnique:
    outputs = {"image": "imageUrl", "words": "text"}
    return fake.add_technique(FakeTechnique("poster", outputs=outputs, running=0.0))


async def test_outputs_are_saved_in_a_store_as_in_a_directory(
    fake: FakeFlora, flora: FloraSession, poster: FakeTechnique, bucket: Bucket
) -> None:
    run = await flora.run(poster.slug, {"prompt": "a red bicycle"})
    fake.inject(Cut(after=5), on="media", times=2)
    paths = await flora.save_outputs(run, bucket.path / "results")
    assert [str(path) for path in paths] == [
        f"s3://{bucket.name}/results/{run.run_id}-{name}" for name in ("image.png", "words.txt")
    ]
    saved = await asyncio.to_thread(lambda: bucket.objects)
    assert len(saved) == 3
    assert saved[f"results/{run.run_id}-image.png"].startswith(PNG)
    assert saved[f"results/{run.run_id}-words.txt"].decode() == run.outputs[1].text
    note = json.loads(saved[f"results/{run.run_id}.json"])
    assert [output["file"] for output in note["outputs"]] == [path.name for path in paths]
    assert "never-to-be-seen" not in f"{note}{paths}"
    fetched = len(fake.requests)
    assert await flora.save_outputs(run, bucket.path / "results") == paths
    assert len(fake.requests) == fetched
    assert not any(fake.api_key.encode() in head for head in bucket.gate.seen)
