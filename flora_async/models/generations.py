"""Generations: runs of a model."""

from attrs import frozen

from flora_async.models.catalog import ModelReference
from flora_async.models.runs import Run


@frozen(kw_only=True)
class Generation(Run):
    """A run of a model as the history lists it (FLORA's `GET /generations`).

    Attributes:
        generation_id: FLORA's id of the run in the history.
        project_id: The project it ran in (`prj_…`).
        workspace_id: The workspace that pays (`ws_…`).
        model: The model that was run.

    Example:
        >>> from flora_async.models import ModelReference
        >>> Generation(run_id="run_1", status="running", model=ModelReference(model_id="flux-pro")).is_terminal
        False
    """

    generation_id: str | None = None
    project_id: str | None = None
    workspace_id: str | None = None
    model: ModelReference | None = None
