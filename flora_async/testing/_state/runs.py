"""Runs of the local FLORA: nothing moves them, their state is worked out from the time at each look."""

import uuid
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from urllib.parse import quote

import attrs

from flora_async._clock import Clock
from flora_async.testing._state.sample_files import OUTPUT_SUFFIXES
from flora_async.testing._state.techniques import FakeTechnique
from flora_async.testing._state.work import Work

STATUSES: Final = ("pending", "running", "completed", "failed")

RunKind: TypeAlias = Literal["technique", "generation", "action"]


def _new_run_id() -> str:
    return f"run_{uuid.uuid4().hex}"


class _Ending(NamedTuple):
    """When a run ends and why it fails, if it does; the time is Unix seconds."""

    time: float
    error_code: str | None
    error_message: str | None


def _drawn(run: "FakeRun") -> float:
    running = run.work.running
    return running() if callable(running) else running


def _natural(run: "FakeRun") -> _Ending:
    work = run.work
    return _Ending(run.created + work.pending + run._running, work.error_code, work.error_message)  # noqa: SLF001 - its own field


@attrs.define(eq=False, kw_only=True)
class FakeRun:
    """A run that exists on the local FLORA, and so is paid for when it completes.

    Attributes:
        number: The place in the order of creation, from 1.
        kind: What was started: a `technique`, a `generation` or an `action`.
        work: What is being run: a `FakeTechnique`, a `FakeModel` or a `FakeAction`.
        inputs: The values given, by input id; those of a generation are its `prompt`.
        params: The parameters given to a model or an action.
        mode: `async` or `stream`, as asked.
        callback_url: Where the webhook was asked for.
        idempotency_key: The key it was started with.
        workspace_id: The workspace it is listed under.
        project_id: The project it is listed under.
        run_id: The public id.
        created: Unix time in seconds.
        clock: What tells it the time.
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
    _running: float = attrs.field(init=False, repr=False, default=attrs.Factory(_drawn, takes_self=True))
    _ending: _Ending = attrs.field(init=False, repr=False, default=attrs.Factory(_natural, takes_self=True))

    @property
    def technique(self) -> FakeTechnique:
        """What is being run, if that is a technique.

        Raises:
            TypeError: It is a model or an action.
        """
        if not isinstance(self.work, FakeTechnique):
            raise TypeError(f"run {self.run_id} is a run of {self.work.name!r}, which is no technique: see its work")
        return self.work

    @property
    def technique_id(self) -> str:
        """The public id of its technique."""
        return self.technique.technique_id

    @property
    def created_at(self) -> int:
        """When it was created, as FLORA writes it: Unix milliseconds."""
        return milliseconds(self.created)

    @property
    def status(self) -> str:
        """What FLORA says of it now: pending, running, completed or failed."""
        return self.status_at(self.clock.time())

    @property
    def charged_cost(self) -> float:
        """USD charged so far: what its work costs once it has completed, else 0."""
        return self.work.run_cost if self.status == "completed" else 0.0

    @property
    def error_code(self) -> str | None:
        """Why it fails, for machines; `None` if it does not."""
        return self._ending.error_code

    @property
    def error_message(self) -> str | None:
        """Why it fails, for people; `None` if it does not."""
        return self._ending.error_message

    @property
    def ends(self) -> float:
        """When it ends, Unix time in seconds; `math.inf` if only `FakeFlora.finish` ends it."""
        return self._ending.time

    @property
    def path(self) -> str:
        """Where it is polled, below the base URL."""
        if self.kind != "technique":
            return f"/runs/{self.run_id}"
        return f"/techniques/{quote(self.technique_id, safe='')}/runs/{self.run_id}"

    @property
    def _started(self) -> float:
        return min(self.created + self.work.pending, self._ending.time)

    def status_at(self, now: float) -> str:
        """What FLORA says of it at `now`, Unix seconds."""
        ending = self._ending
        if now < ending.time:
            return "pending" if now < self._started else "running"
        return "completed" if ending.error_code is ending.error_message is None else "failed"

    def end(self, error_code: str | None, error_message: str | None) -> None:
        """End it now, as failed when there is a code or a message.

        Raises:
            ValueError: It has ended already.
        """
        now = self.clock.time()
        if now >= self.ends:
            raise ValueError(f"run {self.run_id} has already {self.status_at(now)}")
        self._ending = _Ending(now, error_code, error_message)

    def payload(self, now: float, media: str, poll_url: str | None) -> dict[str, Any]:
        """What FLORA answers about it at `now`; a field that does not apply is left out, as FLORA does."""
        status, ending = self.status_at(now), self._ending
        payload = {
            "run_id": self.run_id,
            "status": status,
            "progress": self._progress(status, now),
            "created_at": self.created_at,
        }
        if poll_url is not None:
            payload["poll_url"] = poll_url
        if status == "pending":
            return payload
        payload["started_at"] = milliseconds(self._started)
        if status == "running":
            return payload
        payload["completed_at"] = milliseconds(ending.time)
        if status == "completed":
            return payload | {"charged_cost": self.work.run_cost, "outputs": self.outputs(media)}
        why = {"error_code": ending.error_code, "error_message": ending.error_message}
        return payload | {name: value for name, value in why.items() if value is not None}

    def item(self, now: float, media: str, poll_url: str | None) -> dict[str, Any]:
        """What a history of FLORA's says about it at `now`."""
        return {
            **self.payload(now, media, poll_url),
            f"{self.kind}_run_id" if self.kind == "technique" else f"{self.kind}_id": self.run_id,
            "project_id": self.project_id,
            "workspace_id": self.workspace_id,
            **self.work.reference(),
        }

    def ticket(self, poll_url: str | None) -> dict[str, Any]:
        """What FLORA answers when it starts anything but a technique by its own path."""
        ticket = {
            "run_id": self.run_id,
            "type": self.kind,
            "charged_cost": self.work.run_cost,
            "estimated_seconds": self.work.estimated_seconds,
            "project_id": self.project_id,
            **self.work.reference(),
        }
        return ticket if poll_url is None else {**ticket, "poll_url": poll_url}

    def outputs(self, media: str) -> list[dict[str, str]]:
        """What it has made, once it has completed; `media` is the origin of the files."""
        text = f"{self.work.name}: {', '.join(self.inputs.values())}"
        return [
            {
                "output_id": output_id,
                "type": type_,
                "url": text if type_ == "text" else f"{media}/media/{self.run_id}/{file_of(output_id, type_)}",
            }
            for output_id, type_ in self.work.gives.items()
        ]

    def _progress(self, status: str, now: float) -> int:
        if status == "running":
            return round(100 * (now - self._started) / self._running)
        return 100 if status == "completed" else 0


def file_of(output_id: str, type_: str) -> str:
    """The file of an output, percent-encoded."""
    return quote(output_id, safe="") + OUTPUT_SUFFIXES.get(type_, ".bin")


def milliseconds(seconds: float) -> int:
    """Seconds as FLORA writes them."""
    return round(seconds * 1000)
