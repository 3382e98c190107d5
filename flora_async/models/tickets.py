"""Tickets: what FLORA answers when something was started, to wait with."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from flora_async.models.actions import ActionReference
from flora_async.models.catalog import ModelReference
from flora_async.models.techniques import TechniqueReference


@frozen(kw_only=True)
class RunTicket:
    """A run that was started and has no status yet (FLORA's `POST /generate`).

    `wait_for_run` takes it as it takes a `Run`.

    Attributes:
        run_id: FLORA's id (`run_…`).
        type: What was started: `generation`, `technique` or `action`; an unknown kind stays as it is.
        charged_cost: What it costs in USD; None when FLORA does not say.
        estimated_seconds: How long it is expected to take; None when FLORA does not say.
        poll_url: Where to ask for the run; None = by its id.
        project_id: The project it runs in (`prj_…`).
        action: What it is a run of, if that is an action.
        model: What it is a run of, if that is a model.
        technique: What it is a run of, if that is a technique.
        extra: Fields that this version does not know, under FLORA's names.

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
class NodeRun:
    """What became of one canvas node that was to run (FLORA's `POST /workspaces/…/projects/{project_id}/nodes/run`).

    `wait_for_run` takes it as it takes a `Run`, if it was started.

    Attributes:
        node_id: The node, as the request named it.
        status: `started` or `skipped`; an unknown one stays as it is.
        run_id: FLORA's id (`run_…`); empty when nothing was started.
        type: What was started, as a rule `generation`.
        poll_url: Where to ask for the run; None = by its id.
        charged_cost: What it is expected to cost in USD; the run itself tells what it did cost.
        estimated_seconds: How long it is expected to take; None when FLORA does not say.
        model: What it is a run of; None while FLORA has not chosen.
        reason: Why it was skipped, for programs, such as `node_not_found` or `no_model_configured`.
        message: Why it was skipped, for people.
        extra: Fields that this version does not know, under FLORA's names.

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
        """Whether there is a run to wait for. A node that was skipped costs nothing."""
        return bool(self.run_id)


@frozen(kw_only=True)
class NodeRuns:
    """What became of the canvas nodes that were to run (FLORA's `POST /workspaces/…/projects/{project_id}/nodes/run`).

    Attributes:
        runs: One entry for each node, in the order of the request.
        project_id: The project they are in (`prj_…`).
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> from flora_async.models import NodeRun
        >>> answer = NodeRuns(runs=(NodeRun(node_id="n3", status="started", run_id="run_1"),))
        >>> [run.run_id for run in answer.runs if run.is_started]
        ['run_1']
    """

    runs: tuple[NodeRun, ...]
    project_id: str = ""
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
