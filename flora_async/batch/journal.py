"""The journal of a batch: what must be known to go on after a crash.

Each row is written down before it is sent and as soon as its answer is there: `planned → submitting → running →
finished`. The idempotency key of an attempt follows from the batch's name and the row, so even a key whose record was
lost comes out the same.
"""

import uuid
from typing import Literal, Protocol

from attrs import frozen

from flora_async.batch.rows import Planned
from flora_async.models import Run, RunInput

State = Literal["planned", "submitting", "running", "finished"]


@frozen
class Entry:
    """What the journal knows of a row.

    Attributes:
        state: How far it is.
        attempt: Which run of it that is about, from 1.
        run: The run: whole when finished, its id and poll URL while running, None before.
        cost: What earlier attempts at the row cost in USD.
        since: Unix time in seconds at which this attempt was first sent; None = not yet.
        inputs: What this attempt sends, uploaded files by their URLs, while nobody knows whether it arrived: whoever
            sends it again under its key has to send the same. Else None.
    """

    state: State
    attempt: int
    run: Run | None
    cost: float = 0.0
    since: float | None = None
    inputs: tuple[RunInput, ...] | None = None


class Journal(Protocol):
    """Where a batch writes down what it does."""

    @property
    def name(self) -> str:
        """What the batch is called: idempotency keys derive from it."""
        ...

    async def find(self, row: Planned) -> Entry | None:
        """What is known of a row; None = nothing."""
        ...

    async def write(self, row: Planned, entry: Entry) -> None:
        """Write down how far a row is; it is on the disk when this returns."""
        ...

    async def costs(self) -> list[float]:
        """What the runs of earlier processes have cost, in USD."""
        ...

    async def open_rows(self) -> int:
        """How many rows earlier processes have started, or may have, without seeing the end."""
        ...

    async def close(self) -> None:
        """Let go of the file."""
        ...


class Memory:
    """The journal of a batch that has none.

    Args:
        name: What the batch is called; None = a name that no other batch has.
    """

    def __init__(self, name: str | None) -> None:
        self.name = str(uuid.uuid4()) if name is None else name

    async def find(self, row: Planned) -> Entry | None:  # noqa: ARG002 - a protocol's method
        """Nothing is known."""
        return None

    async def write(self, row: Planned, entry: Entry) -> None:
        """Nothing is written."""

    async def costs(self) -> list[float]:
        """Nothing was spent."""
        return []

    async def open_rows(self) -> int:
        """Nothing was started."""
        return 0

    async def close(self) -> None:
        """There is nothing to close."""
