"""The commands that work without the extra: `demo`, `run`, `wait` and `journal`, on the standard library."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from flora_async._version import __version__
from flora_async.cli._exit import EXIT_CODES, ExitCode, complain
from flora_async.cli._output import Format
from flora_async.cli._runs import FollowOptions, demo, run, wait

_OTHERS = frozenset(
    {"api", "batch", "download", "generate", "models", "runs", "techniques", "upload", "webhook", "workspaces"}
)


def main(arguments: Sequence[str]) -> int:
    """Run one command, and return its exit status."""
    if arguments and arguments[0] in _OTHERS:
        complain(f"{arguments[0]!r} needs the extra: pip install 'flora-async[cli]'")
        return ExitCode.USAGE
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else ExitCode.USAGE
    if options.command == "journal":
        from flora_async.cli._journal import journal  # noqa: PLC0415 - SQLite is loaded when it is used

        return journal(options.file, options.action, options.format)
    if options.command == "demo":
        return demo(options.save)
    save_to = None if options.no_save else options.save
    if options.command == "wait":
        return wait(options.reference, FollowOptions(save_to, options.json, timeout=options.timeout))
    following = FollowOptions(save_to, options.json, not options.no_wait, options.timeout)
    return run(options.technique, options.input, following, idempotency_key=options.idempotency_key)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flora-async",
        description="Run FLORA's techniques. The extra flora-async[cli] has more commands: "
        + ", ".join(sorted(_OTHERS)),
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "run a technique on a local FLORA: no key, no network, no cost"
    command = commands.add_parser("demo", help=text, description=text, epilog=EXIT_CODES)
    _add_save(command, None, "where the picture is saved (default: a new temporary directory)")
    text = "start a run of a technique, follow it and save its outputs; needs FLORA_API_KEY and costs money"
    command = commands.add_parser("run", help=text, description=text, epilog=EXIT_CODES)
    command.add_argument("technique", metavar="TECHNIQUE", help="the technique's slug or id")
    command.add_argument(
        *("-i", "--input"),
        action="append",
        required=True,
        metavar="ID=VALUE",
        help="a value for one input: text, the https URL of a medium, or @FILE (also @s3://…); repeat it for more",
    )
    command.add_argument("--no-wait", action="store_true", help="print the run's id once it is started")
    command.add_argument(
        "--idempotency-key", metavar="KEY", help="start at most one run under this key, over several calls too"
    )
    _add_following(command)
    text = "wait for a run that was started before, and save its outputs"
    command = commands.add_parser("wait", help=text, description=text, epilog=EXIT_CODES)
    command.add_argument("reference", metavar="RUN_ID|POLL_URL", help="the run")
    _add_following(command)
    _add_journal(commands)
    return parser


def _add_following(command: argparse.ArgumentParser) -> None:
    _add_save(
        command, ".", "a directory, or the URL of one in a store, for the outputs (default: the current directory)"
    )
    command.add_argument("--no-save", action="store_true", help="save no outputs, and print their URLs")
    command.add_argument("--json", action="store_true", help="print the run as JSON")
    command.add_argument(
        "--timeout", type=float, default=1800.0, metavar="SECONDS", help="stop waiting after this (default: 1800)"
    )


def _add_save(command: argparse.ArgumentParser, default: str | None, text: str) -> None:
    command.add_argument("--save", "--output-dir", default=default, metavar="DIR", help=text)


def _add_journal(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "show what a batch has recorded, without changing the file"
    command = commands.add_parser("journal", help=text, description=text, epilog=EXIT_CODES)
    command.add_argument("file", type=Path, metavar="FILE", help="the journal of a batch")
    command.add_argument(
        "action",
        nargs="?",
        choices=("list", "verify", "export"),
        default="list",
        help="list the rows, verify that the file is complete and unchanged, or export all records (default: list)",
    )
    command.add_argument("--format", choices=get_args(Format), help="default: a table; JSON lines for an export")
