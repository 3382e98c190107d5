"""One poll of a run: where it is asked for, and what the answer says."""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from attrs import evolve, frozen

from flora_async._clock import Clock
from flora_async._http.client import Client
from flora_async._http.responses import Response, retry_after
from flora_async._http.routes import ROUTES
from flora_async._http.transport import Request
from flora_async.config import PollPolicy
from flora_async.errors import DecodeError
from flora_async.models import Run
from flora_async.models._codec import decode

Poll = Callable[[float], Awaitable[tuple[Run, float | None]]]
"""Polls a run once: given a deadline (monotonic seconds), the run and the pause that `Retry-After` asked for."""


class Followable(Protocol):
    """Anything that names a run, such as FLORA's answer to a start."""

    @property
    def run_id(self) -> str:
        """FLORA's id of the run (`run_…`)."""
        ...

    @property
    def poll_url(self) -> str | None:
        """Where to ask for the run; None = by its id."""
        ...


RunReference = Followable | str
"""A `Run`, anything with `run_id` and `poll_url`, a poll URL, or a `run_…` id."""


@frozen
class Poller:
    """Polls runs for one session.

    Attributes:
        client: Sends the requests.
        policy: When runs are polled, unless a call says otherwise.
        clock: Time, sleep and randomness.
    """

    client: Client
    policy: PollPolicy
    clock: Clock

    def poll_of(self, run: RunReference) -> Poll:
        """Prepare polling a run at its poll URL, or else by its id; nothing is sent yet.

        Raises:
            UntrustedURLError: The poll URL may not be followed.
            ValueError: `run` does not name a run.
            TypeError: `run` has the wrong type.
        """
        if isinstance(run, str):
            run_id, poll_url = (None, run) if "/" in run else (run, None)
        else:
            run_id, poll_url = getattr(run, "run_id", None), getattr(run, "poll_url", None)
        if not (isinstance(poll_url, str) and poll_url):
            if run_id is None:
                raise TypeError(f"run must be a Run, a poll URL or a run id, not {run!r:.60}")
            if isinstance(run, str) and not run.startswith("run_"):
                raise ValueError(f"run {run!r:.60} is neither a poll URL nor a run id (run_…)")
            if run_id == "":
                raise ValueError(f"{run!r:.120} was not started: there is no run to wait for")
            poll_url = self.client.url(ROUTES["generations.retrieve"], {"run_id": run_id})
        return partial(self._poll, self.client.poll_request(poll_url), run_id)

    async def _poll(self, request: Request, run_id: str | None, deadline: float = math.inf) -> tuple[Run, float | None]:
        response = await self.client.attempt(request, deadline)
        run = decode_run(response, run_id)
        if run.poll_url is None:
            run = evolve(run, poll_url=str(request.url))
        return run, retry_after(response.headers, self.clock.time())


def decode_run(response: Response, run_id: str | None) -> Run:
    """Read an answer about one run; None = about whichever run it is.

    Raises:
        DecodeError: It cannot be read, or is about another run.
    """
    run = decode(response.body, Run, request_id=response.request_id)
    if run_id and run.run_id != run_id:
        raise DecodeError("run_id", f"{run.run_id[:40]!r} is another run", request_id=response.request_id)
    return run
