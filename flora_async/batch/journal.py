"""What a batch records about its rows, so that it can be resumed after a crash.

A row is recorded before its start is sent and as soon as the answer has arrived: `submitting → running → finished`, and
`planned` if the start was refused. The idempotency key of an attempt is derived from the batch's name and the row, so
it is the same in every process.
"""

import math
import uuid
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

from attrs import field, frozen

from flora_async.batch.rows import Kind, Planned, subject_of
from flora_async.models import Run

State = Literal["planned", "submitting", "running", "finished"]


@frozen
class Entry:
    """What is recorded about a row.

    Attributes:
        state: The state of the row.
        attempt: The number of the run among the runs of this row, from 1.
        run: The run as last seen; None before it is known.
        cost: What this run has cost in USD; None = not known (yet).
        since: Unix time in seconds at which this attempt was first sent; None = not yet.
        sent: What this attempt sends, uploaded files by their URLs, while its outcome is unknown: a start may only be
            sent again under its key with the same arguments. JSON that `Work.upload` made; otherwise None.
        price: The amount in USD that this run counts for until its cost is known; None = no price is known either.
        callback_url: The callback URL as it was sent, with the token of the start; None = none was sent.
        processed: What was made of the outputs of the completed run, as JSON, by the name of the processing.
    """

    state: State
    attempt: int
    run: Run | None
    cost: float | None = None
    since: float | None = None
    sent: Any = None
    price: float | None = None
    callback_url: str | None = None
    processed: Mapping[str, Any] = field(factory=dict)

    def age(self, now: float) -> float | None:
        """Seconds since this attempt was first sent; None = unknown, as for a time that is in the future or not finite.

        Args:
            now: The Unix time in seconds.
        """
        if self.since is None or not math.isfinite(self.since) or self.since > now:
            return None
        return now - self.since


@frozen
class Unsettled:
    """A run that has ended, and whose cost is not known.

    Attributes:
        run_id: The run.
        kind: What it is a run of.
        target: The technique, model or action; None = not recorded.
        price: The amount in USD that it counts for; None = no price is known.
        since: Unix time in seconds at which it was first sent; None = not recorded.
    """

    run_id: str
    kind: Kind
    target: str | None
    price: float | None
    since: float | None

    @property
    def subject(self) -> str:
        """What it is a run of, among runs of every kind."""
        return subject_of(self.kind, self.target)


class Cost(NamedTuple):
    """What a run of a subject has cost, in USD."""

    subject: str
    usd: float


class Journal(Protocol):
    """Where a batch records what it does."""

    @property
    def name(self) -> str:
        """The batch's name: idempotency keys are derived from it."""
        ...

    async def find(self, row: Planned) -> Entry | None:
        """Return what is recorded about a row; None = nothing."""
        ...

    async def write(self, row: Planned, entry: Entry) -> None:
        """Record the state of a row; it is on the disk when this returns."""
        ...

    async def settle(self, costs: Mapping[str, float]) -> None:
        """Record costs in USD that became known after their runs had ended, by run id."""
        ...

    async def costs(self) -> list[Cost]:
        """Return the known costs of the recorded runs."""
        ...

    async def unsettled(self) -> list[Unsettled]:
        """Return the recorded runs that have ended without a known cost."""
        ...

    async def open_rows(self) -> list[str]:
        """Return the subjects of rows that earlier processes have started, or may have, without seeing the end."""
        ...

    async def run_ids(self) -> frozenset[str]:
        """Return the ids of all recorded runs."""
        ...

    async def close(self) -> None:
        """Release the file."""
        ...


class Memory:
    """The journal of a batch that has none.

    Args:
        name: The batch's name; None = a name that no other batch has.
    """

    def __init__(self, name: str | None) -> None:
        self.name = str(uuid.uuid4()) if name is None else name

    async def find(self, row: Planned) -> Entry | None:  # noqa: ARG002 - a protocol's method
        """Return None: nothing is recorded."""
        return None

    async def write(self, row: Planned, entry: Entry) -> None:
        """Record nothing."""

    async def settle(self, costs: Mapping[str, float]) -> None:
        """Record nothing."""

    async def costs(self) -> list[Cost]:
        """Return an empty list."""
        return []

    async def unsettled(self) -> list[Unsettled]:
        """Return an empty list."""
        return []

    async def open_rows(self) -> list[str]:
        """Return an empty list."""
        return []

    async def run_ids(self) -> frozenset[str]:
        """Return an empty set."""
        return frozenset()

    async def close(self) -> None:
        """Do nothing."""
