"""Print lines, tables and JSON that neither control a terminal nor fail when the reader has gone."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TextIO

from flora_async._text import printable

Format = Literal["table", "json", "jsonl"]

_MAX_LINE: Final = 2000
_MAX_CELL: Final = 60
_EMPTY: Final[tuple[object, ...]] = (None, "", [], {}, ())

unwritten: Final[list[OSError]] = []
"""Why results could not be printed, other than because their reader has gone."""


def say(text: str, stream: TextIO | None = None) -> None:
    """Print any text as one line, and flush it at once."""
    _write(printable(text, _MAX_LINE), stream or sys.stdout)


def note(text: str) -> None:
    """Print one line about what is going on to stderr, if there is anything to say."""
    if text:
        say(text, sys.stderr)


def print_json(value: object) -> None:
    """Print one value as JSON."""
    _write(to_json(value, indent=2), sys.stdout)


def show(items: Iterable[Mapping[str, Any]], output: Format, columns: Sequence[str]) -> bool:
    """Print items, all of their fields as JSON or some as a table; return whether there is still a reader.

    Args:
        items: What to print.
        output: One JSON array, one JSON object on each line, or a table.
        columns: The fields that are columns of the table.
    """
    if output == "json":
        return _write(to_json(list(items), indent=2), sys.stdout)
    if output == "jsonl":
        return all(_write(to_json(item), sys.stdout) for item in items)
    return _show_table([[_cell(item.get(column)) for column in columns] for item in items], columns)


def show_item(item: Mapping[str, Any], output: Format) -> None:
    """Print one item: as JSON, or its fields as lines and its lists of items as tables."""
    if output != "table":
        _write(to_json(item, indent=2 if output == "json" else None), sys.stdout)
        return
    plain = {name: value for name, value in item.items() if not _is_table(value) and name != "extra"}
    width = max(map(len, plain), default=0)
    for name, value in plain.items():
        _write(f"{name.replace('_', ' '):<{width}}  {_cell(value, _MAX_LINE)}", sys.stdout)
    for name, value in item.items():
        if _is_table(value):
            _write(f"\n{name}:", sys.stdout)
            columns = [column for column in value[0] if any(row.get(column) not in _EMPTY for row in value)]
            _show_table([[_cell(row.get(column)) for column in columns] for row in value], columns)


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return JSON in which every character can be seen and encoded: others are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    encoding = sys.stdout.encoding or "utf-8"
    if text.isprintable() and _can_encode(text, encoding):
        return text
    return "".join(
        char if char == "\n" or (char.isprintable() and _can_encode(char, encoding)) else json.dumps(char)[1:-1]
        for char in text
    )


def _can_encode(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _is_table(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _cell(value: object, limit: int = _MAX_CELL) -> str:
    if value in _EMPTY:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(value if isinstance(value, str) else to_json(value), limit)


def _show_table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> bool:
    heads = [column.replace("_", " ").upper() for column in columns]
    widths = [max(map(len, cells)) for cells in zip(heads, *rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in (heads, *rows)
    )
    return all(_write(line.rstrip(), sys.stdout) for line in lines)


def _write(text: str, stream: TextIO) -> bool:
    """Write lines and flush them; return whether there is still a reader."""
    encoding = stream.encoding or "utf-8"
    shown = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(shown, file=stream, flush=True)
    except OSError as error:
        # What is paid for goes on without its reader; and Python must not fail to flush the stream at its end.
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - not a path, but a device
            os.dup2(nowhere.fileno(), stream.fileno())
        if stream is not sys.stderr and not isinstance(error, BrokenPipeError):
            unwritten.append(error)
        return False
    return True
