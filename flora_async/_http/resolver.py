"""Resolve host names to addresses that may be connected to."""

import socket

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from flora_async._http.addresses import AddressRefusedError, MayConnect


class GuardedResolver(AbstractResolver):
    """Resolves host names to allowed addresses only, so that the address that is checked is the one connected to.

    Args:
        may_connect: Judges each address.
        resolver: Looks the names up; it is not closed here. None = the system's, in a thread.
    """

    def __init__(self, may_connect: MayConnect, resolver: AbstractResolver | None = None) -> None:
        self._may_connect = may_connect
        self._resolver = ThreadedResolver() if resolver is None else resolver

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
