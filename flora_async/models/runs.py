"""Runs: what is put in, how far it is, what came out."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from attrs import field, frozen

from flora_async.errors import RunFailedError
from flora_async.models.techniques import TechniqueReference


class RunStatus(StrEnum):
    """Where a run stands. FLORA may add values: one that is not listed here stays a plain `str`."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class OutputType(StrEnum):
    """What an output is. FLORA may add values: one that is not listed here stays a plain `str`."""

    IMAGE = "imageUrl"
    VIDEO = "videoUrl"
    AUDIO = "audioUrl"
    TEXT = "text"
    DOCUMENT = "documentUrl"


@frozen
class RunInput:
    """One value for one input of a technique (FLORA's page "Start a technique run").

    Attributes:
        id: The input's id in the technique.
        type: `text`, `imageUrl` or `videoUrl`.
        value: The text, or the public HTTPS URL of the medium.

    Example:
        >>> RunInput(id="prompt", type="text", value="a red bicycle").type
        'text'
    """

    id: str
    type: str
    value: str


@frozen
class RunOutput:
    """One result of a run.

    Attributes:
        output_id: The output's id in the technique.
        type: What it is; an unknown kind stays a plain `str`.
        url: Where to fetch it. For `type` `text` FLORA puts the text itself here: use `text`.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> RunOutput(output_id="caption", type=OutputType.TEXT, url="A red bicycle.").text
        'A red bicycle.'
    """

    output_id: str = ""
    type: OutputType | str = ""
    url: str = ""
    extra: Mapping[str, Any] = field(factory=dict, hash=False)

    @property
    def text(self) -> str | None:
        """The content when `type` is text, else None."""
        return self.url if self.type == OutputType.TEXT else None


@frozen(kw_only=True)
class Run:
    """A technique run as FLORA last described it (its page "Get a technique run").

    Attributes:
        run_id: FLORA's id (`run_…`).
        status: Where the run stands; an unknown status stays a plain `str` and is not terminal.
        progress: 0 to 100; often stays 0 until the run completes.
        created_at: When the run was accepted (aware, UTC); None when FLORA does not say.
        started_at: When work began (aware, UTC), or None.
        completed_at: When the run ended (aware, UTC), or None.
        charged_cost: What it cost in USD, or None while FLORA has not said.
        error_code: Why it failed, for programs, such as `model_timeout` or `safety_blocked`.
        error_message: Why it failed, for people.
        outputs: The results, in FLORA's order; empty until the run completes.
        poll_url: Where to ask for this run again; filled in when FLORA leaves it out.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> run = Run(run_id="run_abc123", status=RunStatus.COMPLETED, charged_cost=0.05)
        >>> run.is_terminal, run.raise_if_failed() is run
        (True, True)
    """

    run_id: str = field(metadata={"aliases": ("id",)})
    status: RunStatus | str
    progress: float = 0.0
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    charged_cost: float | None = None
    error_code: str | None = None
    error_message: str | None = None
    outputs: tuple[RunOutput, ...] = ()
    poll_url: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended, well or not."""
        return self.is_completed or self.is_failed

    @property
    def is_completed(self) -> bool:
        """Whether the run has ended well."""
        return self.status == RunStatus.COMPLETED

    @property
    def is_failed(self) -> bool:
        """Whether the run has ended with an error; `error_code` says which."""
        return self.status == RunStatus.FAILED

    @property
    def duration(self) -> float | None:
        """Seconds from start (or, where FLORA names none, from creation) to end; None until both are known."""
        began = self.started_at or self.created_at
        if began is None or self.completed_at is None:
            return None
        return (self.completed_at - began).total_seconds()

    def raise_if_failed(self) -> Self:
        """Return this run, or raise when it failed.

        Raises:
            RunFailedError: The run's status is `failed`; the error carries it as `run`.
        """
        if self.is_failed:
            raise RunFailedError(self)
        return self


@frozen(kw_only=True)
class TechniqueRun(Run):
    """A run as the history lists it (FLORA's page "List technique run history").

    Attributes:
        technique_run_id: FLORA's id of the run in the history.
        project_id: The project it ran in (`prj_…`).
        workspace_id: The workspace that pays (`ws_…`).
        technique: What it is a run of.
    """

    technique_run_id: str | None = None
    project_id: str | None = None
    workspace_id: str | None = None
    technique: TechniqueReference | None = None
