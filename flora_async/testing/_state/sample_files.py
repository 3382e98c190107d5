"""Small sample files: complete PNG images, and the first bytes of formats that need more to be playable."""

import hashlib
import struct
import zlib
from typing import Final

OUTPUT_SUFFIXES: Final = {"imageUrl": ".png", "videoUrl": ".mp4", "audioUrl": ".mp3", "documentUrl": ".pdf"}
CONTENT_TYPES: Final = {
    ".png": "image/png",
    ".mp4": "video/mp4",
    ".mp3": "audio/mpeg",
    ".pdf": "application/pdf",
    ".bin": "application/octet-stream",
}

_SIDE = 64
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Constants of the PNG specification: an unfiltered row, 8 bits per channel, RGB without alpha.
_UNFILTERED, _BITS, _RGB = 0, 8, 2
# An MPEG-1 layer III frame at 128 kbit/s and 44.1 kHz has this header and is 417 bytes long.
_MP3_FRAME = b"\xff\xfb\x90\x00".ljust(417, b"\x00")


def sample_file(suffix: str, seed: str) -> bytes:
    """Return a file that starts with the magic bytes of its format and differs for every seed."""
    if suffix == ".png":
        return png(seed)
    digest = hashlib.sha256(seed.encode()).hexdigest().encode()
    if suffix == ".mp4":
        return _box(b"ftyp", b"isom\x00\x00\x02\x00isommp41") + _box(b"free", digest) + _box(b"mdat", digest)
    if suffix == ".mp3":
        return b"ID3\x04\x00\x00" + bytes((0, 0, 0, len(digest))) + digest + _MP3_FRAME * 4
    if suffix == ".pdf":
        return b"%PDF-1.4\n%" + digest + b"\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    return digest


def png(seed: str) -> bytes:
    """Return a PNG image of 64 by 64 pixels with a color gradient that differs for every seed."""
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


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + kind + data
