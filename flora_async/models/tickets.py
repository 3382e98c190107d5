"""Tickets: FLORA's answer to a start, which can be waited for."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from flora_async.models._model import Model
from flora_async.models.actions import ActionReference
from flora_async.models.catalog import ModelReference
from flora_async.models.techniques import TechniqueReference


@frozen(kw_only=True)
class RunTicket(Model):
    """A run that was started and has no status yet (FLORA's `POST /generate`).

    `wait_for_run` takes it as it takes a `Run`.

    Attributes:
        run_id: FLORA's id (`run_…`).
        type: The kind of run: `generation`, `technique` or `action`; other values are possible.
        charged_cost: A quote in USD, or None; the charge can differ, see `Run.charged_cost`.
        estimated_seconds: The expected duration in seconds, or None.
        poll_url: The URL to poll; None = poll by id.
        project_id: The project it runs in (`prj_…`).
        action: The action, where one was started.
        model: The model, where one was started.
        technique: The technique, where one was started.
        adopted: Whether the answer to its start was lost, and it was found in the history instead.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> RunTicket(run_id="run_1", type="generation", estimated_seconds=20).poll_url is None
        True
    """

    run_id: str = field(metadata={"aliases": ("id",)})
    type: str = ""
    charged_cost: float | None = None
    estimated_seconds: float | None = None
    poll_url: str | None = None
    project_id: str | None = None
    action: ActionReference | None = None
    model: ModelReference | None = None
    technique: TechniqueReference | None = None
    adopted: bool = False
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class TechniqueTicket(RunTicket):
    """A start of a technique, which is several runs where an input was a list (FLORA's `POST /runs/technique`).

    Attributes:
        runs: The runs, where FLORA's answer names several; empty where it names one, which is the ticket itself.

    Example:
        >>> ticket = TechniqueTicket(run_id="run_1", type="technique")
        >>> [run.run_id for run in ticket.runs or (ticket,)]
        ['run_1']
    """

    runs: tuple[RunTicket, ...] = ()


@frozen(kw_only=True)
class NodeRun(Model):
    """The start of the run of one canvas node (FLORA's `POST /workspaces/…/projects/{project_id}/nodes/run`).

    `wait_for_run` takes it as it takes a `Run`, if it was started.

    Attributes:
        node_id: The node, as named in the request.
        status: `started` or `skipped`; other values are possible.
        run_id: FLORA's id (`run_…`); empty when the node was skipped.
        type: The kind of run, usually `generation`.
        poll_url: The URL to poll; None = poll by id.
        charged_cost: A quote in USD, or None; the charge can differ, see `Run.charged_cost`.
        estimated_seconds: The expected duration in seconds, or None.
        model: The model; None while FLORA has not chosen one.
        reason: A code for why it was skipped, such as `node_not_found` or `no_model_configured`.
        message: FLORA's explanation of why it was skipped.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> NodeRun(node_id="n3", status="skipped", reason="node_locked").is_started
        False
    """

    node_id: str
    status: str
    run_id: str = ""
    type: str = ""
    poll_url: str | None = None
    charged_cost: float | None = None
    estimated_seconds: float | None = None
    model: ModelReference | None = None
    reason: str | None = None
    message: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)

    @property
    def is_started(self) -> bool:
        """Whether there is a run to wait for. Skipped nodes are free."""
        return bool(self.run_id)


@frozen(kw_only=True)
class NodeRuns(Model):
    """The starts of the runs of several canvas nodes (FLORA's `POST /workspaces/…/projects/{project_id}/nodes/run`).

    Attributes:
        runs: One entry per node, in the order of the request.
        project_id: The project they are in (`prj_…`).
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> from flora_async.models import NodeRun
        >>> answer = NodeRuns(runs=(NodeRun(node_id="n3", status="started", run_id="run_1"),))
        >>> [run.run_id for run in answer.runs if run.is_started]
        ['run_1']
    """

    runs: tuple[NodeRun, ...]
    project_id: str = ""
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
