"""Decompress answers in steps, and notice truncated ones."""

import zlib
from collections.abc import Generator
from typing import Any, Final

_STEP: Final = 1024 * 1024


class Inflater:
    """Decompresses a body as it arrives.

    Args:
        encoding: The `Content-Encoding`.

    Raises:
        ValueError: It is not one that was asked for.
    """

    __slots__ = ("_is_gzip", "_stream")

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in {"gzip", "x-gzip", "deflate"}:
            raise ValueError(f"it is encoded as {encoding!r:.40}, which was not asked for")
        self._is_gzip = name != "deflate"
        self._stream: Any = None  # zlib does not name the type of its decompressors

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return self._stream is None

    def unpack(self, chunk: bytes) -> Generator[bytes, None, None]:
        """Decompress a piece, 1 MiB of the result at a time.

        Raises:
            ValueError: It is damaged.
        """
        while chunk:
            if self._stream is None:
                self._stream = self._begin(chunk)
            try:
                piece: bytes = self._stream.decompress(chunk, _STEP)
            except zlib.error as error:
                raise ValueError(f"its compression is damaged: {error}") from None
            chunk = self._stream.unconsumed_tail or self._stream.unused_data
            if self._stream.eof:
                self._stream = None
            if piece:
                yield piece

    def _begin(self, chunk: bytes) -> Any:  # noqa: ANN401 - as above
        if self._is_gzip:
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        # Some servers leave out zlib's header.
        return zlib.decompressobj(zlib.MAX_WBITS if chunk[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS)
