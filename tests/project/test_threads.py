"""Threads: work that hangs in one of them keeps neither a process, nor a cancellation, nor other work waiting."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import wait
from pathlib import Path

import pytest

from flora_async._threads import DaemonThreads, computed, finish, off_loop

_SCRIPT = """
import asyncio, io, socket, sys, threading
from pathlib import Path
from flora_async import FloraSession
from flora_async.media.parts import placing
from flora_async.testing import FakeFlora

hung = threading.Event()

def hang(*_, **__):
    hung.set()
    threading.Event().wait()

class Hung(io.BytesIO):
    name = "photo.png"
    armed = False
    def read(self, size=-1):
        if size and self.armed:
            hang()
        return super().read(size)

async def inspected(flora):
    file = Hung(b"\\x89PNG" + bytes(100))
    file.armed = True
    await flora.run("cctv-cam", {"input_image": file})

async def sent(flora):
    file = Hung(b"\\x89PNG" + bytes(100))
    uploading = asyncio.create_task(flora.assets.upload(file, content_type="image/png"))
    while not fake.requests:  # the workspace is asked for after the file was inspected
        await asyncio.sleep(0)
    file.armed = True
    await uploading

async def hashed(flora):
    file = Hung(b"\\x89PNG" + bytes(100))
    running = asyncio.create_task(flora.run("cctv-cam", {"input_image": file}))
    while not fake.requests:  # the technique is read after the file was inspected, and before it is uploaded
        await asyncio.sleep(0)
    file.armed = True
    await running

async def saved(flora):
    run = await flora.run("cctv-cam", {"input_image": "https://example.com/a.png"})
    lock = placing(Path(sys.argv[2], "x.png"))
    threading.Thread(target=lambda: (lock.acquire(), hang()), daemon=True).start()
    await flora.download(run.outputs[0], Path(sys.argv[2], "x"))

async def named(flora):
    socket.getaddrinfo = hang
    async with FloraSession("sk_test_0123456789", base_url="https://flora.example/api/v1") as other:
        await other.techniques.list()

async def main():
    global fake
    async with FakeFlora(run_seconds=0.01) as fake, FloraSession(fake.api_key, base_url=fake.base_url) as flora:
        task = asyncio.create_task(globals()[sys.argv[1]](flora))
        while not hung.is_set() or (sys.argv[1] == "saved" and not list(Path(sys.argv[2]).glob(".x*"))):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait([task])
        print(task.cancelled())

asyncio.run(main())
"""


@pytest.mark.parametrize("work", ["inspected", "sent", "hashed", "saved", "named"])
def test_a_process_ends_although_a_thread_hangs(work: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SCRIPT, work, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - the script above
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


def test_the_number_of_threads_is_bounded_and_all_of_it_is_used() -> None:
    threads = DaemonThreads(3, "test-threads")
    together = threading.Barrier(3)
    for _ in range(4):  # each round needs all three at once
        wait([threads.submit(together.wait) for _ in range(3)])
    running = [thread for thread in threading.enumerate() if thread.name == "test-threads"]
    assert len(running) == 3
    assert all(thread.daemon for thread in running)
    threads.shutdown()
    assert not [thread for thread in threading.enumerate() if thread.name == "test-threads"]


async def test_work_that_hangs_does_not_keep_what_is_computed_waiting() -> None:
    release = threading.Event()
    hung = [asyncio.ensure_future(off_loop(release.wait)) for _ in range(64)]
    await asyncio.sleep(0)
    assert await computed(sum, [1, 2]) == 3
    release.set()
    await asyncio.gather(*hung)


async def test_a_cancellation_waits_for_work_that_has_an_end_and_for_no_other() -> None:
    release = threading.Event()
    threads = DaemonThreads(2, "test-threads")
    loop = asyncio.get_running_loop()
    work = loop.run_in_executor(threads, release.wait)
    waiting = asyncio.create_task(finish(work))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    release.set()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert work.done()
    release.clear()
    with pytest.raises(TimeoutError):
        await finish(loop.run_in_executor(threads, release.wait), patience=0.01)
    release.set()
    threads.shutdown()


async def test_an_error_in_a_thread_is_raised_and_its_thread_goes_on() -> None:
    with pytest.raises(ZeroDivisionError):
        await computed(divmod, 1, 0)
    with pytest.raises(SystemExit):
        await computed(sys.exit, 1)
    assert await computed(divmod, 7, 2) == (3, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_forked_process_starts_threads_of_its_own() -> None:
    script = """
import os
from flora_async._threads import FILES
FILES.submit(int).result()
child = os.fork()
if child == 0:
    os._exit(FILES.submit(int, "7").result(timeout=30))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    command = [sys.executable, "-W", "ignore", "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - the script above
    assert ended.stdout == "7\n"
