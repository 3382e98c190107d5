"""The pytest plugin: the fixtures `fake_flora` and `flora_session`.

It is loaded by every pytest run in an environment that has `flora_async`, so it imports next to nothing until
a fixture is asked for.
"""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

try:
    from pytest_asyncio import fixture
except ImportError:
    # anyio's plugin drives plain fixtures; the two differ only in options that are not used here.
    fixture = pytest.fixture  # type: ignore[assignment]  # see above

if TYPE_CHECKING:
    from flora_async import FloraSession
    from flora_async.testing import FakeFlora


@fixture
async def fake_flora() -> AsyncIterator["FakeFlora"]:
    """A started `FakeFlora` of this test's own.

    Example:
        >>> async def test_my_service(fake_flora):
        ...     service = MyService(base_url=fake_flora.base_url, api_key=fake_flora.api_key)
        ...     await service.make_a_picture()
        ...     assert len(fake_flora.runs) == 1
    """
    from flora_async.testing import FakeFlora  # noqa: PLC0415  keeps the plugin cheap where it is not used

    async with FakeFlora() as fake:
        yield fake


@fixture
async def flora_session(fake_flora: "FakeFlora") -> AsyncIterator["FloraSession"]:
    """An open `FloraSession` on `fake_flora` that waits and retries in milliseconds.

    Example:
        >>> async def test_a_run(flora_session):
        ...     run = await flora_session.run("caption", {"prompt": "a cat"})
        ...     assert run.is_completed
    """
    from flora_async import FloraSession, PollPolicy, RetryPolicy  # noqa: PLC0415  likewise

    async with FloraSession(
        fake_flora.api_key,
        base_url=fake_flora.base_url,
        retry=RetryPolicy(attempts=4, initial=0.001, maximum=0.01, settle=0.01, rate_limit_pause=0.01),
        poll=PollPolicy(initial=0.001, maximum=0.01, outage=1.0, timeout=10.0),
    ) as session:
        yield session
