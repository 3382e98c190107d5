"""Check the arguments of a session, and build the client for its requests."""

import os
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from types import EllipsisType
from typing import Any, Final, NamedTuple

from flora_async._checks import check_api_key, check_count, check_flag, check_number
from flora_async._clock import SYSTEM_CLOCK, Clock, check_clock
from flora_async._http.client import Client
from flora_async._http.defaults import RequestDefaults
from flora_async._http.secrets import Secret
from flora_async._http.storage import StorageClient, StorageSettings
from flora_async._http.transport import ClientSession, TraceConfig, Transport
from flora_async._http.urls import Endpoints, check_endpoint, check_trusted
from flora_async.config import PollPolicy, ResponseLimits, RetryPolicy

BASE_URL: Final = "https://app.flora.ai/api/v1"


class Setup(NamedTuple):
    """What a session is built from."""

    endpoints: Endpoints
    transport: Transport
    client: Client
    storage: StorageClient
    clock: Clock


def conceal(api_key: object) -> Secret | type:
    """Return the given key, or else the environment's, in a form that no repr shows; for anything but text, its type.

    It never raises, so that no frame of an error holds the key as it was given.
    """
    if api_key is None:
        api_key = os.environ.get("FLORA_API_KEY", "")
    return Secret(api_key) if isinstance(api_key, str) else type(api_key)


def set_up(  # noqa: PLR0913 - a session's own arguments
    api_key: Secret | type,
    *,
    base_url: str | None,
    timeout: float | None,
    retry: RetryPolicy,
    poll: PollPolicy,
    limits: ResponseLimits,
    http_session: ClientSession | None,
    max_connections: int,
    trace_configs: Sequence[TraceConfig],
    trusted_origins: Sequence[str],
    allow_http: bool,
    headers: object,
    query: object,
    hooks: object,
    clock: Clock | None,
) -> Setup:
    """Check the arguments of a `FloraSession` and build what it needs.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is out of range or malformed.
    """
    if isinstance(api_key, type):
        raise TypeError(f"api_key must be text, not {api_key.__name__}")
    check_api_key(api_key)
    check_options(timeout=timeout, retry=retry, poll=poll)
    _check_type("limits", limits, ResponseLimits)
    check_count("max_connections", max_connections)
    if http_session is not None:
        _check_type("http_session", http_session, ClientSession)
        if trace_configs:
            raise ValueError("trace_configs cannot be combined with http_session: give them to that session instead")
    for trace in _several("trace_configs", trace_configs, "TraceConfig"):
        _check_type("trace_configs", trace, TraceConfig)
    _several("trusted_origins", trusted_origins, "URLs")
    check_flag("allow_http", allow_http)
    clock = SYSTEM_CLOCK if clock is None else clock
    check_clock(clock)
    base_url = os.environ.get("FLORA_BASE_URL", BASE_URL) if base_url is None else base_url
    endpoints = Endpoints(
        check_endpoint("base_url", base_url, allow_http=allow_http),
        [check_trusted(origin, allow_http=allow_http) for origin in trusted_origins],
    )
    transport = Transport(
        Secret(f"Bearer {api_key}"),
        http_session=http_session,
        max_connections=max_connections,
        trace_configs=trace_configs,
        may_connect=endpoints.may_connect,
        timeout=timeout,
        resend=retry.attempts != 1,
        limits=limits,
    )
    client = Client(
        transport,
        endpoints,
        policy=retry,
        timeout=timeout,
        clock=clock,
        defaults=RequestDefaults().updated(headers, query),
        hooks=hooks,
    )
    storage = StorageClient(transport, endpoints, policy=retry, idle=timeout, clock=clock)
    return Setup(endpoints, transport, client, storage, clock)


@asynccontextmanager
async def standalone_storage(*, allow_local: bool) -> AsyncGenerator[StorageClient, None]:
    """A client to other hosts that works without a session, and so without a key.

    Args:
        allow_local: Whether hosts on this machine may be named, as a local FLORA does.
    """
    settings = StorageSettings(Endpoints("http://localhost" if allow_local else BASE_URL), RetryPolicy(), 60.0)
    async with keyless_storage(settings) as storage:
        yield storage


@asynccontextmanager
async def keyless_storage(settings: StorageSettings) -> AsyncGenerator[StorageClient, None]:
    """A client to other hosts with the settings of a session's, which may be in another process."""
    endpoints, policy, idle = settings
    transport = Transport(
        Secret("Bearer none"),
        http_session=None,
        max_connections=1,
        trace_configs=(),
        may_connect=endpoints.may_connect,
    )
    try:
        yield StorageClient(transport, endpoints, policy=policy, idle=idle, clock=SYSTEM_CLOCK)
    finally:
        await transport.close()


def _several(name: str, values: Any, what: str) -> Any:  # noqa: ANN401 - whatever was given
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence of {what}, not {values!r:.60}")
    return values


def check_options(*, timeout: float | EllipsisType | None, retry: RetryPolicy, poll: PollPolicy) -> None:
    """Check the options that a session and its views have.

    Raises:
        TypeError: One has the wrong type.
        ValueError: The timeout is out of range.
    """
    if timeout is not None and not isinstance(timeout, EllipsisType):
        check_number("timeout", timeout, exclusive=True)
    _check_type("retry", retry, RetryPolicy)
    _check_type("poll", poll, PollPolicy)


def _check_type(name: str, value: object, expected: type) -> None:
    if not isinstance(value, expected):
        raise TypeError(f"{name} must be of type {expected.__name__}, not {value!r:.60}")
