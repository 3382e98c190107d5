"""Opening and closing a session."""

from types import TracebackType
from typing import NoReturn, Self

from flora_async._transport import Transport
from flora_async._urls import Endpoints


class Lifetime:
    """What `async with` and `close` do to a session."""

    _endpoints: Endpoints
    _transport: Transport
    _entered = False

    def __repr__(self) -> str:
        if "_road" not in vars(self):  # a crash reporter may ask while the constructor refuses its arguments
            return "<FloraSession not built>"
        state = "closed" if self._transport.closed else "open"
        return f"<FloraSession {state} base_url={self._endpoints.base_url!r}>"

    async def __aenter__(self) -> Self:
        """Open the session, also one that was closed before.

        Raises:
            RuntimeError: It is entered already.
        """
        if self._entered:
            raise RuntimeError("This FloraSession is entered already: pass it on, or make another one")
        self._entered = True
        self._transport.reopen()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the session."""
        await self.close()

    def __enter__(self) -> NoReturn:
        """Explain why plain `with` does not work, by a `TypeError`."""
        raise TypeError("A FloraSession closes network connections when it ends: use `async with`, not `with`")

    # `with` looks for both methods before it calls the first, so that the explanation above can be given.
    __exit__ = None

    async def close(self) -> None:
        """Close the connections of an own session. Runs go on at FLORA. Closing twice does nothing."""
        self._entered = False
        await self._transport.close()
