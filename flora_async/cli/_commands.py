"""The commands: start a run, show each change, save the outputs."""

import time
import uuid
from pathlib import Path

from attrs import define, field

from flora_async._text import printable
from flora_async.cli._output import say
from flora_async.config import PollPolicy
from flora_async.errors import FloraError
from flora_async.media.disk import check_writable
from flora_async.models import Run
from flora_async.session import FloraSession

_DEMO_POLL = PollPolicy(initial=0.1, maximum=0.25)


@define
class Job:
    """The one run of a command, and what is known of it whenever the command ends.

    Attributes:
        technique_id: The technique.
        is_demo: Whether it runs on the demo's local FLORA, which ends with the command.
        began: When the command began, in seconds of a clock.
        key: The idempotency key, once the start may have been sent.
        run: The run as last seen; None = not known.
        is_saved: Whether its outputs are saved.
    """

    technique_id: str
    is_demo: bool = False
    began: float = field(factory=time.monotonic)
    key: str | None = None
    run: Run | None = None
    is_saved: bool = False

    def show(self, run: Run) -> None:
        """Print a change."""
        self.run = run
        say(f"{time.monotonic() - self.began:6.1f} s  {run.status:<10.40}{run.progress:4.0f} %  {run.run_id:.80}")

    def hint(self) -> str:
        """How to continue after the command has ended before the run; "" if there is nothing to continue."""
        if self.run is None or self.is_demo or (self.run.is_terminal and (self.is_saved or self.run.is_failed)):
            return ""
        run_id = f"{self.run.run_id:.80}"
        if self.run.is_terminal:
            return f"run {run_id} has completed: save its outputs with flora.save_outputs"
        remedy = f"continue with flora.wait_for_run({run_id!r})"
        return f"run {run_id} is still running on FLORA and will be charged: {remedy}"

    def hint_after_interrupt(self) -> str:
        """As `hint`, but the start itself may have been interrupted."""
        if self.is_demo:
            return "the demo's FLORA has ended too, and nothing was charged"
        if self.key is None:
            return "nothing was started"
        if self.run is None:
            return f"a run may have been started: start it again only with --idempotency-key {self.key}"
        return self.hint() or f"run {self.run.run_id:.80} has ended"


async def demo(job: Job, directory: Path) -> Run:
    """Run a technique against a local FLORA, through the same code as against the real one."""
    from flora_async.testing import FakeFlora  # noqa: PLC0415 - a web server, for this command alone

    _check_directory(directory)
    async with FakeFlora(run_seconds=2.0) as fake:
        say("This is a local FLORA for the demo: nothing leaves the machine, and no prices are real.")
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
    """Run a technique on FLORA."""
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
    # Printed before the start, so that it can be repeated without a second charge even if this process is killed.
    job.key = str(uuid.uuid4()) if idempotency_key is None else idempotency_key
    say(f"Starting {job.technique_id!r} with {flora!r}, idempotency key {job.key}")
    job.run = await flora.run(job.technique_id, inputs, idempotency_key=job.key, timeout=timeout, on_update=job.show)
    if job.run.charged_cost is not None:
        say(f"Charged {job.run.charged_cost:.4g} USD{' in the demo' if job.is_demo else ''}.")
    if job.run.is_failed:
        code, message = printable(job.run.error_code or "no code"), printable(job.run.error_message or "no message")
        say(f"The run failed with {code}: {message}")
        return job.run
    try:
        paths = await flora.save_outputs(job.run, directory, sidecar=False)
    except (FloraError, OSError) as error:
        for note in error.__notes__:
            say(note)
    else:
        job.is_saved = True
        for path in paths:
            say(f"Saved {path} ({path.stat().st_size:,} bytes)")
    return job.run


def _check_directory(directory: Path) -> None:
    """Create the directory, and check that outputs can be saved there, before money is spent."""
    try:
        check_writable(directory)
    except OSError as error:
        raise ValueError(f"--output-dir {error.strerror}") from None
