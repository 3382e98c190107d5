"""What a function on a worker gets, and what comes back of it."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from attrs import field, frozen

from flora_async._repr import ShortRepr
from flora_async.batch import BatchResult
from flora_async.models import Run, RunOutput

ValueT = TypeVar("ValueT")


@frozen(kw_only=True)
class CompletedRow(ShortRepr):
    """A row whose run has completed, as a function on a worker gets it.

    It holds nothing secret: neither a session nor the API key, and no callback URL.

    Attributes:
        index: The row's position in the source, from 0.
        key: The row's key.
        run: The run.
        inputs: What was sent, with the names of files in place of their content.
        metadata: The `metadata` of the row's request.
    """

    index: int
    key: str
    run: Run
    inputs: Mapping[str, Any] = field(factory=dict)
    metadata: Mapping[str, Any] = field(factory=dict)

    @property
    def outputs(self) -> tuple[RunOutput, ...]:
        """The outputs of the run."""
        return self.run.outputs


@frozen(kw_only=True)
class ProcessedResult(ShortRepr, Generic[ValueT]):
    """How one row ended, and what became of its outputs.

    Attributes:
        result: The result of the row, as the batch gives it.
        value: What the function returned. After a restart with the journal it is what JSON makes of that, or None where
            JSON cannot hold it. None where there is an error, too.
        error: Why there is no value: the error of the result, or that of the download or the function; None on success.
        worker: The address of the worker; None where none was needed, because an earlier process had the row processed,
            or where there is an error, whose note names it.
        seconds: How long the worker took for it, download included; None likewise.
    """

    result: BatchResult
    value: ValueT | None = None
    error: Exception | None = None
    worker: str | None = None
    seconds: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the run has completed and was processed."""
        return self.error is None

    @property
    def resumed(self) -> bool:
        """Whether an earlier process had the row processed, according to the journal."""
        return self.ok and self.worker is None

    @property
    def key(self) -> str:
        """The row's key."""
        return self.result.key
