"""Start a run, wait for it and save its outputs, and know at any moment how to continue."""

import shlex
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from attrs import define, field

from flora_async._checks import check_idempotency_key, check_number
from flora_async._text import printable
from flora_async.cli._exit import ExitCode
from flora_async.cli._interrupts import interrupts
from flora_async.cli._output import note, print_json, say
from flora_async.cli._picture import show_picture
from flora_async.cli._progress import LineProgress, progress
from flora_async.cli._time_left import showing_time_left
from flora_async.errors import DownloadError, SubmissionUnknownError, UntrustedURLError
from flora_async.hooks import Hooks, RequestSent
from flora_async.media.destinations import check_writable, path_of
from flora_async.media.store_urls import shown_url
from flora_async.models import Run, RunTicket
from flora_async.models._codec import to_dict
from flora_async.session import FloraSession

_MAX_ID: Final = 80


@define
class Job:
    """One run of a command, and what is known of it whenever the command ends.

    Attributes:
        repeat: The command that starts it again, without the idempotency key; empty = it was started before.
        save_to: Where its outputs are saved; None = nowhere.
        as_json: Whether the run is printed as JSON.
        is_fake: Whether it runs on a local FLORA, which ends with the command.
        key: The idempotency key, once the start may have been sent.
        run_id: The run, once it is known.
        run: The run as last seen; None = not seen yet.
        is_saved: Whether its outputs are saved.
        progress: Shows its changes.
    """

    repeat: Sequence[str] = ()
    save_to: str | None = None
    as_json: bool = False
    is_fake: bool = False
    key: str | None = None
    run_id: str | None = None
    run: Run | None = None
    is_saved: bool = False
    progress: LineProgress = field(factory=progress)

    def show(self, run: Run) -> None:
        """Show a change."""
        self.run, self.run_id = run, run.run_id
        self.progress.show_run(run)

    def learn(self, error: BaseException) -> None:
        """Remember the run that an error carries, or that it means that there is none."""
        run = getattr(error, "run", None)
        if isinstance(run, Run):
            self.run, self.run_id = run, run.run_id
        elif not isinstance(error, SubmissionUnknownError):
            self.key = None  # nothing was started

    @property
    def is_in_doubt(self) -> bool:
        """Whether a run exists whose end is not known."""
        return not self.is_fake and self.run_id is not None and not (self.run is not None and self.run.is_terminal)

    def advice(self) -> str:
        """How to continue with the run after the command has ended; "" if there is nothing to continue."""
        if self.is_fake:
            return "the local FLORA has ended too, and nothing was charged"
        if self.run_id is not None:
            if self.run is not None and self.run.is_terminal:
                if self.is_saved or self.run.is_failed or self.save_to is None:
                    return ""
                return (
                    f"run {printable(self.run_id, _MAX_ID)} has completed; to save its outputs: {self._wait_command()}"
                )
            state = "is still running on FLORA and will be charged"
            return f"run {printable(self.run_id, _MAX_ID)} {state}; to continue: {self._wait_command()}"
        if self.key is None:
            return ""
        command = shlex.join([*self.repeat, "--idempotency-key", self.key])
        return f"a run may have been started; to continue, and never to pay twice: {command}"

    def at_interrupt(self) -> str:
        """What to say at the first Ctrl-C; "" = leave."""
        if self.is_fake or (self.run_id is None and self.key is None):
            return ""
        if self.run_id is None:
            return "A start is under way, and is waited for."
        return f"Run {printable(self.run_id, _MAX_ID)} is paid for, and is waited for."

    def _wait_command(self) -> str:
        save = ("--no-save",) if self.save_to is None else ("--save", shown_url(self.save_to))
        return shlex.join(["flora-async", "wait", *save, "--", printable(self.run_id or "", _MAX_ID)])


def prepare(job: Job, timeout: float | None, idempotency_key: str | None = None, *, saves: bool) -> None:
    """Check the options of a run and make sure that its outputs can be saved, before money is spent.

    Args:
        job: The run.
        timeout: Seconds to wait for the end; None = no limit.
        idempotency_key: The key that was given; None = none.
        saves: Whether this command saves the outputs, and not a later one.

    Raises:
        ValueError: An option is out of range, or outputs cannot be saved.
    """
    if timeout is not None:
        check_number("--timeout", timeout, exclusive=True)
    if idempotency_key is not None:
        check_idempotency_key(idempotency_key, "--idempotency-key")
    if saves and job.save_to is not None:
        try:
            check_writable(path_of("--save", job.save_to))
        except OSError as error:
            raise ValueError(f"--save {error.strerror or error}") from None


async def start_and_follow(  # noqa: PLR0913 - the parts of one run
    flora: FloraSession,
    job: Job,
    start: Callable[[FloraSession, str], Awaitable[Run | RunTicket]],
    *,
    idempotency_key: str | None,
    timeout: float | None,  # noqa: ASYNC109 - of the wait, handed on
    wait: bool,
) -> ExitCode:
    """Start a run under an idempotency key, and follow it.

    Args:
        flora: The session.
        job: What is known of the run.
        start: Starts it with the session and under the key that it is given.
        idempotency_key: The key; None = a new one.
        timeout: Seconds to wait for the end; None = no limit.
        wait: Whether to wait for the end.
    """
    with interrupts(job.at_interrupt):
        key = str(uuid.uuid4()) if idempotency_key is None else idempotency_key

        def announce(request: RequestSent) -> None:
            # Before the start is sent, so that it can be repeated without a second charge even if this process is
            # killed; and not before what is wrong with its arguments is known.
            if request.label == "start" and job.key is None:
                job.key = key
                note(f"Starting with idempotency key {key}")

        with job.progress:
            started = await start(flora.with_options(hooks=Hooks(on_request=announce)), key)
            job.run_id = started.run_id
            if isinstance(started, Run):
                job.show(started)
            if wait:
                async with showing_time_left(flora, job.progress, lambda: job.run or started):
                    job.run = await flora.wait_for_run(started, timeout=timeout, on_update=job.show)
        if not wait or job.run is None:
            if job.as_json:
                print_json(to_dict(started))
            else:
                say(printable(started.run_id, _MAX_ID))
            note(job.advice())
            return ExitCode.OK
        return await finish(flora, job, job.run)


async def follow(flora: FloraSession, job: Job, reference: str, *, timeout: float | None) -> ExitCode:  # noqa: ASYNC109 - of the wait, handed on
    """Wait for a run that was started before."""
    with interrupts(job.at_interrupt):
        with job.progress:
            async with showing_time_left(flora, job.progress, lambda: job.run):
                job.run = await flora.wait_for_run(reference, timeout=timeout, on_update=job.show)
        job.run_id = job.run.run_id
        return await finish(flora, job, job.run)


async def finish(flora: FloraSession, job: Job, run: Run) -> ExitCode:
    """Save and print the outputs of a run that has ended, or print why it failed."""
    if run.charged_cost is not None:
        note(f"Charged {run.charged_cost:.4g} USD{', not really' if job.is_fake else ''}.")
    if not run.is_completed:
        code, message = printable(run.error_code or "no code"), printable(run.error_message or "no message")
        note(f"The run failed with {code}: {message}")
        if run.failure and run.failure.hint:
            note(f"FLORA's advice: {printable(str(run.failure.hint))}")
    saved = await _save(flora, job, run) if run.is_completed and job.save_to is not None else ()
    if job.as_json:
        print_json({**to_dict(run), "files": [str(path) for path in saved]})
    else:
        for path in saved:
            say(f"Saved {path} ({path.stat().st_size:,} bytes)")
            show_picture(path)
        for output in run.outputs:
            if output.text is not None or not job.is_saved:
                say(f"{printable(output.output_id) or 'output'}: {output.url}")
    is_well = run.is_completed and (job.is_saved or job.save_to is None)
    return ExitCode.OK if is_well else ExitCode.FAILED


async def _save(flora: FloraSession, job: Job, run: Run) -> tuple[Path, ...]:
    try:
        saved = await flora.save_outputs(run, job.save_to or ".", sidecar=False)
    except (DownloadError, UntrustedURLError, OSError) as error:
        for line in getattr(error, "__notes__", None) or [str(error)]:
            note(line)
        note(job.advice())
        return ()
    job.is_saved = True
    return saved
