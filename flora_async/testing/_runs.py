"""Runs of the local FLORA: nothing moves them, their state is worked out from the time at each look."""

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import attrs

from flora_async._clock import Clock
from flora_async.testing._techniques import FakeTechnique

STATUSES = ("pending", "running", "completed", "failed")


def _new_run_id() -> str:
    return f"run_{uuid.uuid4().hex}"


class _Ending(NamedTuple):
    """When a run ends and why it fails, if it does; the time is Unix seconds."""

    time: float
    error_code: str | None
    error_message: str | None


def _drawn(run: "FakeRun") -> float:
    running = run.technique.running
    return running() if callable(running) else running


@attrs.define(eq=False, kw_only=True)
class FakeRun:
    """A run that exists on the local FLORA, and so is paid for when it completes.

    Attributes:
        number: The place in the order of creation, from 1.
        technique: What is being run.
        inputs: The values given, by input id.
        mode: `async` or `stream`, as asked.
        callback_url: Where the webhook was asked for. None is sent.
        idempotency_key: The key it was started with.
        run_id: The public id.
        created: Unix time in seconds.
        clock: What tells it the time.
    """

    number: int
    technique: FakeTechnique
    inputs: Mapping[str, str]
    mode: str
    callback_url: str | None
    idempotency_key: str | None
    created: float
    run_id: str = attrs.field(factory=_new_run_id)
    clock: Clock = attrs.field(repr=False)
    _running: float = attrs.field(init=False, repr=False, default=attrs.Factory(_drawn, takes_self=True))
    _forced: _Ending | None = attrs.field(default=None, init=False, repr=False)

    @property
    def technique_id(self) -> str:
        """The public id of its technique."""
        return self.technique.technique_id

    @property
    def created_at(self) -> int:
        """When it was created, as FLORA writes it: Unix milliseconds."""
        return _milliseconds(self.created)

    @property
    def status(self) -> str:
        """What FLORA says of it now: pending, running, completed or failed."""
        return self.status_at(self.clock.time())

    @property
    def charged_cost(self) -> float:
        """USD charged so far: its technique's `run_cost` once it has completed, else 0."""
        return self.technique.run_cost if self.status == "completed" else 0.0

    @property
    def _ending(self) -> _Ending:
        technique = self.technique
        natural = self.created + technique.pending + self._running
        return self._forced or _Ending(natural, technique.error_code, technique.error_message)

    @property
    def _started(self) -> float:
        return min(self.created + self.technique.pending, self._ending.time)

    def status_at(self, now: float) -> str:
        """What FLORA says of it at `now`, Unix seconds."""
        ending = self._ending
        if now < self._started:
            return "pending"
        if now < ending.time:
            return "running"
        return "completed" if ending.error_code is ending.error_message is None else "failed"

    def end(self, error_code: str | None, error_message: str | None) -> None:
        """End it now, as failed when there is a code or a message.

        Raises:
            ValueError: It has ended already.
        """
        now = self.clock.time()
        if (status := self.status_at(now)) in {"completed", "failed"}:
            raise ValueError(f"run {self.run_id} has already {status}")
        self._forced = _Ending(now, error_code, error_message)

    def payload(self, now: float, origin: str, poll_url: str | None) -> dict[str, Any]:
        """What FLORA answers about it at `now`; a field that does not apply is left out, as FLORA does."""
        status, ending = self.status_at(now), self._ending
        payload = {
            "run_id": self.run_id,
            "status": status,
            "progress": self._progress(status, now),
            "created_at": self.created_at,
            "poll_url": poll_url,
            "started_at": None if status == "pending" else _milliseconds(self._started),
        }
        if status in {"completed", "failed"}:
            payload["completed_at"] = _milliseconds(ending.time)
        if status == "completed":
            payload |= {"charged_cost": self.technique.run_cost, "outputs": self._outputs(origin)}
        elif status == "failed":
            payload |= {"error_code": ending.error_code, "error_message": ending.error_message}
        return {name: value for name, value in payload.items() if value is not None}

    def item(self, now: float, origin: str, poll_url: str | None) -> dict[str, Any]:
        """What FLORA's history says about it at `now`."""
        technique = self.technique
        return self.payload(now, origin, poll_url) | {
            "technique_run_id": self.run_id,
            "project_id": technique.project_id,
            "workspace_id": technique.workspace_id,
            "technique": {"technique_id": technique.technique_id, "name": technique.name},
        }

    def _progress(self, status: str, now: float) -> int:
        if status == "running":
            return round(100 * (now - self._started) / self._running)
        return 100 if status == "completed" else 0

    def _outputs(self, origin: str) -> list[dict[str, str]]:
        text = f"{self.technique.name}: {', '.join(self.inputs.values())}"
        return [
            {
                "output_id": output_id,
                "type": type_,
                "url": text if type_ == "text" else f"{origin}/media/{self.run_id}/{output_id}.png",
            }
            for output_id, type_ in self.technique.outputs.items()
        ]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
