"""Show the log on stderr, where the environment variable `FLORA_LOG` says so."""

import logging
import sys
from typing import Final, TextIO

from flora_async._text import printable

logger = logging.getLogger("flora_async")

_VARIABLE: Final = "FLORA_LOG"
_LEVELS: Final = ("debug", "info", "warning", "error")
_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MAX_VALUE: Final = 40


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to stderr as it is at that time, unless a handler of the root logger writes the same line there."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.name = _VARIABLE
        self.setFormatter(logging.Formatter(_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        others = logging.getLogger().handlers if logger.propagate else []
        if not any(getattr(each, "stream", None) is sys.stderr and each.level <= record.levelno for each in others):
            super().emit(record)


def show_logs(level: str | None) -> None:
    """Show records of this level and above; the root logger is left alone.

    Args:
        level: `debug`, `info`, `warning` or `error`; None or blank = whatever the program sets up. Any other value is
            reported as a warning.
    """
    if level is None or not level.strip():
        return
    name = level.strip().lower()
    if name not in _LEVELS:
        logger.warning("%s=%s has no effect: set it to %s", _VARIABLE, printable(level, _MAX_VALUE), _or(_LEVELS))
        return
    logger.setLevel(name.upper())
    if not any(handler.name == _VARIABLE for handler in logger.handlers):
        logger.addHandler(_StderrHandler())


def _or(choices: tuple[str, ...]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"
