"""Runs of the local FLORA. No task advances them: their state is computed from the clock whenever it is asked for."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from urllib.parse import quote

import attrs

from flora_async._clock import Clock
from flora_async._repr import ShortRepr
from flora_async.testing._state.environment import Environment, Handlers, milliseconds
from flora_async.testing._state.outcomes import Outcome, Outcomes
from flora_async.testing._state.sample_files import OUTPUT_SUFFIXES
from flora_async.testing._state.techniques import FakeTechnique
from flora_async.testing._state.work import Work, draw
from flora_async.testing._wire.answers import not_found
from flora_async.testing._wire.idempotency import idempotency_key
from flora_async.testing._wire.operations import API
from flora_async.testing._wire.requests import RecordedRequest
from flora_async.testing._wire.validation import one_of, paginate, query_problems

STATUSES: Final = ("pending", "running", "completed", "failed")
ENDED: Final = frozenset({"completed", "failed"})

RunKind: TypeAlias = Literal["technique", "generation", "action"]

_STATUS: Final = one_of(STATUSES)


def _new_run_id() -> str:
    return f"run_{uuid.uuid4().hex}"


class _Ending(NamedTuple):
    """The end of a run, in Unix seconds, and its error if it fails."""

    time: float
    error_code: str | None
    error_message: str | None


def _draw_running(run: "FakeRun") -> float:
    return draw(run.work.running)


def _planned_ending(run: "FakeRun") -> _Ending:
    work = run.work
    error = work.draw_error() if run.outcome is None else run.outcome.error
    return _Ending(run.created + work.pending + run._running, *error)  # noqa: SLF001 - attrs factory of the same class


@attrs.define(eq=False, kw_only=True)
class FakeRun(ShortRepr):
    """A run on the local FLORA, which is paid for if it completes.

    Attributes:
        number: Its position in the order of creation, from 1.
        kind: `technique`, `generation` or `action`.
        work: The `FakeTechnique`, `FakeModel` or `FakeAction` that is run.
        inputs: The values of its inputs, by input id; a generation has the input `prompt`.
        params: The parameters of a model or an action.
        mode: `async` or `stream`, as requested.
        callback_url: The requested URL for the webhook.
        idempotency_key: The key of the request that started it.
        workspace_id: The workspace that it belongs to.
        project_id: The project that it belongs to.
        run_id: The public id.
        created: Unix time in seconds.
        clock: The clock of the server.
        outcome: The outcome that the test has planned for it, if any.
    """

    number: int
    kind: RunKind = "technique"
    work: Work
    inputs: Mapping[str, str]
    params: Mapping[str, Any] = attrs.field(factory=dict)
    mode: str = "async"
    callback_url: str | None = None
    idempotency_key: str | None = None
    workspace_id: str
    project_id: str
    created: float
    run_id: str = attrs.field(factory=_new_run_id)
    clock: Clock = attrs.field(repr=False)
    outcome: Outcome | None = attrs.field(default=None, repr=False)
    _running: float = attrs.field(init=False, repr=False, default=attrs.Factory(_draw_running, takes_self=True))
    _ending: _Ending = attrs.field(init=False, repr=False, default=attrs.Factory(_planned_ending, takes_self=True))

    @property
    def technique(self) -> FakeTechnique:
        """The technique that is run.

        Raises:
            TypeError: The run is that of a model or an action.
        """
        if not isinstance(self.work, FakeTechnique):
            raise TypeError(f"run {self.run_id} runs {self.work.name!r}, which is not a technique: use its work")
        return self.work

    @property
    def technique_id(self) -> str:
        """The public id of its technique."""
        return self.technique.technique_id

    @property
    def created_at(self) -> int:
        """The time of its creation as FLORA writes it: Unix milliseconds."""
        return milliseconds(self.created)

    @property
    def status(self) -> str:
        """The current status: pending, running, completed or failed."""
        return self.status_at(self.clock.time())

    @property
    def charged_cost(self) -> float:
        """USD charged so far, whether or not answers already contain it; 0 before the run has ended."""
        return self._cost_of(self.status)

    @property
    def error_code(self) -> str | None:
        """The error code if it fails, otherwise `None`."""
        return self._ending.error_code

    @property
    def error_message(self) -> str | None:
        """The error message if it fails, otherwise `None`."""
        return self._ending.error_message

    @property
    def ends(self) -> float:
        """The Unix time in seconds at which it ends; `math.inf` if only `FakeFlora.finish` ends it."""
        return self._ending.time

    @property
    def path(self) -> str:
        """The path of its poll URL, below the base URL."""
        if self.kind != "technique":
            return f"/runs/{self.run_id}"
        return f"/techniques/{quote(self.technique_id, safe='')}/runs/{self.run_id}"

    @property
    def _started(self) -> float:
        return min(self.created + self.work.pending, self._ending.time)

    def status_at(self, now: float) -> str:
        """Return the status at `now`, in Unix seconds."""
        ending = self._ending
        if now < ending.time:
            return "pending" if now < self._started else "running"
        return "completed" if ending.error_code is ending.error_message is None else "failed"

    def end(self, error_code: str | None, error_message: str | None) -> None:
        """End it now, as failed if there is a code or a message.

        Raises:
            ValueError: It has already ended.
        """
        now = self.clock.time()
        if now >= self.ends:
            raise ValueError(f"run {self.run_id} has already {self.status_at(now)}")
        self._ending = _Ending(now, error_code, error_message)

    def poll_url(self, environment: Environment) -> str | None:
        """Return its poll URL, or `None` if answers do not contain one."""
        return f"{environment.api_origin}{API}{self.path}" if environment.poll_urls else None

    def payload(self, now: float, environment: Environment) -> dict[str, Any]:
        """Return FLORA's description of it at `now`, without the fields that do not apply yet."""
        status, ending = self.status_at(now), self._ending
        payload = {
            "run_id": self.run_id,
            "status": status,
            "progress": self._progress(status, now),
            "created_at": self.created_at,
        }
        if (poll_url := self.poll_url(environment)) is not None:
            payload["poll_url"] = poll_url
        if status == "pending":
            return payload
        payload["started_at"] = milliseconds(self._started)
        if status == "running":
            return payload
        payload["completed_at"] = milliseconds(ending.time)
        cost = self._cost_of(status)
        if now >= ending.time + environment.cost_lag and (cost or status == "completed"):
            payload["charged_cost"] = cost
        if status == "completed":
            return payload | {"outputs": self.outputs(environment.storage_origin)}
        error = {"error_code": ending.error_code, "error_message": ending.error_message}
        return payload | {name: value for name, value in error.items() if value is not None}

    def history_row(self, now: float, environment: Environment) -> dict[str, Any]:
        """Return its row in a history at `now`."""
        return {
            **self.payload(now, environment),
            f"{self.kind}_run_id" if self.kind == "technique" else f"{self.kind}_id": self.run_id,
            "project_id": self.project_id,
            "workspace_id": self.workspace_id,
            **self.work.reference(),
        }

    def created_payload(self, environment: Environment) -> dict[str, Any]:
        """Return FLORA's answer to `POST /techniques/{technique_id}/runs`, in which any cost is a quote."""
        quote = {} if self.work.quote is None else {"charged_cost": self.work.quote}
        return self.payload(self.created, environment) | quote

    def ticket(self, environment: Environment) -> dict[str, Any]:
        """Return FLORA's answer to a start, except for `POST /techniques/{technique_id}/runs`."""
        ticket = {
            "run_id": self.run_id,
            "type": self.kind,
            "charged_cost": self.work.price,
            "estimated_seconds": self.work.estimated_seconds,
            "project_id": self.project_id,
            **self.work.reference(),
        }
        poll_url = self.poll_url(environment)
        return ticket if poll_url is None else {**ticket, "poll_url": poll_url}

    def outputs(self, storage_origin: str) -> list[dict[str, str]]:
        """Return its outputs."""
        text = f"{self.work.name}: {', '.join(self.inputs.values())}"
        return [
            {
                "output_id": output_id,
                "type": type_,
                "url": self.planned_outputs.get(output_id, text)
                if type_ == "text"
                else f"{storage_origin}/media/{self.run_id}/{output_file_name(output_id, type_)}",
            }
            for output_id, type_ in self.work.output_types.items()
        ]

    @property
    def planned_outputs(self) -> Mapping[str, Any]:
        """The content of the outputs that the test has planned, by output id."""
        return {} if self.outcome is None else self.outcome.outputs

    def _cost_of(self, status: str) -> float:
        return {"completed": self.work.run_cost, "failed": self.work.failed_cost}.get(status, 0.0)

    def _progress(self, status: str, now: float) -> int:
        if status == "running":
            return round(100 * (now - self._started) / self._running)
        return 0 if status == "pending" else 100


def output_file_name(output_id: str, type_: str) -> str:
    """Return the percent-encoded file name of an output."""
    return quote(output_id, safe="") + OUTPUT_SUFFIXES.get(type_, ".bin")


class RunStore:
    """All runs of the server.

    Args:
        environment: The clock and the addresses.
        outcomes: The outcomes of future runs.

    Attributes:
        runs: The runs by id, in order of creation.
        on_create: Called with every new run.
    """

    def __init__(self, environment: Environment, outcomes: Outcomes) -> None:
        self._outcomes = outcomes
        self.runs: dict[str, FakeRun] = {}
        self.on_create: Callable[[FakeRun], None] = lambda _: None
        self._environment = environment

    @property
    def handlers(self) -> Handlers:
        """The operations that read runs."""
        return {
            "techniques.runs.retrieve": self._retrieve_technique_run,
            "generations.retrieve": self._retrieve,
            "techniques.runs.list": lambda request: self._list(request, "technique", "technique_runs"),
            "generations.list": lambda request: self._list(request, "generation", "generations"),
        }

    def create(
        self,
        request: RecordedRequest,
        kind: RunKind,
        *,
        work: Work,
        inputs: Mapping[str, str],
        **fields: Any,  # noqa: ANN401 - of FakeRun
    ) -> FakeRun:
        """Start a run on behalf of a request."""
        run = FakeRun(
            number=len(self.runs) + 1,
            kind=kind,
            idempotency_key=idempotency_key(request),
            created=self._environment.clock.time(),
            clock=self._environment.clock,
            work=work,
            inputs=inputs,
            outcome=self._outcomes.take(work, inputs),
            **fields,
        )
        self.runs[run.run_id] = run
        self.on_create(run)
        return run

    def _retrieve(self, request: RecordedRequest) -> dict[str, Any]:
        run = self.runs.get(request.route.path_params["run_id"])
        if run is None:
            raise not_found()
        return run.payload(self._environment.clock.time(), self._environment)

    def _retrieve_technique_run(self, request: RecordedRequest) -> dict[str, Any]:
        run = self.runs.get(request.route.path_params["run_id"])
        if run is None or not _runs_technique(run, request.route.path_params["technique_id"]):
            raise not_found()
        return run.payload(self._environment.clock.time(), self._environment)

    def _list(self, request: RecordedRequest, kind: RunKind, name: str) -> dict[str, Any]:
        now = self._environment.clock.time()
        return paginate(
            name,
            request.query,
            self._matching(request.query, kind, now),
            lambda run: run.history_row(now, self._environment),
            query_problems(request.query, status=_STATUS),
        )

    def _matching(self, query: Mapping[str, str], kind: RunKind, now: float) -> Iterator[tuple[int, FakeRun]]:
        for run in reversed(self.runs.values()):
            if (
                run.kind == kind
                and now >= run.created + self._environment.history_lag
                and query.get("workspace_id", run.workspace_id) == run.workspace_id
                and query.get("project_id", run.project_id) == run.project_id
                and ("technique_id" not in query or _runs_technique(run, query["technique_id"]))
                and query.get("status", status := run.status_at(now)) == status
            ):
                yield run.number, run


def _runs_technique(run: FakeRun, technique_id: str) -> bool:
    return isinstance(run.work, FakeTechnique) and technique_id in run.work.ids
