"""Small real images."""

import hashlib
import struct
import zlib

_SIDE = 64
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The PNG specification's numbers for: a row stored as it is, 8 bits a channel, colour without alpha.
_UNFILTERED, _BITS, _RGB = 0, 8, 2


def png(seed: str) -> bytes:
    """A PNG image, 64 by 64 pixels, of a colour gradient that only this seed has."""
    red, green, blue, slant = hashlib.sha256(seed.encode()).digest()[:4]
    rows = (
        bytes([_UNFILTERED]) + b"".join(_pixel(red, green, blue, x * 2 + y * (1 + slant % 3)) for x in range(_SIDE))
        for y in range(_SIDE)
    )
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, _BITS, _RGB, 0, 0, 0)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(b"".join(rows))),
            _chunk(b"IEND", b""),
        )
    )


def _pixel(red: int, green: int, blue: int, shift: int) -> bytes:
    return bytes(((red + shift) % 256, (green + 2 * shift) % 256, blue))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
