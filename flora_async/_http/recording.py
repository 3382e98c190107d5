"""Record the answers of FLORA to the calls in a `with` block."""

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

    from flora_async.hooks import ResponseReceived


class _Recorder:
    """Where answers are recorded, as long as its block lasts: tasks that were started there may live longer."""

    __slots__ = ("is_open", "outer", "responses")

    def __init__(self, outer: "_Recorder | None") -> None:
        self.responses: list[ResponseReceived] = []
        self.is_open = True
        self.outer = outer

    def add(self, response: "ResponseReceived") -> None:
        recorder: _Recorder | None = self
        while recorder is not None:
            if recorder.is_open:
                recorder.responses.append(response)
            recorder = recorder.outer


RECORDER: Final[ContextVar[_Recorder | None]] = ContextVar("flora_async_recorder", default=None)


@contextmanager
def record_responses() -> "Generator[list[ResponseReceived], None, None]":
    """Record the status, headers and request id of each answer of FLORA to the calls inside the `with`.

    It works with every operation of every session, and with everything that a call consists of: all attempts, the polls
    of a wait, the requests of a batch. Each task records for itself and for the blocks in which it was started. Answers
    of hosts for files are not recorded.

    Yields:
        The answers, in the order in which they were read; the list grows with each one.

    Example:
        >>> with record_responses() as responses:
        ...     run = await flora.run("caption", {"prompt": "a red bicycle"})
        >>> start = next(response for response in responses if response.request.label == "start")
        >>> start.status, start.request.attempt, start.request_id is not None
        (201, 1, True)
    """
    recorder = _Recorder(RECORDER.get())
    token = RECORDER.set(recorder)
    try:
        yield recorder.responses
    finally:
        recorder.is_open = False
        RECORDER.reset(token)
