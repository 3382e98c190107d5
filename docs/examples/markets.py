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
from pathlib import Path

from flora_async import FloraError, FloraSession, Run, RunRequest

HERE = Path(__file__).parent


def rows(file: Path) -> Iterator[RunRequest]:
    """Read the CSV row by row; the market code names the row in the journal and the file of its result."""
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            yield RunRequest(inputs={"prompt": row["headline"]}, key=row["market_code"])


async def save(flora: FloraSession, run: Run, folder: Path, name: str) -> Exception | None:
    """Save what a run gave, a second output under a number; what went wrong can be done again by the next call."""
    try:
        await flora.save_outputs(run, folder, name=name, overwrite=True, sidecar=False)
    except (FloraError, OSError) as error:
        return error
    return None


async def main(technique: str, folder: Path) -> int:
    """Run what is not done yet and save every result; how many rows have none."""
    missing = 0
    async with FloraSession() as flora:  # FLORA_API_KEY from the environment
        markets = rows(HERE / "markets.csv")
        journal = folder / "journal.sqlite"
        async with flora.batch(technique, markets, journal=journal, max_cost=5.00, concurrency=4) as batch:
            async for result in batch:
                error = result.error
                if result.run is not None and error is None:
                    error = await save(flora, result.run, folder, result.key)
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
