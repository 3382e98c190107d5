"""The pytest plugin: the fixtures `fake_flora` and `flora_session`.

Every pytest run in an environment with `flora_async` loads it, so it imports the server only when a fixture is used.
"""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

try:
    from pytest_asyncio import fixture
except ImportError:
    # anyio's plugin runs plain fixtures.
    fixture = pytest.fixture  # type: ignore[assignment]  # the options in which the two differ are not used here

if TYPE_CHECKING:
    from flora_async import FloraSession
    from flora_async.testing import FakeFlora


@fixture
async def fake_flora() -> AsyncIterator["FakeFlora"]:
    """A started `FakeFlora` for this test alone.

    Example:
        >>> async def test_my_service(fake_flora):
        ...     service = MyService(base_url=fake_flora.base_url, api_key=fake_flora.api_key)
        ...     await service.create_image()
        ...     assert len(fake_flora.runs) == 1
    """
    from flora_async.testing import FakeFlora  # noqa: PLC0415 - keeps unused fixtures cheap

    async with FakeFlora() as fake:
        yield fake


@fixture
async def flora_session(fake_flora: "FakeFlora") -> AsyncIterator["FloraSession"]:
    """An open `FloraSession` on `fake_flora` that polls and retries within milliseconds.

    Example:
        >>> async def test_a_run(flora_session):
        ...     run = await flora_session.run("caption", {"prompt": "a cat"})
        ...     assert run.is_completed
    """
    from flora_async import FloraSession, PollPolicy, RetryPolicy  # noqa: PLC0415 - likewise

    async with FloraSession(
        fake_flora.api_key,
        base_url=fake_flora.base_url,
        retry=RetryPolicy(attempts=4, initial=0.001, maximum=0.01, settle=0.01, rate_limit_pause=0.01),
        poll=PollPolicy(initial=0.001, maximum=0.01, outage=1.0, timeout=10.0),
    ) as session:
        yield session
