"""Ctrl-C: the first one stops what is not paid for yet, the second one leaves."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flora_async.cli._output import note


@contextmanager
def interrupts(at_first: Callable[[], str]) -> Iterator[None]:
    """Handle Ctrl-C inside the `with`, in the main task of a loop.

    Where the loop cannot watch signals, as on Windows, the first Ctrl-C leaves.

    Args:
        at_first: Called at the first Ctrl-C; returns what to tell the user, or "" to leave at once.
    """
    task, loop, count = asyncio.current_task(), asyncio.get_running_loop(), 0

    def interrupt() -> None:
        nonlocal count
        count += 1
        message = at_first() if count == 1 else ""
        if message:
            note(f"{message} Press Ctrl-C again to leave at once.")
        elif task is not None:
            task.cancel()

    try:
        loop.add_signal_handler(signal.SIGINT, interrupt)
    except (NotImplementedError, RuntimeError):  # Windows; or a thread other than the main one
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
