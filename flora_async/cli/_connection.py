"""Open the session of a command: on FLORA, or on a local one with `--fake`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from flora_async.cli._output import note
from flora_async.config import PollPolicy
from flora_async.session import FloraSession

_FAKE_POLL = PollPolicy(initial=0.1, maximum=0.25)
FAKE_PROJECT = "prj_local"


@asynccontextmanager
async def connect(*, fake: bool, run_seconds: float = 1.0) -> AsyncIterator[FloraSession]:
    """Open a session, with the key from the environment or on a local FLORA that ends with it.

    Raises:
        ValueError: There is no key, or a variable of the environment is malformed.
    """
    async with AsyncExitStack() as stack:
        if fake:
            from flora_async.testing import FakeFlora  # noqa: PLC0415 - a web server, for this option alone

            local = await stack.enter_async_context(FakeFlora(run_seconds=run_seconds))
            note("This is a local FLORA: nothing leaves the machine, and no prices are real.")
            session = FloraSession(local.api_key, base_url=local.base_url, poll=_FAKE_POLL)
        else:
            session = FloraSession()
        yield await stack.enter_async_context(session)
