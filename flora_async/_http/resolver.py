"""Resolve host names to addresses that may be connected to."""

import asyncio
import socket
from functools import partial
from typing import Any

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from flora_async._http.addresses import AddressRefusedError, MayConnect
from flora_async._threads import NAMES


class SystemResolver(ThreadedResolver):
    """The system's resolver, in threads that do not keep the process alive while a name server does not answer."""

    def __init__(self) -> None:
        lookups: Any = _Lookups()
        super().__init__(lookups)


class _Lookups:
    """The methods of an event loop that aiohttp's resolver calls."""

    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as those of the event loop
        return await asyncio.get_running_loop().run_in_executor(NAMES, partial(socket.getaddrinfo, *args, **kwargs))

    async def getnameinfo(self, *args: Any) -> Any:  # noqa: ANN401 - likewise
        return await asyncio.get_running_loop().run_in_executor(NAMES, socket.getnameinfo, *args)


class GuardedResolver(AbstractResolver):
    """Resolves host names to allowed addresses only, so that the address that is checked is the one connected to.

    Args:
        may_connect: Judges each address.
        resolver: Looks the names up; it is not closed here. None = the system's, in a thread.
    """

    def __init__(self, may_connect: MayConnect, resolver: AbstractResolver | None = None) -> None:
        self._may_connect = may_connect
        self._resolver = SystemResolver() if resolver is None else resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a host name.

        Raises:
            AddressRefusedError: None of its addresses is allowed.
            OSError: It has no address.
        """
        found = await self._resolver.resolve(host, port, family)
        allowed = [result for result in found if self._may_connect(host, port, result["host"])]
        if found and not allowed:
            raise AddressRefusedError(host, [result["host"] for result in found])
        return allowed

    async def close(self) -> None:
        """Nothing to release."""
