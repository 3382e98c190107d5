"""Run a technique for each row of a CSV, save the outputs in a bucket, and make thumbnails beside them on a cluster.

    python thumbnails.py TECHNIQUE FOLDER [SCHEDULER]

FOLDER is a directory that every worker can reach, or the URL of one in a store, such as s3://bucket/spring. Without the
address of a scheduler, two workers are started on this machine. Call it again after a crash, or once rows were added:
what has been paid for and processed is not done again.
"""
# ruff: noqa: INP001, T201 - a script of its own, which prints

import argparse
import asyncio
import csv
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from distributed import Client
from PIL import Image

from flora_async import FloraSession, RunRequest
from flora_async.dask import CompletedRow, process

HERE = Path(__file__).parent
SIZE = (32, 32)


def make_thumbnails(_: CompletedRow, paths: tuple[Path, ...]) -> list[str]:
    """Called on a worker; a path in a store is a UPath, which has the same methods."""
    made = []
    for path in paths:
        with path.open("rb") as file, Image.open(file) as picture:
            picture.thumbnail(SIZE)
            content = BytesIO()
            picture.save(content, "PNG")
        thumbnail = path.with_name(f"{path.stem}-small.png")
        thumbnail.write_bytes(content.getvalue())  # under the same name, should it be made twice
        made.append(str(thumbnail))
    return made


def rows(file: Path) -> Iterator[RunRequest]:
    """Read the CSV row by row; the market code names the row in the journal and its files."""
    with file.open(encoding="utf-8", newline="") as lines:
        yield from RunRequest.from_rows(csv.DictReader(lines), key="market_code", inputs={"prompt": "headline"})


async def main(technique: str, folder: str, scheduler: str | None) -> int:
    """Do what is not done yet; how many rows have no thumbnails."""
    missing = 0
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"} if scheduler is None else {}
    async with Client(scheduler, asynchronous=True, **options) as client, FloraSession() as flora:
        batch = flora.batch(technique, rows(HERE / "markets.csv"), journal="thumbnails.sqlite", max_cost=5.00)
        async with process(batch, client, make_thumbnails, save_to=folder) as results:
            async for result in results:
                print(result.key, *(result.value or ()) if result.ok else (f"is missing: {result.error}",))
                missing += not result.ok
        print(batch.summary)
    return missing


if __name__ == "__main__":  # workers on this machine import this script
    parser = argparse.ArgumentParser()
    parser.add_argument("technique")
    parser.add_argument("folder")
    parser.add_argument("scheduler", nargs="?")
    arguments = parser.parse_args()
    sys.exit(1 if asyncio.run(main(arguments.technique, arguments.folder, arguments.scheduler)) else 0)
