"""One run for each row of a CSV, and one file for each result.

    python markets.py [TECHNIQUE] [FOLDER]

The technique takes a text, `prompt`. A journal in the folder remembers what is done: after a crash, or once rows were
added, the same command does the rest, and what is done is not paid for again.
"""
# ruff: noqa: INP001, T201 - a script of its own, which prints

import argparse
import asyncio
import csv
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import aiohttp

from flora_async import FloraSession, Run, RunOutput, RunRequest

HERE = Path(__file__).parent


def rows(file: Path) -> Iterator[RunRequest]:
    """Read the CSV row by row; the market code names the row in the journal and the file of its result."""
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            yield RunRequest(inputs={"prompt": row["headline"]}, key=row["market_code"])


async def content_of(output: RunOutput, http: aiohttp.ClientSession) -> tuple[bytes, str]:
    """What an output is, and the ending for its file."""
    if output.text is not None:
        return output.text.encode(), ".txt"
    async with http.get(output.url) as response:  # by a session without the API key: the file may be anywhere
        response.raise_for_status()
        return await response.read(), PurePosixPath(urlsplit(output.url).path).suffix


async def save(run: Run, stem: Path, http: aiohttp.ClientSession) -> Exception | None:
    """Save what a run gave, a second output under a number; what went wrong can be done again by the next call."""
    try:
        for number, output in enumerate(run.outputs, 1):
            content, ending = await content_of(output, http)
            stem.with_name(f"{stem.name}{'' if number == 1 else f'-{number}'}{ending}").write_bytes(content)
    except (aiohttp.ClientError, TimeoutError) as error:
        return error
    return None


async def main(technique: str, folder: Path) -> int:
    """Run what is not done yet and save every result; how many rows have none."""
    missing = 0
    async with FloraSession() as flora, aiohttp.ClientSession() as http:  # FLORA_API_KEY from the environment
        markets = rows(HERE / "markets.csv")
        journal = folder / "journal.sqlite"
        async with flora.batch(technique, markets, journal=journal, max_cost=5.00, concurrency=4) as batch:
            async for result in batch:
                error = result.error
                if result.run is not None and error is None:
                    error = await save(result.run, folder / result.key, http)
                fine = "was done before" if result.resumed else "is done"
                print(result.key, fine if error is None else f"is missing: {error}")
                missing += error is not None
        print(batch.summary)
    return missing


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("technique", nargs="?", default="caption")
    parser.add_argument("folder", nargs="?", default="markets", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    sys.exit(1 if asyncio.run(main(options.technique, options.folder)) else 0)
