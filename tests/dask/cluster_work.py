"""What the workers of the tests do, importable on them, and the processes of a cluster."""

import asyncio
import hashlib
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from flora_async.dask import CompletedRow

HERE = Path(__file__).parent


def digest(_: CompletedRow, paths: tuple[Path, ...]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def counted(row: CompletedRow, paths: tuple[Path, ...]) -> str:
    """Leave a mark for each call, and wait until the caller allows more."""
    folder = Path(row.metadata["folder"])
    (folder / f"{row.key}.{os.getpid()}.{time.monotonic_ns()}").touch()
    while (folder / "hold").exists():
        time.sleep(0.01)
    return digest(row, paths)


def seen(row: CompletedRow, paths: tuple[Path, ...]) -> dict[str, Any]:
    return {
        "key": row.key,
        "inputs": dict(row.inputs),
        "metadata": dict(row.metadata),
        "run": row.run.run_id,
        "paths": [str(path) for path in paths],
        "exist": all(path.exists() for path in paths),
    }


class TwoPartsError(Exception):
    """An exception that cannot be unpickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def hostile(row: CompletedRow, _: tuple[Path, ...]) -> object:
    match row.key:
        case "raises":
            raise LookupError("no such shelf")
        case "cannot be unpickled":
            raise TwoPartsError("two", "parts")
        case "exits":
            raise SystemExit(3)
        case "is cancelled":
            raise CancelledError
        case "is cancelled like a task":
            raise asyncio.CancelledError
        case "returns a lock":
            return threading.Lock()
        case "never ends":
            return hostile(row, _)
        case "kills":
            os._exit(1)
    return row.key


def fails_twice(row: CompletedRow, paths: tuple[Path, ...]) -> str:
    calls = Path(row.metadata["folder"]) / "calls"
    with calls.open("a", encoding="utf-8") as file:
        file.write("x")
    if len(calls.read_text(encoding="utf-8")) < 3:
        raise ConnectionError("not yet")
    return digest(row, paths)


@asynccontextmanager
async def daemon(*arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={**os.environ, "PYTHONPATH": str(HERE), **(env or {})},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def scheduler(folder: Path) -> tuple[str, ...]:
    """The arguments of a scheduler, whose address is written to a file in the folder."""
    file = folder / "scheduler.json"
    return (
        *("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
        *("--scheduler-file", str(file)),
    )


def worker(folder: Path) -> tuple[str, ...]:
    """The arguments of a worker without a nanny, so that it stays dead when it is killed."""
    return (
        *("-m", "distributed.cli.dask_worker", "--scheduler-file", str(folder / "scheduler.json"), "--no-nanny"),
        *("--nthreads", "2", "--no-dashboard", "--local-directory", str(folder)),
    )
