"""The commands that start runs or look at them: `demo`, `run`, `generate`, `wait` and `runs`."""

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal

from attrs import frozen

from flora_async.cli._connection import FAKE_PROJECT, connect
from flora_async.cli._exit import ExitCode, execute
from flora_async.cli._following import Job, follow, prepare, start_and_follow
from flora_async.cli._output import Format, show, show_item
from flora_async.cli._values import read_inputs, read_params, without_passwords
from flora_async.media.store_urls import shown_url
from flora_async.models import Generation, Run, RunTicket, TechniqueRun
from flora_async.models._codec import to_dict
from flora_async.resources.models import Medium
from flora_async.session import FloraSession

_RUN_COLUMNS = ("run_id", "status", "subject", "created_at", "charged_cost", "error_code")


@frozen
class FollowOptions:
    """How a command follows its run.

    Attributes:
        save_to: Where outputs are saved; None = nowhere.
        as_json: Print the run as JSON.
        wait: Wait for the end.
        timeout: Seconds to wait; None = no limit.
        fake: Use a local FLORA.
    """

    save_to: str | None = "."
    as_json: bool = False
    wait: bool = True
    timeout: float | None = 1800.0
    fake: bool = False

    def job(self, *repeat: str) -> Job:
        """Make the job of a command; `repeat` is the command line that starts it again."""
        return Job(
            [*repeat, *(() if self.save_to is None else ("--save", shown_url(self.save_to)))] if repeat else [],
            self.save_to,
            self.as_json,
            self.fake,
        )


def demo(directory: str | None) -> ExitCode:
    """Run a technique against a local FLORA, through the same code as against the real one."""
    folder = tempfile.mkdtemp(prefix="flora-demo-") if directory is None else directory
    options = FollowOptions(folder, fake=True, timeout=60.0)
    return run("cctv-cam", ["input_image=https://example.com/photo.png"], options, run_seconds=2.0)


def run(
    technique: str,
    inputs: Sequence[str],
    options: FollowOptions,
    *,
    idempotency_key: str | None = None,
    run_seconds: float = 1.0,
) -> ExitCode:
    """Start a run of a technique, and follow it."""
    arguments = [argument for pair in without_passwords(inputs) for argument in ("-i", pair)]
    job = options.job("flora-async", "run", technique, *arguments)

    async def command() -> ExitCode:
        values = read_inputs(inputs)
        prepare(job, options.timeout, idempotency_key, saves=options.wait)
        async with connect(fake=options.fake, run_seconds=run_seconds) as flora:

            async def start(session: FloraSession, key: str) -> Run:
                # With a key that was used before, the run that it has started is the one that is meant.
                adopt = idempotency_key is not None
                create = session.techniques.runs.create
                return await create(technique, inputs=values, idempotency_key=key, check=True, adopt=adopt)

            return await start_and_follow(
                flora, job, start, idempotency_key=idempotency_key, timeout=options.timeout, wait=options.wait
            )

    return execute(command, job)


def generate(  # noqa: PLR0913 - FLORA's own fields
    prompt: str,
    options: FollowOptions,
    *,
    medium: Medium,
    model: str | None,
    params: Sequence[str],
    project: str | None,
    idempotency_key: str | None,
) -> ExitCode:
    """Start a generation by a model, and follow it."""
    arguments = [*(("--model", model) if model else ()), *(argument for pair in params for argument in ("-p", pair))]
    project_id = FAKE_PROJECT if options.fake and project is None else project
    named = ("--project", project_id) if project_id else ()
    job = options.job("flora-async", "generate", prompt, "--type", medium, *named, *arguments)

    async def command() -> ExitCode:
        values = read_params("--param", params)
        if project_id is None:
            raise ValueError("name the project to make it in with --project or FLORA_PROJECT_ID (prj_…)")
        target = project_id
        prepare(job, options.timeout, idempotency_key, saves=options.wait)
        async with connect(fake=options.fake) as flora:

            async def start(session: FloraSession, key: str) -> RunTicket:
                return await session.generations.create(
                    type=medium,
                    prompt=prompt,
                    project_id=target,
                    model=model,
                    params=values or None,
                    idempotency_key=key,
                    check=True,
                    adopt=idempotency_key is not None,
                )

            return await start_and_follow(
                flora, job, start, idempotency_key=idempotency_key, timeout=options.timeout, wait=options.wait
            )

    return execute(command, job)


def wait(reference: str, options: FollowOptions) -> ExitCode:
    """Wait for a run that was started before, by its id or poll URL."""
    job = options.job()

    async def command() -> ExitCode:
        prepare(job, options.timeout, saves=True)
        async with connect(fake=options.fake) as flora:
            return await follow(flora, job, reference, timeout=options.timeout)

    return execute(command, job)


def list_runs(  # noqa: PLR0913 - FLORA's own filters
    kind: Literal["technique", "generation"],
    *,
    technique: str | None,
    status: str | None,
    limit: int,
    output: Format,
    fake: bool,
) -> ExitCode:
    """List the newest runs."""

    async def command() -> ExitCode:
        size = min(limit, 100)
        async with connect(fake=fake) as flora:
            pager: Any
            if kind == "generation":
                pager = flora.generations.list(status=status, limit=size)
            else:
                pager = flora.techniques.runs.list(technique_id=technique, status=status, limit=size)
            show([_listed(item) for item in await take(aiter(pager), limit)], output, _RUN_COLUMNS)
        return ExitCode.OK

    return execute(command)


def show_run(reference: str, output: Format, *, fake: bool) -> ExitCode:
    """Show a run as it is now."""

    async def command() -> ExitCode:
        async with connect(fake=fake) as flora, aclosing(flora.watch_run(reference)) as changes:
            show_item(to_dict(await anext(changes)), output)
        return ExitCode.OK

    return execute(command)


async def take(items: AsyncIterator[Any], limit: int) -> list[Any]:
    """Return the first items of an iterator."""
    taken: list[Any] = []
    async for item in items:
        taken.append(item)
        if len(taken) >= limit:
            break
    return taken


def _listed(run: TechniqueRun | Generation) -> Mapping[str, Any]:
    subject = run.model and run.model.model_id if isinstance(run, Generation) else run.technique and run.technique.name
    return {**to_dict(run), "subject": subject}
