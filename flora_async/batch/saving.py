"""Saving the outputs of a batch: each row's under its own name."""

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from flora_async._http.storage import StorageClient
from flora_async.batch.row_runner import Save
from flora_async.batch.rows import Planned
from flora_async.media import save_outputs
from flora_async.models import Run

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST: Final = 60


def folder_of(save_to: object) -> Path:
    """The directory that a batch saves to.

    Raises:
        TypeError: It is no path.
        ValueError: It is empty.
    """
    if not isinstance(save_to, str | os.PathLike):
        raise TypeError(f"save_to must be the path of a directory, not {save_to!r:.60}")
    if not os.fspath(save_to):
        raise ValueError("save_to must not be empty: '.' is the current directory")
    return Path(save_to)


def saver(storage: StorageClient, folder: Path) -> Save:
    """One who saves outputs into a directory as `<row key>-<run id>-<output id>`, with a side-car for each run."""

    async def save(row: Planned, run: Run) -> tuple[Path, ...]:
        name = f"{name_of(row.key)}-{{run_id}}"
        return await save_outputs(
            storage,
            run,
            folder,
            name=f"{name}-{{output_id}}",
            sidecar_name=name,
            technique_id=row.technique_id,
            inputs=row.shown_inputs,
        )

    return save


def name_of(key: str) -> str:
    """A row's key as part of a file's name; one that had to be changed is told from its like by a few digits."""
    name = _NOT_IN_NAMES.sub("_", key)[:_LONGEST]
    return name if name == key else f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
