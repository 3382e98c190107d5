"""Save the outputs of a batch, with the key of each row in the file names."""

from pathlib import Path
from typing import Final

from flora_async._http.storage import StorageClient
from flora_async.batch.row_runner import Save
from flora_async.batch.rows import Planned
from flora_async.media import save_outputs
from flora_async.media.names import distinct_prefix
from flora_async.models import Run

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
            technique_id=row.target if row.kind == "technique" else None,
            inputs=row.shown,
        )

    return save


def name_of(key: str) -> str:
    """A row's key as the beginning of a file name."""
    return distinct_prefix(key, _MAX_LENGTH)
