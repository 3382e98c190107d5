"""Save the outputs of a batch, with the key of each row in the file names."""

import hashlib
import re
from pathlib import Path
from typing import Final

from flora_async._http.storage import StorageClient
from flora_async.batch.row_runner import Save
from flora_async.batch.rows import Planned
from flora_async.media import save_outputs
from flora_async.models import Run

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_LENGTH: Final = 60


def saver(storage: StorageClient, folder: Path) -> Save:
    """Return a function that saves outputs as `<row key>-<run id>-<output id>`, with a side-car for each run."""

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
    """A row's key as part of a file name; a key that had to be changed gets a few digits of its hash."""
    name = _UNSAFE.sub("_", key)[:_MAX_LENGTH]
    return name if name == key else f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
