"""What every test shares: a FLORA on loopback, and sessions that wait in milliseconds."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, settings
from plain_client import Client

from flora_async import FloraSession, PollPolicy, RetryPolicy
from flora_async.testing import FakeFlora, VirtualClock

SWIFT_RETRY = RetryPolicy(attempts=4, initial=0.001, maximum=0.01, settle=0.01, outage=0.2, rate_limit_pause=0.01)
# A start whose answer is lost stays in doubt, as after a crash.
UNRESOLVED = RetryPolicy(attempts=4, initial=0.001, maximum=0.01, settle=None, resolve=False, outage=0.2)
SWIFT_POLL = PollPolicy(initial=0.001, maximum=0.01, outage=0.2, timeout=20.0)
IMAGE = {"input_image": "https://example.com/photo.png"}

# How long an example takes says more about the machine than about the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

OpenSession = Callable[..., FloraSession]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def _eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]  # Python 3.12
    return loop


def _uvloop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415 - only where it is asked for

    return uvloop.new_event_loop()


LOOPS: dict[str, LoopFactory] = {"eager": _eager_loop, "uvloop": _uvloop}


class _OtherLoop:
    """A pytest plugin that runs every asynchronous test on a loop of another kind (pytest-asyncio 1.4)."""

    def __init__(self, name: str) -> None:
        self._factories = {name: LOOPS[name]}

    def pytest_asyncio_loop_factories(self) -> Mapping[str, LoopFactory]:
        return self._factories


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--loop", choices=("asyncio", *LOOPS), default="asyncio", help="event loop of asynchronous tests")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Three workers for each processor, unless the environment says otherwise: tests wait as much as they work."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else 3 * (os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    if (name := config.getoption("loop")) in LOOPS:
        config.pluginmanager.register(_OtherLoop(name))


@pytest.fixture(autouse=True)
def _no_key_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLORA_API_KEY", raising=False)
    monkeypatch.delenv("FLORA_BASE_URL", raising=False)


@pytest.fixture(autouse=True)
def _sigint_interrupts() -> Iterator[None]:
    """Restore SIGINT, and so in child processes, where the suite inherited it ignored from a script."""
    inherited = signal.getsignal(signal.SIGINT)
    if inherited is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.fixture
async def fake() -> AsyncIterator[FakeFlora]:
    async with FakeFlora() as server:
        yield server


@pytest.fixture
async def session_on() -> AsyncIterator[OpenSession]:
    """Sessions on a given FLORA, swift unless told otherwise, closed at the end."""
    async with AsyncExitStack() as stack:

        def open_session(fake: FakeFlora, **options: Any) -> FloraSession:
            settings = {"base_url": fake.base_url, "retry": SWIFT_RETRY, "poll": SWIFT_POLL, **options}
            session = FloraSession(fake.api_key, **settings)
            stack.push_async_callback(session.close)
            return session

        yield open_session


@pytest.fixture
def flora(fake: FakeFlora, session_on: OpenSession) -> FloraSession:
    return session_on(fake)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    # One connection, one request: a dropped one is not silently tried again by the client.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@pytest.fixture
def client(fake: FakeFlora, http: aiohttp.ClientSession) -> Client:
    return Client(fake, http)
