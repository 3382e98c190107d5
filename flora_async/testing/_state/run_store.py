"""The book of all runs: it opens them, finds them and lists them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flora_async.testing._state.environment import Environment, Handlers
from flora_async.testing._state.runs import STATUSES, FakeRun, RunKind
from flora_async.testing._state.techniques import FakeTechnique
from flora_async.testing._wire.answers import not_found
from flora_async.testing._wire.idempotency import key_of
from flora_async.testing._wire.operations import API
from flora_async.testing._wire.requests import RecordedRequest
from flora_async.testing._wire.validation import one_of, page_of, query_problems

_STATUS = one_of(STATUSES)


class RunStore:
    """Every run there is.

    Args:
        environment: The clock and the addresses.

    Attributes:
        runs: The runs by id, in order of creation.
        on_open: Told of each new run.
    """

    def __init__(self, environment: Environment) -> None:
        self.runs: dict[str, FakeRun] = {}
        self.on_open: Callable[[FakeRun], None] = lambda _: None
        self._environment = environment

    @property
    def handlers(self) -> Handlers:
        """The operations that look at runs."""
        return {
            "techniques.runs.retrieve": self._retrieve_of_technique,
            "generations.retrieve": self._retrieve,
            "techniques.runs.list": lambda request: self._list(request, "technique", "technique_runs"),
            "generations.list": lambda request: self._list(request, "generation", "generations"),
        }

    def open(self, request: RecordedRequest, kind: RunKind, **details: Any) -> FakeRun:  # noqa: ANN401 - fields of a run
        """Start a run for a request."""
        run = FakeRun(
            number=len(self.runs) + 1,
            kind=kind,
            idempotency_key=key_of(request),
            created=self._environment.clock.time(),
            clock=self._environment.clock,
            **details,
        )
        self.runs[run.run_id] = run
        self.on_open(run)
        return run

    def poll_url(self, run: FakeRun) -> str | None:
        """Where FLORA says that a run is polled, if it does."""
        return f"{self._environment.api}{API}{run.path}" if self._environment.poll_urls else None

    def payload(self, run: FakeRun) -> dict[str, Any]:
        """What FLORA answers about a run now."""
        return run.payload(self._environment.clock.time(), self._environment.storage, self.poll_url(run))

    def _retrieve(self, request: RecordedRequest) -> dict[str, Any]:
        run = self.runs.get(request.route.names["run_id"])
        if run is None:
            raise not_found()
        return self.payload(run)

    def _retrieve_of_technique(self, request: RecordedRequest) -> dict[str, Any]:
        run = self.runs.get(request.route.names["run_id"])
        if run is None or not _is_of(run.work, request.route.names["technique_id"]):
            raise not_found()
        return self.payload(run)

    def _list(self, request: RecordedRequest, kind: RunKind, name: str) -> dict[str, Any]:
        now, media = self._environment.clock.time(), self._environment.storage
        return page_of(
            name,
            request.query,
            self._matching(request.query, kind, now),
            lambda run: run.item(now, media, self.poll_url(run)),
            query_problems(request.query, status=_STATUS),
        )

    def _matching(self, query: Mapping[str, str], kind: RunKind, now: float) -> Iterator[tuple[int, FakeRun]]:
        for run in reversed(self.runs.values()):
            if (
                run.kind == kind
                and query.get("workspace_id", run.workspace_id) == run.workspace_id
                and query.get("project_id", run.project_id) == run.project_id
                and ("technique_id" not in query or _is_of(run.work, query["technique_id"]))
                and query.get("status", status := run.status_at(now)) == status
            ):
                yield run.number, run


def _is_of(work: object, technique_id: str) -> bool:
    return isinstance(work, FakeTechnique) and technique_id in {work.slug, work.technique_id}
