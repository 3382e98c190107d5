"""What a batch knows of the runs that it starts: how to plan a row, check it, price it and start it."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from flora_async.batch.rows import Kind, Planned, Request
from flora_async.models import Run, RunStatus, RunTicket
from flora_async.resources import PendingStart


class Work(Protocol):
    """One kind of run. A batch has one `Work` for each kind that its rows may be of.

    All that it learns about a row is in `Planned`, so that a batch treats rows of every kind in the same way.
    """

    kind: ClassVar[Kind]
    """The kind, as journals record it."""

    request_type: ClassVar[type[Any]]
    """The type of its requests."""

    @property
    def defaults(self) -> object:
        """What the batch says for its rows."""
        ...

    @property
    def target(self) -> str:
        """What rows run that do not name their own, for messages."""
        ...

    def request_of(self, row: Any) -> Request:  # noqa: ANN401 - whatever the caller gave
        """Read a row that is not a request.

        Raises:
            TypeError: It cannot be read as a row.
        """
        ...

    def is_by_default(self, request: Any) -> bool:  # noqa: ANN401 - of its own `request_type`
        """Whether a row runs what the batch names, so that a 404 concerns the other rows, too."""
        ...

    async def plan(self, request: Any, key: str, index: int) -> Planned:  # noqa: ANN401 - of its own `request_type`
        """Read a row, and the files in it; nothing is sent.

        Raises:
            TypeError: A part of the row has the wrong type.
            ValueError: A part of the row is malformed.
            OSError: A file cannot be read.
        """
        ...

    async def price(self, row: Planned) -> float | None:
        """What a run costs in USD, as far as FLORA says so reliably; None where that is known from earlier runs alone.

        Raises:
            NotFoundError: FLORA does not know the target.
        """
        ...

    async def estimate(self, row: Planned) -> float | None:
        """What a run is likely to cost in USD, for a plan; None where FLORA does not say.

        Raises:
            FloraError: It could not be read.
        """
        ...

    async def check(self, row: Planned) -> Any:  # noqa: ANN401 - for `upload` alone
        """Complete the arguments of a row, and refuse what the target does not take, if the batch checks its rows.

        Nothing is uploaded.

        Returns:
            What `upload` takes.

        Raises:
            InputError: The target does not take it.
            FloraError: What it takes could not be read.
            ValueError: An argument is not known, such as the workspace.
        """
        ...

    async def upload(self, checked: Any) -> Any:  # noqa: ANN401 - of `check`; JSON
        """Upload the files of a row, and return what is to be sent, as JSON that a journal can keep.

        Raises:
            FloraError: A file could not be uploaded.
            ValueError: No workspace is known for a file.
            OSError: A file cannot be read.
        """
        ...

    def start(self, row: Planned, sent: Any, idempotency_key: str) -> PendingStart[Any]:  # noqa: ANN401 - of `prepare`
        """The start of a row's run.

        Args:
            row: The row.
            sent: What `upload` returned, in this process or an earlier one.
            idempotency_key: The key of the start.
        """
        ...


class Works:
    """The kinds of work of one batch.

    Args:
        default: The work of rows that are not requests.
        works: All kinds of work.
    """

    def __init__(self, default: Work, works: Sequence[Work]) -> None:
        self._default = default
        self._by_kind: Mapping[Kind, Work] = {work.kind: work for work in works}
        self._by_request: Mapping[type, Work] = {work.request_type: work for work in works}

    @property
    def target(self) -> str:
        """What the batch runs, for messages."""
        return self._default.target

    def of(self, row: Planned) -> Work:
        """The work of a row."""
        return self._by_kind[row.kind]

    def request_of(self, row: Any) -> Request:  # noqa: ANN401 - whatever the caller gave
        """The row as a request.

        Raises:
            TypeError: It cannot be read as a row.
        """
        return row if type(row) in self._by_request else self._default.request_of(row)

    def is_by_default(self, request: Request) -> bool:
        """Whether a row runs what the batch names, so that a 404 concerns the other rows, too."""
        work = self._by_request[type(request)]
        return work is self._default and work.is_by_default(request)

    async def plan(self, request: Request, key: str, index: int) -> Planned:
        """Read a row, and the files in it, as `Work.plan` does."""
        return await self._by_request[type(request)].plan(request, key, index)


def run_of(started: Run | RunTicket) -> Run:
    """FLORA's answer to a start as a run: a ticket is that of a run which is pending."""
    if isinstance(started, Run):
        return started
    return Run(
        run_id=started.run_id,
        status=RunStatus.PENDING,
        charged_cost=started.charged_cost,
        poll_url=started.poll_url,
        adopted=started.adopted,
    )
