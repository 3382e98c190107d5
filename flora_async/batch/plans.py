"""`BatchPlan`: what a batch would do, found out without starting anything."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from flora_async._http.retry import logger
from flora_async._repr import ShortRepr
from flora_async._text import printable
from flora_async.batch.budget import believable
from flora_async.batch.journal_reader import JournalReader
from flora_async.batch.options import BatchOptions
from flora_async.batch.records import recorded_subject
from flora_async.batch.row_runner import EXPECTED, is_worth_another_run
from flora_async.batch.rows import Kind, Planned, key_of
from flora_async.batch.work import Works
from flora_async.errors import (
    AuthenticationError,
    FloraError,
    InsufficientCreditsError,
    NotFoundError,
    PermissionDeniedError,
    SessionClosedError,
)
from flora_async.models import Run
from flora_async.models._codec import from_dict

# These concern the session, and not the row that met them first.
_OF_THE_SESSION: Final = (AuthenticationError, InsufficientCreditsError, PermissionDeniedError, SessionClosedError)
_MAX_SHOWN: Final = 20
_MAX_NAME: Final = 60
_MAX_REASON: Final = 200


@frozen(kw_only=True)
class PlannedRow(ShortRepr):
    """A row that a batch would start.

    Attributes:
        index: Its position in the source, from 0.
        key: Its key.
        kind: What it runs: `technique`, `generation` or `action`.
        target: The technique, model or action; for a generation without a model its type.
        price: What it is likely to cost, in USD; None = FLORA does not say.
    """

    index: int
    key: str
    kind: Kind
    target: str
    price: float | None


@frozen(kw_only=True)
class RowProblem(ShortRepr):
    """A row that a batch would not start.

    Attributes:
        index: Its position in the source, from 0.
        key: Its key, or its index where the key cannot be read.
        error: What is wrong with it.
    """

    index: int
    key: str
    error: Exception

    def __str__(self) -> str:
        """One line for people and logs."""
        return f"row {self.index} ({printable(self.key, _MAX_NAME)!r}): {printable(str(self.error), _MAX_REASON)}"


@frozen(kw_only=True)
class BatchPlan(ShortRepr):
    """What a batch would do; `str` says it in words.

    Attributes:
        rows: The rows that would be started.
        problems: The rows that would not, and why.
        under_way: How many rows an earlier process has started, or may have, whose runs would be followed.
        done: How many rows have ended in an earlier process, and would not be run again.
        spent: What the runs in the journal have cost so far, as far as is known, in USD.
        max_cost: The batch's limit in USD, which includes `spent`; None = no limit.

    Example:
        >>> plan = await flora.batch("caption", [{"prompt": "a red bicycle"}, {"wrong": "x"}]).plan()
        >>> len(plan.rows), plan.cost, plan.problems[0].index
        (1, 0.01, 1)
    """

    rows: tuple[PlannedRow, ...]
    problems: tuple[RowProblem, ...] = ()
    under_way: int = 0
    done: int = 0
    spent: float = 0.0
    max_cost: float | None = None

    @property
    def cost(self) -> float:
        """What the rows would cost, as far as prices are known, in USD."""
        return round(sum(row.price for row in self.rows if row.price is not None), 9)

    @property
    def unpriced(self) -> int:
        """How many of the rows have no known price."""
        return sum(row.price is None for row in self.rows)

    @property
    def fits(self) -> bool:
        """Whether `cost` and `spent` are within `max_cost`."""
        return self.max_cost is None or self.spent + self.cost <= self.max_cost

    def __str__(self) -> str:
        """Say what would be started, what it would cost, and what is wrong with which row."""
        targets = Counter(f"{row.kind}:{printable(row.target, _MAX_NAME)}" for row in self.rows)
        of = ", ".join(f"{target}: {count}" for target, count in targets.most_common(_MAX_SHOWN))
        parts = [f"{_rows(len(self.rows))} would be started{f' ({of})' if of else ''} for about {self.cost:.6g} USD"]
        if self.unpriced:
            parts[0] += f" and {self.unpriced} unknown price{'s' * (self.unpriced != 1)}"
        if self.under_way:
            parts.append(f"{self.under_way} under way")
        if self.done:
            parts.append(f"{self.done} done")
        if self.spent:
            parts.append(f"{self.spent:.6g} USD spent")
        if not self.fits:
            parts.append(f"max_cost={self.max_cost:g} will not do for all of them")
        if self.problems:
            parts.append(
                f"{_rows(len(self.problems))} {'has a problem' if len(self.problems) == 1 else 'have problems'}"
            )
        lines = [f"  {problem}" for problem in self.problems[:_MAX_SHOWN]]
        if len(self.problems) > _MAX_SHOWN:
            lines.append(f"  … and {len(self.problems) - _MAX_SHOWN} more")
        return "\n".join(["; ".join(parts), *lines])


def _rows(count: int) -> str:
    return f"{count} row{'s' * (count != 1)}"


async def plan_of(rows: AsyncGenerator[Any, None], works: Works, options: BatchOptions) -> BatchPlan:
    """Check and price every row.

    Raises:
        FloraError: FLORA refuses the session's key, or the session is closed.
        JournalError: The journal cannot be read.
        Exception: The error of the source of rows.
    """
    known = _Recorded()
    if options.journal is not None:
        await asyncio.to_thread(known.read, os.fspath(options.journal), options.run_attempts)
    planned: list[PlannedRow] = []
    problems: list[RowProblem] = []
    seen: set[tuple[str, str]] = set()
    under_way = done = index = 0
    async for row in rows:
        key = str(index)
        try:
            request = works.request_of(row)
            key = key_of(request, index)
            found = await works.plan(request, key, index)
            if (key, found.digest) in seen:
                raise ValueError(f"the row {key!r:.40} is given twice: give each row a key of its own")  # noqa: TRY301 - a bad row
            seen.add((key, found.digest))
            state = known.states.get((key, found.digest))
            if state is None:
                planned.append(await _start_of(found, works, known))
            under_way += state == "under way"
            done += state == "done"
        except _OF_THE_SESSION:
            raise
        except Exception as error:  # noqa: BLE001 - one row's failure is that row's
            if not isinstance(error, EXPECTED):
                logger.error("row %.40r could not be read", key, exc_info=error)
            problems.append(RowProblem(index=index, key=key, error=error))
        index += 1
    return BatchPlan(
        rows=tuple(planned),
        problems=tuple(problems),
        under_way=under_way,
        done=done,
        spent=round(sum(known.costs.values()), 9),
        max_cost=options.max_cost,
    )


async def _start_of(row: Planned, works: Works, known: "_Recorded") -> PlannedRow:
    work = works.of(row)
    await work.check(row)
    try:
        price = believable(await work.estimate(row))
    except (NotFoundError, *_OF_THE_SESSION):
        raise
    except FloraError:
        price = None
    # What runs have cost says more than what FLORA expects them to cost.
    price = known.prices.get(row.subject, price)
    return PlannedRow(index=row.index, key=row.key, kind=row.kind, target=row.target, price=price)


@define
class _Recorded:
    """What a journal says about rows, by key and digest, and about costs in USD."""

    states: dict[tuple[str, str], str] = field(factory=dict)
    costs: dict[str, float] = field(factory=dict)
    prices: dict[str, float] = field(factory=dict)

    def read(self, path: str, max_attempts: int) -> None:
        """Read a journal, if there is one, without changing it."""
        if not Path(path).exists():
            return
        subjects: dict[str, str] = {}
        with JournalReader(path) as journal:
            for record in journal.records():
                row, details = (record.key, record.digest), record.details
                cost = believable(details.get("cost"))
                subject = recorded_subject(details) or subjects.get(record.run_id, "")
                subjects[record.run_id] = subject
                if cost is not None:
                    self.costs[record.run_id or f"{record.digest}{record.key}"] = cost
                    self.prices[subject] = max(cost, self.prices.get(subject, cost))
                if record.is_open:
                    self.states[row] = "under way"
                elif record.state == "finished":
                    run = from_dict(record.run, Run) if record.run is not None else None
                    again = details["attempt"] < max_attempts and is_worth_another_run(run)
                    if again:
                        self.states.pop(row, None)
                    else:
                        self.states[row] = "done"
                elif record.state == "planned":
                    self.states.pop(row, None)
