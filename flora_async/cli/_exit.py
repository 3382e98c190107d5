"""Run a command, and turn how it ends into an exit status and a message."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from enum import IntEnum
from typing import Any, Final, Protocol

from flora_async.cli._output import say, unwritten
from flora_async.errors import (
    AuthenticationError,
    DownloadError,
    FloraError,
    InputError,
    JournalError,
    SubmissionUnknownError,
    UntrustedURLError,
    UploadError,
    WaitTimeoutError,
    WebhookVerificationError,
)

EXIT_CODES: Final = (
    "exit status: 0 all is well; 1 a run failed, or a file could not be saved or verified; 2 the arguments or the API "
    "key are wrong; 3 FLORA refused or could not be reached; 4 a run exists or may exist, and its end is not known; "
    "130 interrupted"
)


class ExitCode(IntEnum):
    """The exit status of a command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    IN_DOUBT = 4
    INTERRUPTED = 130


class Stake(Protocol):
    """What a command has started, and how to continue when it ends early."""

    @property
    def is_in_doubt(self) -> bool:
        """Whether a run exists, or may exist, whose end is not known."""
        ...

    def advice(self) -> str:
        """How to continue; "" if there is nothing to continue."""
        ...

    def learn(self, error: BaseException) -> None:
        """Remember the run that an error carries."""
        ...


class Nothing:
    """The stake of a command that starts nothing."""

    is_in_doubt = False

    def advice(self) -> str:
        """Return "": there is nothing to continue."""
        return ""

    def learn(self, error: BaseException) -> None:
        """Remember nothing."""


_FILE_ERRORS: Final = (DownloadError, UploadError, UntrustedURLError, JournalError, WebhookVerificationError)
_USAGE_ERRORS: Final = (AuthenticationError, InputError, ValueError, TypeError, ImportError)


def execute(command: Callable[[], Coroutine[Any, Any, ExitCode] | ExitCode], stake: Stake | None = None) -> ExitCode:
    """Run a command to its end and return its exit status; what went wrong is printed to stderr.

    Args:
        command: Does the work, or makes the coroutine that does.
        stake: What the command starts; None = nothing.
    """
    at_stake: Stake = Nothing() if stake is None else stake
    # The commands print what the log warns about; without a handler, logging would print it a second time.
    logging.getLogger("flora_async").addHandler(logging.NullHandler())
    try:
        result = command()
        status = result if isinstance(result, ExitCode) else asyncio.run(result)
    except (KeyboardInterrupt, asyncio.CancelledError):
        complain(f"interrupted: {at_stake.advice()}".removesuffix(": "))
        return ExitCode.INTERRUPTED
    except (FloraError, OSError, ValueError, TypeError, ImportError) as error:
        at_stake.learn(error)
        notes = getattr(error, "__notes__", ())
        cause = f"Cause: {error.__cause__}" if isinstance(error, SubmissionUnknownError) and error.__cause__ else ""
        complain(_message_of(error), cause, *notes, at_stake.advice())
        return status_of(error, at_stake)
    if unwritten:
        complain(f"the results could not be printed: {unwritten.pop()}")
        return status or ExitCode.FAILED
    return status


def status_of(error: BaseException, stake: Stake) -> ExitCode:
    """Return the exit status for an error that ended a command."""
    if stake.is_in_doubt or isinstance(error, SubmissionUnknownError | WaitTimeoutError):
        return ExitCode.IN_DOUBT
    if isinstance(error, _USAGE_ERRORS):
        return ExitCode.USAGE
    is_local = isinstance(error, _FILE_ERRORS) or not isinstance(error, FloraError)
    return ExitCode.FAILED if is_local else ExitCode.REFUSED


def complain(first: str, *lines: str) -> None:
    """Print an error and further lines about it to stderr."""
    say(f"flora-async: {first}", sys.stderr)
    for line in filter(None, lines):
        say(line, sys.stderr)


def _message_of(error: BaseException) -> str:
    if isinstance(error, AuthenticationError):
        return f"{error} Check FLORA_API_KEY."
    return str(error) or type(error).__name__
