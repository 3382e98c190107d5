"""A worker that captions the rows of a table, and that can be stopped or killed at any time.

    python worker.py [DATABASE]

The journal beside the database remembers each step, so the next start continues what is left over, and no job is paid
for twice. At SIGTERM or Ctrl-C no more jobs are begun, and those under way are finished. Signal handlers of event loops
need Linux or macOS.
"""
# ruff: noqa: INP001, T201 - a script of its own, which prints

import asyncio
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing

from flora_async import FloraSession, RunRequest

TABLE = "CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, prompt TEXT, caption TEXT, error TEXT)"


async def open_jobs(database: sqlite3.Connection) -> AsyncIterator[RunRequest]:
    """Iterate over what is to be done; a service would wait here for more, and never end."""
    for job, prompt in database.execute("SELECT id, prompt FROM jobs WHERE caption IS NULL ORDER BY id"):
        yield RunRequest({"prompt": prompt}, key=str(job))


async def main(path: str) -> None:
    """Do all jobs that have no caption yet, four at a time."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(TABLE)
        async with (
            FloraSession() as flora,
            flora.batch("caption", open_jobs(database), journal=f"{path}.journal", concurrency=4) as batch,
        ):
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, batch.stop)
            async for result in batch:
                caption = result.outputs[0].text if result.ok else None
                with database:
                    database.execute(
                        "UPDATE jobs SET caption = ?, error = ? WHERE id = ?",
                        (caption, result.error and str(result.error), int(result.key)),
                    )
                print(result.key, caption or result.error)
        print(batch.summary)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "jobs.sqlite"))
