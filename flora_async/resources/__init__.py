"""FLORA's operations, one module per noun: arguments, route and result of each."""

from typing import TYPE_CHECKING

from flora_async._lazy import lazy_names
from flora_async.resources._catalog import Catalog, TechniqueCache
from flora_async.resources._history import History, list_runs
from flora_async.resources._learning import HistoryReader
from flora_async.resources._operations import request_json
from flora_async.resources._pager import Pager
from flora_async.resources._prepare import InputPreparer, Inputs, InputValue, RawInput, read_inputs
from flora_async.resources._start import PendingStart, Starter, StartOptions, technique_start
from flora_async.resources.runs import RunHistory, TechniqueRuns
from flora_async.resources.techniques import Techniques

if TYPE_CHECKING:
    from flora_async.resources._default_workspace import DefaultWorkspace
    from flora_async.resources._uploads import Uploads
    from flora_async.resources.actions import Actions
    from flora_async.resources.assets import Assets
    from flora_async.resources.feedback import Feedback
    from flora_async.resources.generations import Generations, Runs
    from flora_async.resources.models import Models
    from flora_async.resources.projects import Projects
    from flora_async.resources.workspaces import Workspaces
else:
    # Nouns that few programs use are loaded on first use: loading them takes a third of this package's import time.
    __getattr__ = lazy_names(
        __name__,
        {
            "_default_workspace": "DefaultWorkspace",
            "_uploads": "Uploads",
            "actions": "Actions",
            "assets": "Assets",
            "feedback": "Feedback",
            "generations": "Generations Runs",
            "models": "Models",
            "projects": "Projects",
            "workspaces": "Workspaces",
        },
    )

__all__ = [
    "Actions",
    "Assets",
    "Catalog",
    "DefaultWorkspace",
    "Feedback",
    "Generations",
    "History",
    "HistoryReader",
    "InputPreparer",
    "InputValue",
    "Inputs",
    "Models",
    "Pager",
    "PendingStart",
    "Projects",
    "RawInput",
    "RunHistory",
    "Runs",
    "StartOptions",
    "Starter",
    "TechniqueCache",
    "TechniqueRuns",
    "Techniques",
    "Uploads",
    "Workspaces",
    "list_runs",
    "read_inputs",
    "request_json",
    "technique_start",
]
