"""The way from a session to a batch."""

from typing import TYPE_CHECKING, Unpack

from flora_async._clock import Clock
from flora_async._media import MediaRoad
from flora_async._road import Road
from flora_async.config import PollPolicy
from flora_async.resources import Intake

if TYPE_CHECKING:
    from flora_async.batch import Batch, BatchOptions, BatchResult, Rows


class Batching:
    """The methods of a session that run many rows."""

    _road: Road
    _media: MediaRoad
    _intake: Intake
    _clock: Clock
    _poll: PollPolicy

    def batch(  # noqa: D417 - each option has its own line
        self, technique_id: str, rows: "Rows", **options: "Unpack[BatchOptions]"
    ) -> "Batch":
        """Run many rows through one technique; see `Batch` for how it behaves.

        Args:
            technique_id: The technique's slug or id (`tech_…`).
            rows: Any iterable or async iterable, finite or not; each row is a mapping of inputs, a sequence of
                `RunInput` or a `RunRequest`. They are taken one by one, as there is room for them.
            concurrency: The most runs at once. A 429 halves it for a while. Default 16.
            max_cost: What the batch may spend in USD, earlier processes with the same journal included; None = no
                limit. No run is started that could pass it, going by FLORA's own prices.
            journal: A file in which the batch writes down what it does, so that it can be started again after a crash
                and every row is still done once; None = none. Needs `flora-async[batch]`.
            name: What the batch is called: idempotency keys derive from it. None = what the journal says, or a name
                that no other batch has.
            run_attempts: How many runs a row may have, where one fails with `model_timeout`, `internal_error` or
                `provider_error`. Each is charged. Default 1.
            watch: `each` follows every run by its own poll URL, `list` all together by the history, `auto` together
                from five runs on. Default `auto`.
            check: Read each technique once in five minutes and refuse rows that it does not take. Default True. Where
                FLORA does not tell what a technique takes, rows are started unchecked.
            workspace_id: Where files among the inputs are uploaded to; None = the session's workspace.
            save_to: A directory into which the outputs of completed runs are saved, as
                `<row key>-<run id>-<output id>`, with a JSON side-car for each run; None = nothing is saved.
            poll: How runs are watched; left out = by the session's policy.
            on_progress: Called with `batch.summary` for each result; a coroutine is awaited.

        Returns:
            The batch, for `async with` and then `async for`.

        Raises:
            ValueError: An argument cannot be right.
            TypeError: An argument has the wrong type.

        Example:
            >>> rows = [{"prompt": "a red bicycle"}, {"prompt": "a blue boat"}]
            >>> async with flora.batch("caption", rows, max_cost=1.00) as batch:
            ...     texts = {result.key: result.run.outputs[0].text async for result in batch if result.ok}
            >>> texts["1"], batch.summary.completed, batch.summary.cost
            ('Caption: a blue boat', 2, 0.02)
        """
        from flora_async.batch import Batch  # noqa: PLC0415 - loaded with the first batch

        options.setdefault("poll", self._poll)
        return Batch(self._road, self._clock, technique_id, rows, intake=self._intake, media=self._media, **options)

    async def run_all(
        self, technique_id: str, rows: "Rows", *, raise_on_failure: bool = False, **options: "Unpack[BatchOptions]"
    ) -> "list[BatchResult]":
        """Run many rows through one technique and return all results, in the order of the rows.

        Args:
            technique_id: The technique's slug or id (`tech_…`).
            rows: As `batch` takes them; they have to end.
            raise_on_failure: Raise once all is finished, rather than return results with errors in them.
            **options: As `batch` takes them.

        Returns:
            One result for each row. Nothing is raised for rows that failed or were skipped: look at `result.ok`.

        Raises:
            ExceptionGroup: `raise_on_failure` is set, and rows have errors: all of them.
            JournalError: The journal cannot be used.

        Example:
            >>> results = await flora.run_all("caption", [{"prompt": "a red bicycle"}, {"wrong": 5}])
            >>> [result.ok for result in results]
            [True, False]
        """
        from flora_async.batch import run_all  # noqa: PLC0415 - loaded with the first batch

        return await run_all(self.batch(technique_id, rows, **options), raise_on_failure=raise_on_failure)
