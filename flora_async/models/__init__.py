"""Frozen data as FLORA speaks of it: no input or output, one module per noun."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flora_async.models.pages import Page
from flora_async.models.runs import OutputType, Run, RunInput, RunOutput, RunStatus, TechniqueRun
from flora_async.models.techniques import Technique, TechniqueInput, TechniqueOutput, TechniqueReference

if TYPE_CHECKING:
    from flora_async.models.actions import (
        Action,
        ActionInput,
        ActionNode,
        ActionParameter,
        ActionReference,
        ActionSlot,
        SlotBounds,
    )
    from flora_async.models.assets import Asset, AssetNode, AssetStatus, AssetUpload
    from flora_async.models.canvas import (
        Canvas,
        CanvasDefinition,
        CanvasEdge,
        CanvasSummary,
        CanvasUpdate,
        DefinedCanvas,
        DefinitionNode,
        NodeParameters,
    )
    from flora_async.models.catalog import (
        GenerationModel,
        ModelParameter,
        ModelReference,
        ParameterOption,
        ParameterRange,
    )
    from flora_async.models.changesets import AppliedChangeset, ChangeCounts, CreatedNode, NodeAddition, NodeChange
    from flora_async.models.feedback import FeedbackReceipt
    from flora_async.models.generations import Generation
    from flora_async.models.graph import GraphAction, GraphEdge, GraphNode, Position, ProjectGraph
    from flora_async.models.projects import CanvasNode, Project
    from flora_async.models.tickets import NodeRun, NodeRuns, RunTicket
    from flora_async.models.webhooks import WebhookEvent, WebhookRun
    from flora_async.models.workspaces import LibraryFolder, LibraryItem, Workspace

# What a run needs is there at once. The rest is built when it is first asked for: that takes longer than all else that
# importing this package does.
_NOUNS = {
    "Action": "actions",
    "ActionInput": "actions",
    "ActionNode": "actions",
    "ActionParameter": "actions",
    "ActionReference": "actions",
    "ActionSlot": "actions",
    "SlotBounds": "actions",
    "Asset": "assets",
    "AssetNode": "assets",
    "AssetStatus": "assets",
    "AssetUpload": "assets",
    "Canvas": "canvas",
    "CanvasDefinition": "canvas",
    "CanvasEdge": "canvas",
    "CanvasSummary": "canvas",
    "CanvasUpdate": "canvas",
    "DefinedCanvas": "canvas",
    "DefinitionNode": "canvas",
    "NodeParameters": "canvas",
    "GenerationModel": "catalog",
    "ModelParameter": "catalog",
    "ModelReference": "catalog",
    "ParameterOption": "catalog",
    "ParameterRange": "catalog",
    "AppliedChangeset": "changesets",
    "ChangeCounts": "changesets",
    "CreatedNode": "changesets",
    "NodeAddition": "changesets",
    "NodeChange": "changesets",
    "FeedbackReceipt": "feedback",
    "Generation": "generations",
    "GraphAction": "graph",
    "GraphEdge": "graph",
    "GraphNode": "graph",
    "Position": "graph",
    "ProjectGraph": "graph",
    "CanvasNode": "projects",
    "Project": "projects",
    "NodeRun": "tickets",
    "NodeRuns": "tickets",
    "RunTicket": "tickets",
    "WebhookEvent": "webhooks",
    "WebhookRun": "webhooks",
    "LibraryFolder": "workspaces",
    "LibraryItem": "workspaces",
    "Workspace": "workspaces",
}

__all__ = [
    "Action",
    "ActionInput",
    "ActionNode",
    "ActionParameter",
    "ActionReference",
    "ActionSlot",
    "AppliedChangeset",
    "Asset",
    "AssetNode",
    "AssetStatus",
    "AssetUpload",
    "Canvas",
    "CanvasDefinition",
    "CanvasEdge",
    "CanvasNode",
    "CanvasSummary",
    "CanvasUpdate",
    "ChangeCounts",
    "CreatedNode",
    "DefinedCanvas",
    "DefinitionNode",
    "FeedbackReceipt",
    "Generation",
    "GenerationModel",
    "GraphAction",
    "GraphEdge",
    "GraphNode",
    "LibraryFolder",
    "LibraryItem",
    "ModelParameter",
    "ModelReference",
    "NodeAddition",
    "NodeChange",
    "NodeParameters",
    "NodeRun",
    "NodeRuns",
    "OutputType",
    "Page",
    "ParameterOption",
    "ParameterRange",
    "Position",
    "Project",
    "ProjectGraph",
    "Run",
    "RunInput",
    "RunOutput",
    "RunStatus",
    "RunTicket",
    "SlotBounds",
    "Technique",
    "TechniqueInput",
    "TechniqueOutput",
    "TechniqueReference",
    "TechniqueRun",
    "WebhookEvent",
    "WebhookRun",
    "Workspace",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as the type checker's imports above say
    if name not in _NOUNS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_NOUNS[name]}"), name)
    return value
