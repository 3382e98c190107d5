"""What the commands do: start a run, show each change, save the outputs."""

import os
import sys
import time
import uuid
from pathlib import Path
from typing import TextIO

from attrs import define, field

from flora_async import FloraError, FloraSession, PollPolicy, Run

_DEMO_POLL = PollPolicy(initial=0.1, maximum=0.25)


@define
class Job:
    """What is known of the one run of a command, so that it can be named however the command ends."""

    technique_id: str
    began: float = field(factory=time.monotonic)
    seen: Run | None = None
    is_saved: bool = True

    def show(self, run: Run) -> None:
        """Print a change."""
        self.seen = run
        say(f"{time.monotonic() - self.began:6.1f} s  {run.status:<10}{run.progress:4.0f} %  {run.run_id}")

    def remains(self) -> str:
        """What to say about the run when a command ends before it does."""
        if self.seen is None or self.seen.is_terminal:
            return ""
        return f"\nThe run {self.seen.run_id} goes on at FLORA and is charged; it can be found in the run history."


async def demo(job: Job, directory: Path) -> Run:
    """Run a technique against a local FLORA, through the same code as against the real one."""
    from flora_async.testing import FakeFlora  # noqa: PLC0415 - a web server, for this command alone

    async with FakeFlora(run_seconds=2.0) as fake:
        say("A FLORA on this machine, for this demo: nothing leaves the machine, and its prices are not real.")
        async with FloraSession(fake.api_key, base_url=fake.base_url, poll=_DEMO_POLL) as flora:
            inputs = {"input_image": "https://example.com/photo.png"}
            return await _follow(flora, job, inputs, directory)


async def run(
    job: Job,
    inputs: dict[str, str],
    directory: Path,
    *,
    idempotency_key: str | None,
    timeout: float,  # noqa: ASYNC109 - of the wait, handed on
) -> Run:
    """Run a technique at FLORA."""
    _check_directory(directory)
    async with FloraSession() as flora:
        return await _follow(flora, job, inputs, directory, idempotency_key=idempotency_key, timeout=timeout)


async def _follow(  # noqa: PLR0913 - the parts of one run
    flora: FloraSession,
    job: Job,
    inputs: dict[str, str],
    directory: Path,
    *,
    idempotency_key: str | None = None,
    timeout: float = 60.0,  # noqa: ASYNC109 - of the wait, handed on
) -> Run:
    # Said before it is sent: whatever ends this process, the start can be repeated without a second charge.
    key = str(uuid.uuid4()) if idempotency_key is None else idempotency_key
    say(f"Starting {job.technique_id!r} with {flora!r}, idempotency key {key}")
    finished = await flora.run(job.technique_id, inputs, idempotency_key=key, timeout=timeout, on_update=job.show)
    if finished.charged_cost is not None:
        say(f"Charged {finished.charged_cost:.4g} USD.")
    if finished.is_failed:
        say(f"The run failed with {finished.error_code}: {finished.error_message}")
        return finished
    try:
        paths = await flora.save_outputs(finished, directory, sidecar=False)
    except (FloraError, OSError) as error:
        job.is_saved = False
        for note in error.__notes__:
            say(note)
    else:
        for path in paths:
            say(f"Saved {path} ({path.stat().st_size:,} bytes)")
    return finished


def _check_directory(directory: Path) -> None:
    """Find out before money is spent that there is no place for the outputs."""
    if not directory.is_dir() or not os.access(directory, os.W_OK):
        raise ValueError(f"--output-dir {str(directory)!r} is no folder that can be written to: create it first")


def say(text: str, stream: TextIO | None = None) -> None:
    """Print at once, also into a pipe; what a terminal would obey or cannot show is shown as its code."""
    target: TextIO = stream or sys.stdout
    shown = "".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in text)
    encoding = target.encoding or "utf-8"
    target.write(shown.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    target.flush()
