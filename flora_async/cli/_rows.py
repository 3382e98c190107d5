"""Read the rows of a batch from a file."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from flora_async import InputValue, storage
from flora_async.batch import GenerationRequest, RunRequest
from flora_async.batch.frames import present
from flora_async.cli._values import json_or_text, read_pairs
from flora_async.media.store_urls import is_store_url

Cells = Mapping[str, Any]
_JSON_TYPES: Final = (bool, int, float, list, dict)


def technique_rows(path: Path, mapping: Sequence[str], key: str | None) -> list[RunRequest]:
    """Read the rows of a batch of a technique: columns are inputs.

    Args:
        path: The file.
        mapping: `column=input` pairs; empty = each column is the input of its name.
        key: The column with the keys of the rows; None = a row's key is its number, from 0.

    Raises:
        ValueError: The file cannot be read, or does not have a column.
        ImportError: A Parquet file needs pyarrow.
    """
    inputs, rows = _read(path, mapping, key)
    return list(RunRequest.from_rows(rows, key=key, inputs=inputs))


def generation_rows(path: Path, mapping: Sequence[str], key: str | None) -> list[GenerationRequest]:
    """Read the rows of a batch of generations: a column `prompt`, and the parameters of the model.

    Args:
        path: The file.
        mapping: `column=parameter` pairs; empty = each column is the parameter of its name, or the prompt.
        key: As for `technique_rows`.

    Raises:
        ValueError: The file cannot be read, or does not have a column.
        ImportError: A Parquet file needs pyarrow.
    """
    names, rows = _read(path, mapping, key)
    if "prompt" not in (names or {column: column for row in rows for column in row}):
        raise ValueError(f"{path.name!r:.100} does not have a column 'prompt': name it with --map COLUMN=prompt")
    return [_generation(request) for request in RunRequest.from_rows(rows, key=key, inputs=names)]


def _generation(request: RunRequest) -> GenerationRequest:
    params: dict[str, Any] = dict(request.inputs) if isinstance(request.inputs, Mapping) else {}
    prompt = params.pop("prompt", "")
    read = {name: json_or_text(value) for name, value in params.items()}
    return GenerationRequest(prompt, request.key, params=read or None, metadata=request.metadata)


def _read(path: Path, mapping: Sequence[str], key: str | None) -> tuple[dict[str, str] | None, list[Cells]]:
    """Return the column of each input, or None for all columns, and the rows without their empty cells."""
    try:
        table = _table(path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{str(path)!r:.200} is not UTF-8 ({error}): save it as UTF-8") from None
    except (OSError, csv.Error) as error:
        raise ValueError(f"{str(path)!r:.200} cannot be read: {error}") from None
    columns = {name for row in table for name in row}
    names = _columns_by_input(mapping)
    for column in [*(names or {}).values(), *([key] if key else [])]:
        if column not in columns:
            known = ", ".join(sorted(map(repr, columns)))
            raise ValueError(f"{path.name!r:.100} does not have a column {column!r:.100}; it has {known:.300}")
    return names, [
        {
            name: value if name == key else _value(value, path.parent)
            for name, value in present(row.items()).items()
            if value != ""
        }
        for row in table
    ]


def _columns_by_input(mapping: Sequence[str]) -> dict[str, str] | None:
    names: dict[str, str] = {}
    for column, name in read_pairs("--map", mapping).items():
        if name in names:
            raise ValueError(f"--map gives the input {name!r:.60} two columns, {names[name]!r:.60} and {column!r:.60}")
        names[name] = column
    return names or None


def _table(path: Path) -> list[Cells]:
    match path.suffix.lower():
        case ".csv" | ".tsv":
            return _separated(path)
        case ".jsonl" | ".ndjson":
            with path.open(encoding="utf-8-sig") as file:
                return [_object(line, number, path) for number, line in enumerate(file, 1) if line.strip()]
        case ".parquet":
            try:
                from pyarrow import parquet  # type: ignore[import-untyped, import-not-found, unused-ignore]  # noqa: PLC0415 - optional
            except ImportError as error:
                raise ImportError("A Parquet file needs pyarrow: pip install pyarrow") from error
            loaded: list[Cells] = parquet.read_table(path).to_pylist()
            return loaded
        case other:
            raise ValueError(f"{path.name!r:.100}: rows come from .csv, .tsv, .jsonl or .parquet, not {other!r:.20}")


def _separated(path: Path) -> list[Cells]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        file.seek(0)
        # Excel separates cells by semicolons where numbers are written with a comma.
        separator = "\t" if path.suffix.lower() == ".tsv" else ";" if ";" in header and "," not in header else ","
        reader = csv.DictReader(file, delimiter=separator, strict=True)
        rows: list[Cells] = list(reader)
    if twice := _repeated(name for name in reader.fieldnames or () if name.strip()):
        raise ValueError(f"{path.name!r:.100} has two columns {twice!r:.60}: rename one, or leave it out")
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ValueError(f"{path.name!r:.100}, row {number}: it has more or fewer cells than the header")
    return rows


def _object(line: str, number: int, path: Path) -> Cells:
    try:
        row = json.loads(line, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name!r:.100}, line {number} is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError(f"{path.name!r:.100}, line {number} is not an object: {line:.60}")  # noqa: TRY004 - of the file
    return row


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = _repeated(name for name, _ in pairs)
    if twice is not None:
        raise ValueError(f"it has {twice!r:.60} twice")
    return dict(pairs)


def _repeated(names: Iterable[str]) -> str | None:
    """The first name that is given more than once; None = each is given once."""
    return next((name for name, number in Counter(names).items() if number > 1), None)


def _value(value: object, folder: Path) -> InputValue:
    """Return the value of an input: text, or with `@` a file whose path is relative to the file of rows."""
    if isinstance(value, bytes):
        return value
    text = json.dumps(value, default=str) if isinstance(value, _JSON_TYPES) else str(value)
    if text.startswith("@@"):
        return text[1:]
    if is_store_url(text[1:]) and text.startswith("@"):
        return storage.open(text[1:])
    return folder / text[1:] if text.startswith("@") else text
