"""`flora.generations` and `flora.actions` with batches: the operations, and many of their runs at once."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flora_async import resources
from flora_async._checks import identifier
from flora_async.batch.actions import ActionDefaults
from flora_async.batch.batch import Batch, run_all
from flora_async.batch.generations import GenerationDefaults
from flora_async.batch.kinds import Lent
from flora_async.batch.options import BatchOptions, OnProgress
from flora_async.batch.results import BatchResult
from flora_async.batch.rows import ActionRows, GenerationRows
from flora_async.batch.watchers import Watch
from flora_async.config import PollPolicy
from flora_async.resources.models import Medium

if TYPE_CHECKING:
    from flora_async.media.stores import UPath


class Generations(resources.Generations):
    """Runs of a model: start one, read one, list them, or run a batch of them."""

    def __init__(self, *operations: Any, lent: Lent) -> None:  # noqa: ANN401 - as of the operations
        super().__init__(*operations)
        self._lent = lent

    def batch(  # noqa: PLR0913 - one keyword for each decision about a batch
        self,
        prompts: GenerationRows,
        *,
        model: str | None = None,
        type: Medium | None = None,  # noqa: A002 - FLORA's name
        params: Mapping[str, Any] | None = None,
        project_id: str | None = None,
        concurrency: int = 16,
        start_interval: float = 0.0,
        max_cost: float | None = None,
        journal: str | os.PathLike[str] | None = None,
        name: str | None = None,
        run_attempts: int = 1,
        watch: Watch = "auto",
        check: bool = True,
        workspace_id: str | None = None,
        save_to: "str | os.PathLike[str] | UPath | None" = None,
        poll: PollPolicy | None = None,
        on_progress: OnProgress | None = None,
    ) -> Batch:
        """Run many generations; see `Batch` for how it behaves.

        Args:
            prompts: Any iterable or async iterable, finite or not, or a data frame; each row is a prompt, a mapping
                with the fields of a `GenerationRequest`, or a request of any kind. They are read one by one, as there
                is room for them.
            model: The model of rows that do not name their own; None = FLORA's choice.
            type: What rows make that do not name their own: `image`, `video`, `audio` or `text`; None = what their
                model makes, by FLORA's catalog.
            params: Parameters of the batch's model for every row, as in `create`; a row's own are added to them and
                take precedence. A row that names a model of its own does not get them.
            project_id: The project of rows that do not name their own (`prj_…`). Each row needs one.
            concurrency: The most runs under way at once. Default 16.
            start_interval: Seconds between starts, for a provider that wants them apart. Default 0.
            max_cost: The most that the batch may spend, in USD, including earlier processes with the same journal;
                None = no limit. FLORA names no reliable price of a generation, so the first run of each model goes
                alone, and its cost counts as the price.
            journal: A file that records each step, so that the batch can be restarted after a crash and every row is
                still done once; None = no journal. Needs `flora-async[batch]`.
            name: The name from which idempotency keys are derived. None = the name in the journal, or a unique one.
            run_attempts: The most runs for one row, when one fails and `run.failure.hint` is `again` or `later`. Each
                is charged. Default 1.
            watch: `each` polls every run, `list` reads the history for all of them, `auto` does so from five runs on.
                Default `auto`.
            check: Refuse models, parameters and values that FLORA's catalog does not know, before anything is spent on
                a row. FLORA itself ignores them, and charges. Default True.
            workspace_id: The workspace that pays, and that files are uploaded to (`ws_…`); None = the session's, or the
                only one there is.
            save_to: A directory, or the URL of one in a store, into which the outputs of completed runs are saved, as
                `<row key>-<run id>-<output id>`, with a JSON side-car for each run; None = they are not saved.
            poll: How runs are watched; None = the session's policy.
            on_progress: Called with `batch.summary` for each result; an awaitable that it returns is awaited.

        Returns:
            The batch, for `async with` and then `async for`, or for `plan`.

        Raises:
            ValueError: An argument is out of range or malformed.
            TypeError: An argument has the wrong type.

        Example:
            >>> prompts = ["a red bicycle", {"prompt": "a blue boat", "key": "boat"}]
            >>> async with flora.generations.batch(prompts, model="flux-pro", project_id="prj_local") as batch:
            ...     results = {result.key: result async for result in batch}
            >>> sorted(results), batch.summary.completed, batch.summary.cost
            (['0', 'boat'], 2, 0.1)
        """
        options = BatchOptions(
            concurrency=concurrency,
            start_interval=start_interval,
            max_cost=max_cost,
            journal=journal,
            name=name,
            run_attempts=run_attempts,
            watch=watch,
            check=check,
            workspace_id=workspace_id,
            save_to=save_to,
            poll=poll,
            on_progress=on_progress,
        )
        defaults = GenerationDefaults(model=model, type=type, params=params, project_id=project_id)
        return Batch(self._lent, defaults, prompts, options)

    async def run_all(  # noqa: PLR0913 - as batch
        self,
        prompts: GenerationRows,
        *,
        raise_on_failure: bool = False,
        model: str | None = None,
        type: Medium | None = None,  # noqa: A002 - FLORA's name
        params: Mapping[str, Any] | None = None,
        project_id: str | None = None,
        concurrency: int = 16,
        start_interval: float = 0.0,
        max_cost: float | None = None,
        journal: str | os.PathLike[str] | None = None,
        name: str | None = None,
        run_attempts: int = 1,
        watch: Watch = "auto",
        check: bool = True,
        workspace_id: str | None = None,
        save_to: "str | os.PathLike[str] | UPath | None" = None,
        poll: PollPolicy | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[BatchResult]:
        """Run many generations and return all results, in the order of the rows.

        Args:
            prompts: As for `batch`; they must be finite.
            raise_on_failure: Raise once all rows have ended, rather than return results with errors in them.
            model: The model of rows that do not name their own; None = FLORA's choice.
            type: What rows make that do not name their own: `image`, `video`, `audio` or `text`; None = what their
                model makes, by FLORA's catalog.
            params: Parameters of the batch's model for every row, as in `create`; a row's own are added to them and
                take precedence. A row that names a model of its own does not get them.
            project_id: The project of rows that do not name their own (`prj_…`). Each row needs one.
            concurrency: The most runs under way at once. Default 16.
            start_interval: Seconds between starts. Default 0.
            max_cost: The most that the batch may spend, in USD; None = no limit.
            journal: A file that records each step; None = no journal.
            name: The name from which idempotency keys are derived; None = the journal's, or a unique one.
            run_attempts: The most runs for one row. Default 1.
            watch: How runs are followed: `auto`, `list` or `each`. Default `auto`.
            check: Check each row before anything is spent on it. Default True.
            workspace_id: The workspace that pays (`ws_…`); None = the session's, or the only one there is.
            save_to: A directory, or the URL of one in a store, for the outputs of completed runs; None = not saved.
            poll: How runs are watched; None = the session's policy.
            on_progress: Called with the summary for each result.

        Returns:
            One result for each row. Nothing is raised for rows that failed or were skipped: look at `result.ok`.

        Raises:
            BatchInterruptedError: The source of rows or `on_progress` raised; `error.results` has the results so far.
            ExceptionGroup: `raise_on_failure` is set, and rows have errors: all of them.
            JournalError: The journal cannot be used.
            OSError: Files cannot be written to `save_to`.
            ValueError: An argument is out of range or malformed.
            TypeError: An argument has the wrong type.

        Example:
            >>> results = await flora.generations.run_all(
            ...     ["a red bicycle", ""], model="flux-pro", project_id="prj_local"
            ... )
            >>> [result.ok for result in results]
            [True, False]
        """
        batch = self.batch(
            prompts,
            model=model,
            type=type,
            params=params,
            project_id=project_id,
            concurrency=concurrency,
            start_interval=start_interval,
            max_cost=max_cost,
            journal=journal,
            name=name,
            run_attempts=run_attempts,
            watch=watch,
            check=check,
            workspace_id=workspace_id,
            save_to=save_to,
            poll=poll,
            on_progress=on_progress,
        )
        return await run_all(batch, raise_on_failure=raise_on_failure)


class Actions(resources.Actions):
    """Actions: find one, run it, or run a batch of them."""

    def __init__(self, *operations: Any, lent: Lent) -> None:  # noqa: ANN401 - as of the operations
        super().__init__(*operations)
        self._lent = lent

    def batch(  # noqa: PLR0913 - one keyword for each decision about a batch
        self,
        action_id: str,
        rows: ActionRows,
        *,
        params: Mapping[str, Any] | None = None,
        project_id: str | None = None,
        concurrency: int = 16,
        start_interval: float = 0.0,
        max_cost: float | None = None,
        journal: str | os.PathLike[str] | None = None,
        name: str | None = None,
        run_attempts: int = 1,
        watch: Watch = "auto",
        check: bool = True,
        workspace_id: str | None = None,
        save_to: "str | os.PathLike[str] | UPath | None" = None,
        poll: PollPolicy | None = None,
        on_progress: OnProgress | None = None,
    ) -> Batch:
        """Run many rows through one action; see `Batch` for how it behaves.

        FLORA lists runs of actions in no history. So each is polled by itself, and a start whose answer was lost is
        found out about by asking again under its key alone.

        Args:
            action_id: The action's slug, such as `rotate-image-browser`.
            rows: Any iterable or async iterable, finite or not, or a data frame; each row is a sequence of inputs, a
                mapping with the fields of an `ActionRequest`, or a request of any kind. They are read one by one, as
                there is room for them.
            params: Settings of the action for every row; a row's own are added to them and take precedence. A row that
                names an action of its own does not get them.
            project_id: The project of rows that do not name their own (`prj_…`). Each row needs one.
            concurrency: The most runs under way at once. Default 16.
            start_interval: Seconds between starts, for a provider that wants them apart. Default 0.
            max_cost: The most that the batch may spend, in USD, including earlier processes with the same journal;
                None = no limit. No run is started that could exceed it, going by FLORA's own prices.
            journal: A file that records each step, so that the batch can be restarted after a crash and every row is
                still done once; None = no journal. Needs `flora-async[batch]`.
            name: The name from which idempotency keys are derived. None = the name in the journal, or a unique one.
            run_attempts: The most runs for one row, when one fails and `run.failure.hint` is `again` or `later`. Each
                is charged. Default 1.
            watch: How rows of other kinds are followed, as in `FloraSession.batch`. Default `auto`.
            check: Read each action once in five minutes and refuse rows that it does not take. Default True.
            workspace_id: The workspace that pays, and that files are uploaded to (`ws_…`); None = the session's, or the
                only one there is.
            save_to: A directory, or the URL of one in a store, into which the outputs of completed runs are saved, as
                `<row key>-<run id>-<output id>`, with a JSON side-car for each run; None = they are not saved.
            poll: How runs are watched; None = the session's policy.
            on_progress: Called with `batch.summary` for each result; an awaitable that it returns is awaited.

        Returns:
            The batch, for `async with` and then `async for`, or for `plan`.

        Raises:
            ValueError: An argument is out of range or malformed.
            TypeError: An argument has the wrong type.

        Example:
            >>> rows = [[{"type": "text", "text": "a red bicycle"}], [{"type": "text", "text": "a blue boat"}]]
            >>> async with flora.actions.batch("concat-text-browser", rows, project_id="prj_local") as batch:
            ...     results = [result async for result in batch]
            >>> batch.summary.completed, batch.summary.cost
            (2, 0.002)
        """
        options = BatchOptions(
            concurrency=concurrency,
            start_interval=start_interval,
            max_cost=max_cost,
            journal=journal,
            name=name,
            run_attempts=run_attempts,
            watch=watch,
            check=check,
            workspace_id=workspace_id,
            save_to=save_to,
            poll=poll,
            on_progress=on_progress,
        )
        defaults = ActionDefaults(action_id=identifier("action_id", action_id), params=params, project_id=project_id)
        return Batch(self._lent, defaults, rows, options)

    async def run_all(  # noqa: PLR0913 - as batch
        self,
        action_id: str,
        rows: ActionRows,
        *,
        raise_on_failure: bool = False,
        params: Mapping[str, Any] | None = None,
        project_id: str | None = None,
        concurrency: int = 16,
        start_interval: float = 0.0,
        max_cost: float | None = None,
        journal: str | os.PathLike[str] | None = None,
        name: str | None = None,
        run_attempts: int = 1,
        watch: Watch = "auto",
        check: bool = True,
        workspace_id: str | None = None,
        save_to: "str | os.PathLike[str] | UPath | None" = None,
        poll: PollPolicy | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[BatchResult]:
        """Run many rows through one action and return all results, in the order of the rows.

        Args:
            action_id: The action's slug, such as `rotate-image-browser`.
            rows: As for `batch`; they must be finite.
            raise_on_failure: Raise once all rows have ended, rather than return results with errors in them.
            params: Settings of the action for every row; a row's own are added to them and take precedence. A row that
                names an action of its own does not get them.
            project_id: The project of rows that do not name their own (`prj_…`). Each row needs one.
            concurrency: The most runs under way at once. Default 16.
            start_interval: Seconds between starts. Default 0.
            max_cost: The most that the batch may spend, in USD; None = no limit.
            journal: A file that records each step; None = no journal.
            name: The name from which idempotency keys are derived; None = the journal's, or a unique one.
            run_attempts: The most runs for one row. Default 1.
            watch: How runs are followed: `auto`, `list` or `each`. Default `auto`.
            check: Check each row before anything is spent on it. Default True.
            workspace_id: The workspace that pays (`ws_…`); None = the session's, or the only one there is.
            save_to: A directory, or the URL of one in a store, for the outputs of completed runs; None = not saved.
            poll: How runs are watched; None = the session's policy.
            on_progress: Called with the summary for each result.

        Returns:
            One result for each row. Nothing is raised for rows that failed or were skipped: look at `result.ok`.

        Raises:
            BatchInterruptedError: The source of rows or `on_progress` raised; `error.results` has the results so far.
            ExceptionGroup: `raise_on_failure` is set, and rows have errors: all of them.
            JournalError: The journal cannot be used.
            OSError: Files cannot be written to `save_to`.
            ValueError: An argument is out of range or malformed.
            TypeError: An argument has the wrong type.

        Example:
            >>> rows = [[{"type": "text", "text": "a red bicycle"}], []]
            >>> results = await flora.actions.run_all("concat-text-browser", rows, project_id="prj_local")
            >>> [result.ok for result in results]
            [True, False]
        """
        batch = self.batch(
            action_id,
            rows,
            params=params,
            project_id=project_id,
            concurrency=concurrency,
            start_interval=start_interval,
            max_cost=max_cost,
            journal=journal,
            name=name,
            run_attempts=run_attempts,
            watch=watch,
            check=check,
            workspace_id=workspace_id,
            save_to=save_to,
            poll=poll,
            on_progress=on_progress,
        )
        return await run_all(batch, raise_on_failure=raise_on_failure)
