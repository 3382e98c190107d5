"""The pytest plugin: the fixtures `fake_flora` and `flora_session`.

Every pytest run in an environment with `flora_async` loads it, so it imports the server only when a fixture is used.
"""

import inspect
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

try:
    import pytest_asyncio
except ImportError:
    pytest_asyncio = None  # type: ignore[assignment]  # the plugin also works with anyio's

if TYPE_CHECKING:
    from flora_async import FloraSession
    from flora_async.testing import FakeFlora


_CHOOSES_LOOP = pytest_asyncio is not None and "loop_scope" in inspect.signature(pytest_asyncio.fixture).parameters


def _resource_fixtures(prefix: str, loop_scope: str | None) -> dict[str, Any]:
    """Return the fixtures that open the server and the session, on the loop of this scope if there is a choice."""
    options: dict[str, Any] = {} if loop_scope is None else {"loop_scope": loop_scope}
    fixture = pytest.fixture if pytest_asyncio is None else pytest_asyncio.fixture

    @fixture(name=f"{prefix}_server", **options)
    async def server() -> AsyncIterator["FakeFlora"]:
        from flora_async.testing import FakeFlora  # noqa: PLC0415 - keeps unused fixtures cheap

        async with FakeFlora() as fake:
            yield fake

    @fixture(name=f"{prefix}_session", **options)
    async def session(fake_flora: "FakeFlora") -> AsyncIterator["FloraSession"]:
        from flora_async import FloraSession, PollPolicy, RetryPolicy  # noqa: PLC0415 - likewise

        async with FloraSession(
            fake_flora.api_key,
            base_url=fake_flora.base_url,
            retry=RetryPolicy(attempts=4, initial=0.001, maximum=0.01, settle=0.01, rate_limit_pause=0.01),
            poll=PollPolicy(initial=0.001, maximum=0.01, outage=1.0, timeout=10.0),
        ) as opened:
            yield opened

    return {f"{prefix}_server": server, f"{prefix}_session": session}


# A server and its client have to be on the event loop of the test, whose scope is only known at run time.
for _scope in ("function", "class", "module", "package", "session") if _CHOOSES_LOOP else (None,):
    globals().update(_resource_fixtures(f"_flora_{_scope}_loop", _scope))


def _resource(request: pytest.FixtureRequest, kind: str) -> Any:  # noqa: ANN401 - of either kind
    if not _CHOOSES_LOOP:
        return request.getfixturevalue(f"_flora_None_loop_{kind}")
    marker = request.node.get_closest_marker("asyncio")
    if marker is None:
        pytest.fail(
            f"{request.fixturename} needs an asynchronous test that pytest-asyncio runs: mark {request.node.name} with "
            "@pytest.mark.asyncio, or set asyncio_mode = 'auto'",
            pytrace=False,
        )
    scope = marker.kwargs.get("loop_scope") or request.config.getini("asyncio_default_test_loop_scope")
    return request.getfixturevalue(f"_flora_{scope}_loop_{kind}")


@pytest.fixture
def fake_flora(request: pytest.FixtureRequest) -> "FakeFlora":
    """A started `FakeFlora` for this test alone, on the test's event loop.

    Example:
        >>> async def test_my_service(fake_flora):
        ...     service = MyService(base_url=fake_flora.base_url, api_key=fake_flora.api_key)
        ...     await service.create_image()
        ...     assert len(fake_flora.runs) == 1
    """
    fake: FakeFlora = _resource(request, "server")
    return fake


@pytest.fixture
def flora_session(request: pytest.FixtureRequest) -> "FloraSession":
    """An open `FloraSession` on `fake_flora` that polls and retries within milliseconds.

    Example:
        >>> async def test_a_run(flora_session):
        ...     run = await flora_session.run("caption", {"prompt": "a cat"})
        ...     assert run.is_completed
    """
    session: FloraSession = _resource(request, "session")
    return session
