"""Runs: their inputs, their state and their outputs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from attrs import field, frozen

from flora_async._text import printable
from flora_async.errors import RunFailedError
from flora_async.models._model import Model
from flora_async.models.failures import Failure
from flora_async.models.techniques import TechniqueReference


class RunStatus(StrEnum):
    """The state of a run. FLORA may add values: one that is not listed here stays a plain `str`."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


_STATUSES = frozenset(RunStatus)
_ENDED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED})
_MAX_ID = 60
_MAX_STATUS = 20
_EPOCH = datetime.fromtimestamp(0, UTC)  # FLORA's own example has a time of 0 where there is none


class OutputType(StrEnum):
    """The kind of an output. FLORA may add values: one that is not listed here stays a plain `str`."""

    IMAGE = "imageUrl"
    VIDEO = "videoUrl"
    AUDIO = "audioUrl"
    TEXT = "text"
    DOCUMENT = "documentUrl"


@frozen
class RunInput(Model):
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
class RunOutput(Model):
    """One result of a run.

    Attributes:
        output_id: The output's id in the technique.
        type: Its kind; an unknown kind stays a plain `str`.
        url: The URL to download it from. For `type` `text` FLORA puts the text itself here: use `text`.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> RunOutput(output_id="caption", type=OutputType.TEXT, url="A red bicycle.").text
        'A red bicycle.'
    """

    output_id: str = ""
    type: OutputType | str = field(default="", metadata={"required": True})
    url: str = field(default="", metadata={"required": True})
    extra: Mapping[str, Any] = field(factory=dict, hash=False)

    @property
    def text(self) -> str | None:
        """The content when `type` is text, else None."""
        return self.url if self.type == OutputType.TEXT else None


@frozen(kw_only=True)
class Run(Model):
    """A technique run as FLORA last described it (its page "Get a technique run").

    Attributes:
        run_id: FLORA's id (`run_…`).
        status: The state of the run; an unknown status stays a plain `str`.
        progress: 0 to 100; often stays 0 until the run completes.
        created_at: When the run was accepted (aware, UTC), or None.
        started_at: When work began (aware, UTC), or None.
        completed_at: When the run ended (aware, UTC), or None.
        charged_cost: The cost in USD: a quote in the answer to a start, the charge in later ones, and None while it is
            not known, which can last for a minute after the end.
        error_code: FLORA's code for the failure, such as `model_timeout` or `safety_blocked`; see `failure`.
        error_message: FLORA's explanation of the failure.
        outputs: The results, in FLORA's order; empty until the run completes. An output without a type or URL is left
            out, logged, and kept in `extra`: identify outputs by `output_id` where that matters.
        poll_url: The URL to poll; filled in when FLORA leaves it out.
        adopted: Whether the answer to its start was lost, and it was found in the history instead.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> run = Run(run_id="run_abc123", status=RunStatus.COMPLETED, charged_cost=0.05)
        >>> run.is_terminal, run.raise_if_failed() is run
        (True, True)
        >>> Run(run_id="run_2", status="failed", error_code="model_timeout").failure.hint
        <FailureHint.AGAIN: 'again'>
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
    adopted: bool = False
    extra: Mapping[str, Any] = field(factory=dict, hash=False)

    def __str__(self) -> str:
        """One line for people and logs: the id, the status, and what came of it.

        Example:
            >>> print(Run(run_id="run_1", status="failed", error_code="model_timeout"))
            run_1 failed: model_timeout
        """
        shown = f"{printable(self.run_id, _MAX_ID)} {printable(self.status, _MAX_STATUS)}"
        if self.duration is not None:
            shown += f" in {self.duration:.1f} s"
        if self.is_terminal and self.charged_cost is not None:
            shown += f" for {self.charged_cost:.4g} USD"
        news = ""
        if self.is_completed:
            news = f"{len(self.outputs)} output{'' if len(self.outputs) == 1 else 's'}"
        elif self.is_terminal:
            news = ": ".join(filter(None, (self.error_code, self.error_message)))
        elif self.progress:
            news = f"{self.progress:.0f} %"
        return printable(f"{shown}: {news}" if news else shown)

    def _repr_html_(self) -> str:
        from flora_async.models._display import run_html  # noqa: PLC0415 - for notebooks alone

        return run_html(self)

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended: completed, failed, or in an unknown status with `completed_at` set."""
        if self.status in _STATUSES:
            return self.status in _ENDED
        return self.completed_at is not None and self.completed_at > _EPOCH

    @property
    def is_completed(self) -> bool:
        """Whether the run was completed."""
        return self.status == RunStatus.COMPLETED

    @property
    def is_failed(self) -> bool:
        """Whether the run's status is `failed`; `failure` says why."""
        return self.status == RunStatus.FAILED

    @property
    def duration(self) -> float | None:
        """Seconds from the start (or else the creation) to the end; None until both are known."""
        began = self.started_at or self.created_at
        if began is None or self.completed_at is None:
            return None
        return (self.completed_at - began).total_seconds()

    @property
    def failure(self) -> Failure | None:
        """Why the run ended without being completed, and whether another run can help; None for any other run."""
        if self.is_completed or not self.is_terminal:
            return None
        return Failure(self.error_code, self.error_message)

    def raise_if_failed(self) -> Self:
        """Return this run, or raise when it ended without being completed.

        Raises:
            RunFailedError: The run failed, or ended in an unknown status; the error carries it as `run`.
        """
        if self.is_terminal and not self.is_completed:
            raise RunFailedError(self)
        return self


@frozen(kw_only=True)
class TechniqueRun(Run):
    """A run as the history lists it (FLORA's page "List technique run history").

    Attributes:
        technique_run_id: FLORA's id of the run in the history.
        project_id: The project it ran in (`prj_…`).
        workspace_id: The workspace that pays (`ws_…`).
        technique: The technique that was run.
    """

    technique_run_id: str | None = None
    project_id: str | None = None
    workspace_id: str | None = None
    technique: TechniqueReference | None = None
