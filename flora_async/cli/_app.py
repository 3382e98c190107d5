"""The commands with their options, for typer. What each does is in the modules that it calls."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from flora_async._version import __version__
from flora_async.cli import _batch, _catalog, _files, _runs, _webhook
from flora_async.cli._exit import EXIT_CODES, ExitCode
from flora_async.cli._journal import JournalAction, journal
from flora_async.cli._output import Format, say
from flora_async.resources.models import Medium

app = typer.Typer(
    name="flora-async",
    help="Run FLORA's techniques and models. The API key is read from FLORA_API_KEY.",
    epilog=EXIT_CODES,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_techniques = typer.Typer(help="Look at techniques.", rich_markup_mode=None)
_runs_group = typer.Typer(help="Look at runs.", rich_markup_mode=None)
_models = typer.Typer(help="Look at models for generations.", rich_markup_mode=None)
_workspaces = typer.Typer(help="Look at workspaces.", rich_markup_mode=None)
_webhooks = typer.Typer(help="Receive and verify webhooks.", rich_markup_mode=None)
for _group, _name in (
    (_techniques, "techniques"),
    (_runs_group, "runs"),
    (_models, "models"),
    (_workspaces, "workspaces"),
    (_webhooks, "webhook"),
):
    app.add_typer(_group, name=_name)

FormatOption = Annotated[Format, typer.Option("--format", help="How results are printed.")]
FakeOption = Annotated[bool, typer.Option("--fake", help="Use a local FLORA: no key, no network, no cost.")]
SaveOption = Annotated[
    str,
    typer.Option("--save", "--output-dir", metavar="DIR|URL", help="Where outputs are saved, such as s3://bucket/."),
]
NoSaveOption = Annotated[bool, typer.Option("--no-save", help="Save no outputs, and print their URLs.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the run as JSON.")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end, or print the run's id at once.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Stop waiting after this.")]
KeyOption = Annotated[
    str | None,
    typer.Option("--idempotency-key", metavar="KEY", help="Start at most one run under this key, over several calls."),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(*("--param", "-p"), metavar="NAME=VALUE", help="A parameter of the model: JSON, text, or @FILE."),
]
ProjectOption = Annotated[
    str | None, typer.Option("--project", envvar="FLORA_PROJECT_ID", help="The project to make it in (prj_…).")
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="How many to list.")]


def main(arguments: Sequence[str]) -> int:
    """Run one command, and return its exit status."""
    try:
        app(list(arguments), prog_name="flora-async", obj=tuple(arguments))
    except SystemExit as error:
        if isinstance(error.code, int):
            return error.code
    return ExitCode.USAGE


def _show_version(value: bool) -> None:  # noqa: FBT001 - as typer calls it
    if value:
        say(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    directory: Annotated[
        str | None,
        typer.Option("--save", "--output-dir", metavar="DIR", help="Where to; default: a new temporary directory."),
    ] = None,
) -> None:
    """Run a technique on a local FLORA: no key, no network, no cost."""
    raise typer.Exit(_runs.demo(directory))


@app.command(epilog=EXIT_CODES)
def run(
    technique: Annotated[str, typer.Argument(metavar="TECHNIQUE", help="The technique's slug or id.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            *("--input", "-i"),
            metavar="ID=VALUE",
            help="A value for one input: text, a URL, or @FILE (also @s3://…); repeat it for more. @@ stands for @.",
        ),
    ] = None,
    save: SaveOption = ".",
    no_save: NoSaveOption = False,
    wait: WaitOption = True,
    as_json: JsonOption = False,
    idempotency_key: KeyOption = None,
    timeout: TimeoutOption = 1800.0,
    fake: FakeOption = False,
) -> None:
    """Start a run of a technique, follow it, and save its outputs. This costs money."""
    options = _runs.FollowOptions(None if no_save else save, as_json, wait, timeout, fake)
    raise typer.Exit(_runs.run(technique, inputs or [], options, idempotency_key=idempotency_key))


@app.command(epilog=EXIT_CODES)
def generate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to make it from.")],
    model: Annotated[str | None, typer.Option("--model", help="The model's id; default: FLORA's choice.")] = None,
    medium: Annotated[Medium, typer.Option("--type", help="What to make.")] = "image",
    params: ParamOption = None,
    project: ProjectOption = None,
    save: SaveOption = ".",
    no_save: NoSaveOption = False,
    wait: WaitOption = True,
    as_json: JsonOption = False,
    idempotency_key: KeyOption = None,
    timeout: TimeoutOption = 1800.0,
    fake: FakeOption = False,
) -> None:
    """Start a generation, follow it, and save its outputs. This costs money."""
    options = _runs.FollowOptions(None if no_save else save, as_json, wait, timeout, fake)
    status = _runs.generate(
        prompt,
        options,
        medium=medium,
        model=model,
        params=params or [],
        project=project,
        idempotency_key=idempotency_key,
    )
    raise typer.Exit(status)


@app.command(epilog=EXIT_CODES)
def wait(
    reference: Annotated[str, typer.Argument(metavar="RUN_ID|POLL_URL", help="A run that was started before.")],
    save: SaveOption = ".",
    no_save: NoSaveOption = False,
    as_json: JsonOption = False,
    timeout: TimeoutOption = 1800.0,
) -> None:
    """Wait for a run, and save its outputs."""
    options = _runs.FollowOptions(None if no_save else save, as_json, timeout=timeout)
    raise typer.Exit(_runs.wait(reference, options))


@_runs_group.command("list")
def list_runs(
    kind: Annotated[Literal["technique", "generation"], typer.Option("--kind", help="Which runs.")] = "technique",
    technique: Annotated[str | None, typer.Option("--technique", help="Only runs of this technique.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only runs with this status.")] = None,
    limit: LimitOption = 30,
    output: FormatOption = "table",
    fake: FakeOption = False,
) -> None:
    """List runs, the newest first."""
    raise typer.Exit(_runs.list_runs(kind, technique=technique, status=status, limit=limit, output=output, fake=fake))


@_runs_group.command("show")
def show_run(
    reference: Annotated[str, typer.Argument(metavar="RUN_ID|POLL_URL")],
    output: FormatOption = "table",
    fake: FakeOption = False,
) -> None:
    """Show a run as it is now."""
    raise typer.Exit(_runs.show_run(reference, output, fake=fake))


@_techniques.command("list")
def list_techniques(
    query: Annotated[str | None, typer.Argument(help="Only techniques that match this text.")] = None,
    limit: LimitOption = 30,
    output: FormatOption = "table",
    fake: FakeOption = False,
) -> None:
    """List techniques with their inputs; those with ? are optional."""
    raise typer.Exit(_catalog.list_techniques(query, limit, output, fake=fake))


@_techniques.command("show")
def show_technique(technique: str, output: FormatOption = "table", fake: FakeOption = False) -> None:
    """Show a technique with its inputs, outputs and price."""
    raise typer.Exit(_catalog.show_technique(technique, output, fake=fake))


@_models.command("list")
def list_models(
    medium: Annotated[Medium | None, typer.Option("--type", help="Only models that make this.")] = None,
    output: FormatOption = "table",
    fake: FakeOption = False,
) -> None:
    """List models."""
    raise typer.Exit(_catalog.list_models(medium, output, fake=fake))


@_models.command("show")
def show_model(model: str, output: FormatOption = "table", fake: FakeOption = False) -> None:
    """Show a model with its parameters."""
    raise typer.Exit(_catalog.show_model(model, output, fake=fake))


@_workspaces.command("list")
def list_workspaces(output: FormatOption = "table", fake: FakeOption = False) -> None:
    """List the workspaces that the key reaches."""
    raise typer.Exit(_catalog.list_workspaces(output, fake=fake))


@app.command(epilog=EXIT_CODES)
def batch(
    context: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[TECHNIQUE] ROWS",
            help="The technique, unless --model is named, and a .csv, .tsv, .jsonl or .parquet file.",
        ),
    ],
    model: Annotated[str | None, typer.Option("--model", help="Generate with this model.")] = None,
    medium: Annotated[
        Medium | None, typer.Option("--type", help="What to generate; default: what the model makes.")
    ] = None,
    params: ParamOption = None,
    project: ProjectOption = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="COLUMN=INPUT", help="Only these columns are inputs; default: all, by name."),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="COLUMN", help="The column with the rows' names.")] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="The most runs under way at once.")] = 16,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", metavar="USD", help="The most that the batch may spend.")
    ] = None,
    journal_file: Annotated[
        Path | None,
        typer.Option("--journal", metavar="FILE", help="Record each step; the same command then continues a batch."),
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(
            "--save", "--output-dir", metavar="DIR|URL", help="Where outputs are saved, such as s3://bucket/."
        ),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option("--report", metavar="FILE", help="Write an HTML file that shows the results to people."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be started, what is wrong in which row, and the cost.")
    ] = False,
    output: FormatOption = "table",
    fake: FakeOption = False,
) -> None:
    """Run each row of a file through a technique or a model. This costs money."""
    arguments = _batch.BatchArguments(
        names,
        model,
        medium,
        params or [],
        project,
        mapping or [],
        key,
        concurrency,
        max_cost,
        journal_file,
        save,
        report,
        dry_run,
        output,
        fake,
    )
    raise typer.Exit(_batch.batch(arguments, ["flora-async", *context.obj]))


@app.command("journal")
def show_journal(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The journal of a batch.")],
    action: Annotated[
        JournalAction, typer.Argument(help="List the rows, verify that the file is intact, or export all records.")
    ] = "list",
    output: Annotated[
        Format | None, typer.Option("--format", help="Default: a table; JSON lines for an export.")
    ] = None,
) -> None:
    """Show what a batch has recorded, without changing the file."""
    raise typer.Exit(journal(file, action, output))


@app.command()
def upload(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    workspace: Annotated[str | None, typer.Option("--workspace", help="The workspace to upload it to (ws_…).")] = None,
    output: Annotated[Format | None, typer.Option("--format", help="Print the asset; default: its URL.")] = None,
    fake: FakeOption = False,
) -> None:
    """Upload a file, and print its URL."""
    raise typer.Exit(_files.upload(file, workspace, output, fake=fake))


@app.command()
def download(
    url: Annotated[str, typer.Argument(metavar="URL", help="The URL of an output or an asset.")],
    destination: Annotated[
        str, typer.Argument(metavar="[PATH|URL]", help="A file or a directory, also in a store such as s3://bucket/.")
    ] = ".",
    replace: Annotated[bool, typer.Option("--replace", help="Replace a file that exists.")] = False,
    fake: FakeOption = False,
) -> None:
    """Save the file behind a URL, completely or not at all."""
    raise typer.Exit(_files.download(url, destination, replace=replace, fake=fake))


@app.command()
def api(
    method: Annotated[str, typer.Argument(metavar="METHOD")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="Below the base URL, such as /models.")],
    query: Annotated[
        list[str] | None, typer.Option(*("--query", "-q"), metavar="NAME=VALUE", help="A parameter of the URL.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(*("--field", "-f"), metavar="NAME=VALUE", help="A field of the body, JSON or text."),
    ] = None,
    body: Annotated[
        str | None, typer.Option("--input", metavar="FILE", help="The body, as JSON in a file; - is stdin.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="KEY", help="For operations that honor it.")
    ] = None,
    fake: FakeOption = False,
) -> None:
    """Send a request to FLORA's API, and print its JSON. POST and PATCH may cost money."""
    status = _files.api(
        method, path, query=query or [], fields=field or [], body=body, idempotency_key=idempotency_key, fake=fake
    )
    raise typer.Exit(status)


@_webhooks.command("listen")
def listen(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 = any free port.")] = 8787,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after so many events.")] = None,
) -> None:
    """Print each verified webhook as a line of JSON. The secret is read from FLORA_WEBHOOK_SECRET."""
    raise typer.Exit(_webhook.listen(host, port, count))


@_webhooks.command("verify")
def verify(
    signature: Annotated[str, typer.Option("--signature", help="The value of the header Flora-Signature.")],
    body: Annotated[Path | None, typer.Argument(metavar="FILE", help="The raw body; default: stdin.")] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="Seconds that it may be old; 0 = any age.")] = 300.0,
) -> None:
    """Verify one webhook. The secret is read from FLORA_WEBHOOK_SECRET."""
    raise typer.Exit(_webhook.verify(body, signature, tolerance))
