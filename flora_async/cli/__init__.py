"""The command line: `flora-async demo`, `run` and `journal`, also as `python -m flora_async`."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from flora_async._version import __version__
from flora_async.cli._commands import Job, demo, run
from flora_async.cli._output import Format, say
from flora_async.errors import FloraError, JournalError, SubmissionUnknownError

__all__ = ["main"]

_DONE, _FAILED, _USAGE, _UNKNOWN, _INTERRUPTED = 0, 1, 2, 3, 130

_EXIT_CODES = """\
exit status: 0 the run completed · 1 it failed, or an error ended the wait · 2 the arguments or the key are wrong ·
3 the outcome of a start is unknown (start it again only with the idempotency key that is shown) · 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command line without the program's name; None = `sys.argv`.

    Returns:
        The exit status: 0 completed, 1 failed, 2 wrong usage, 3 a start with unknown outcome, 130 interrupted.

    Example:
        `python -m flora_async run cctv-cam --input input_image=https://example.com/photo.png`
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "run" and len(dict(options.input)) < len(options.input):
        parser.error("argument --input: an input is given twice; FLORA takes one value for each")
    if options.command == "journal":
        return _show_journal(options)
    # The commands print what the log warns about; without a handler, logging would print it a second time.
    logging.getLogger("flora_async").addHandler(logging.NullHandler())
    is_demo = options.command == "demo"
    job = Job("cctv-cam" if is_demo else options.technique, is_demo=is_demo)
    try:
        if is_demo:
            finished = asyncio.run(demo(job, options.output_dir))
        else:
            finished = asyncio.run(
                run(
                    job,
                    dict(options.input),
                    options.output_dir,
                    idempotency_key=options.idempotency_key,
                    timeout=options.timeout,
                )
            )
    except SubmissionUnknownError as error:
        _complain(str(error), f"Cause: {error.__cause__}", f"Idempotency key: {error.idempotency_key}")
        return _UNKNOWN
    except (FloraError, OSError) as error:
        _complain(str(error), job.hint())
        return _FAILED
    except (ValueError, TypeError) as error:
        _complain(str(error), job.hint())
        return _USAGE if job.run is None else _FAILED
    except KeyboardInterrupt:
        _complain(f"interrupted: {job.hint_after_interrupt()}")
        return _INTERRUPTED
    return _DONE if finished.is_completed and job.is_saved else _FAILED


def _show_journal(options: argparse.Namespace) -> int:
    from flora_async.cli._journal import journal  # noqa: PLC0415 - SQLite is loaded when it is used

    try:
        journal(options.file, options.action, options.format)
    except JournalError as error:
        _complain(str(error))
        return _FAILED
    except ValueError as error:
        _complain(str(error))
        return _USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED
    return _DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="flora-async", description="Run FLORA techniques from the command line.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("demo", "run a technique against a local FLORA: no key, no network, no cost"),
        ("run", "start a run of a technique, follow it and save its outputs; needs FLORA_API_KEY and costs money"),
    ):
        command = commands.add_parser(
            name, help=text, description=text, epilog=_EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        command.add_argument(
            "--output-dir",
            type=Path,
            default=Path(),
            metavar="DIR",
            help="where outputs are saved (default: the current directory)",
        )
    command.add_argument("technique", metavar="TECHNIQUE", help="the technique's slug or id")
    command.add_argument(
        "--input",
        type=_input,
        action="append",
        required=True,
        metavar="ID=VALUE",
        help="a value for one input, text or the https URL of an image or video; repeat for more",
    )
    command.add_argument(
        "--idempotency-key", metavar="KEY", help="start at most one run under this key, also over several calls"
    )
    command.add_argument(
        "--timeout", type=float, default=1800.0, metavar="SECONDS", help="stop waiting after this (default: 1800)"
    )
    _add_journal(commands)
    return parser


def _add_journal(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "show what a batch has recorded, without changing the file"
    command = commands.add_parser("journal", help=text, description=text)
    command.add_argument("file", type=Path, metavar="FILE", help="the journal of a batch")
    command.add_argument(
        "action",
        nargs="?",
        choices=("list", "verify", "export"),
        default="list",
        help="list the rows, verify that the file is complete and unchanged, or export all records (default: list)",
    )
    command.add_argument("--format", choices=get_args(Format), help="default: a table; JSON lines for an export")


def _input(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} must look like id=value")
    return name, value


def _complain(*lines: str) -> None:
    """Print an error and further lines about it to stderr."""
    first, *more = filter(None, lines)
    say(f"flora-async: {first}", sys.stderr)
    for line in more:
        say(line, sys.stderr)
