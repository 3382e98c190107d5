"""The pytest plugin: the fixtures `fake_flora` and `flora_session`, and tracebacks that end at the caller.

Every pytest run in an environment with `flora_async` loads it, so it imports the server only when a fixture is used.
"""

import inspect
import sys
from collections.abc import AsyncIterator, Generator, Iterator
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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting `flora_full_traceback`."""
    parser.addini("flora_full_traceback", "show where in flora_async its errors are raised", type="bool", default=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """End the traceback of a `FloraError` at the line that made the call; any other error may be a bug of ours."""
    hidden: list[dict[str, Any]] = []
    wanted = item.config.getini("flora_full_traceback")
    if call.excinfo is not None and not wanted and _is_flora_error(call.excinfo.value):
        hidden = [vars(module) for name, module in sys.modules.copy().items() if name.startswith("flora_async.")]
    for names in hidden:
        names["__tracebackhide__"] = True
    try:
        return (yield)
    finally:
        for names in hidden:
            del names["__tracebackhide__"]


def _is_flora_error(error: BaseException) -> bool:
    errors = sys.modules.get("flora_async.errors")
    return errors is not None and isinstance(error, errors.FloraError)


@pytest.fixture
def fake_flora() -> Iterator["FakeFlora"]:
    """A started `FakeFlora` for this test alone, for synchronous and asynchronous tests alike.

    It serves on a thread of its own, so it answers whatever the test's thread or event loop waits for.

    Example:
        >>> async def test_my_service(fake_flora):
        ...     service = MyService(base_url=fake_flora.base_url, api_key=fake_flora.api_key)
        ...     await service.create_image()
        ...     assert len(fake_flora.runs) == 1
    """
    from flora_async.testing import FakeFlora  # noqa: PLC0415 - keeps unused fixtures cheap

    with FakeFlora() as fake:
        yield fake


def _session_fixture(loop_scope: str | None) -> Any:  # noqa: ANN401 - a fixture of pytest's or of pytest-asyncio's
    """Return the fixture that opens the session: on pytest-asyncio's loop of this scope, or else on anyio's."""
    options: dict[str, Any] = {} if loop_scope is None else {"loop_scope": loop_scope}
    plugin: Any = pytest if loop_scope is None else pytest_asyncio

    async def session(fake_flora: "FakeFlora") -> AsyncIterator["FloraSession"]:
        from flora_async import FloraSession, PollPolicy, RetryPolicy  # noqa: PLC0415 - likewise

        async with FloraSession(
            fake_flora.api_key,
            base_url=fake_flora.base_url,
            timeout=5.0,
            retry=RetryPolicy(attempts=4, initial=0.001, maximum=0.01, settle=0.01, rate_limit_pause=0.01, outage=1.0),
            poll=PollPolicy(initial=0.001, maximum=0.01, outage=1.0, timeout=10.0),
        ) as opened:
            yield opened

    return plugin.fixture(name=f"_flora_session_on_{loop_scope}_loop", **options)(session)


# A session has to be on the event loop of the test, whose scope is only known at run time.
for _scope in (None, *(("function", "class", "module", "package", "session") if _CHOOSES_LOOP else ())):
    globals()[f"_flora_session_on_{_scope}_loop"] = _session_fixture(_scope)


def _is_anyios(request: pytest.FixtureRequest) -> bool:
    return "anyio_backend" in request.fixturenames and request.node.get_closest_marker("asyncio") is None


@pytest.fixture
def flora_session(request: pytest.FixtureRequest) -> "FloraSession":
    """An open `FloraSession` on `fake_flora`, for asynchronous tests.

    It polls and retries within milliseconds, gives up an attempt after 5 s, an outage after 1 s and a wait after 10 s.

    Example:
        >>> async def test_a_run(flora_session):
        ...     run = await flora_session.run("caption", {"prompt": "a cat"})
        ...     assert run.is_completed
    """
    scope = None
    if _CHOOSES_LOOP and request.config.pluginmanager.hasplugin("asyncio") and not _is_anyios(request):
        marker = request.node.get_closest_marker("asyncio")
        if marker is None:
            pytest.fail(
                f"flora_session needs an asynchronous test that pytest-asyncio runs: mark {request.node.name} with "
                "@pytest.mark.asyncio, or set asyncio_mode = 'auto'; fake_flora also serves synchronous tests",
                pytrace=False,
            )
        scope = marker.kwargs.get("loop_scope") or request.config.getini("asyncio_default_test_loop_scope")
    session: FloraSession = request.getfixturevalue(f"_flora_session_on_{scope}_loop")
    return session
