"""The command line: `flora-async`, also as `python -m flora_async`."""

import os
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. With the extra `cli` there are all of them; without, `demo`, `run`, `wait` and `journal`.

    Args:
        arguments: The command line without the program's name; None = `sys.argv`.

    Returns:
        The exit status: 0 all is well, 1 a run failed or a file could not be saved or verified, 2 wrong usage or key,
        3 FLORA refused, 4 a run exists or may exist whose end is not known, 130 interrupted.

    Example:
        `python -m flora_async run cctv-cam -i input_image=https://example.com/photo.png`
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by a shell's >&-, or never open, as under pythonw
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - until the process ends
    try:
        from flora_async.cli._app import main as full  # noqa: PLC0415 - one of two
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        from flora_async.cli._plain import main as plain  # noqa: PLC0415 - likewise

        return plain(given)
    return full(given)
