"""Show a picture in terminals that can: kitty's and iTerm2's graphics protocols."""

import base64
import os
import sys
from pathlib import Path
from typing import Final

_MAX_BYTES: Final = 4 * 1024 * 1024
_CHUNK: Final = 4096
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"


def show_picture(path: Path) -> None:
    """Show a picture if stdout is a terminal that can; anything else is left alone."""
    protocol = _protocol()
    if protocol is None or not isinstance(path, Path) or path.stat().st_size > _MAX_BYTES:
        return
    content = path.read_bytes()
    if content.startswith(_PNG) and protocol == "kitty":
        sys.stdout.write(_kitty(content))
    elif content.startswith((_PNG, _JPEG)) and protocol == "iterm2":
        data = base64.b64encode(content).decode()
        sys.stdout.write(f"\x1b]1337;File=inline=1;size={len(content)};width=40%:{data}\x07\n")
    sys.stdout.flush()


def _protocol() -> str | None:
    if not sys.stdout.isatty():
        return None
    program = os.environ.get("TERM_PROGRAM", "")
    if program in {"iTerm.app", "WezTerm"}:
        return "iterm2"
    is_kitty = "KITTY_WINDOW_ID" in os.environ or os.environ.get("TERM") == "xterm-kitty" or program == "ghostty"
    return "kitty" if is_kitty else None


def _kitty(content: bytes) -> str:
    data = base64.b64encode(content).decode()
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    return (
        "".join(
            f"\x1b_G{'a=T,f=100,c=40,' if not number else ''}m={int(number < len(chunks) - 1)};{chunk}\x1b\\"
            for number, chunk in enumerate(chunks)
        )
        + "\n"
    )
