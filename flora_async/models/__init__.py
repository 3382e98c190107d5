"""Immutable models of FLORA's data, without any I/O: one module per noun."""

from typing import TYPE_CHECKING

from flora_async._lazy import lazy_names
from flora_async.models.failures import Failure, FailureHint
from flora_async.models.pages import ItemProblem, Page
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
    from flora_async.models.tickets import NodeRun, NodeRuns, RunTicket, TechniqueTicket
    from flora_async.models.webhooks import WebhookEvent, WebhookRun
    from flora_async.models.workspaces import LibraryFolder, LibraryItem, Workspace
else:
    # Runs need the modules above; the rest is loaded on first use, because it takes longer than the whole package.
    __getattr__ = lazy_names(
        __name__,
        {
            "actions": "Action ActionInput ActionNode ActionParameter ActionReference ActionSlot SlotBounds",
            "assets": "Asset AssetNode AssetStatus AssetUpload",
            "canvas": "Canvas CanvasDefinition CanvasEdge CanvasSummary CanvasUpdate DefinedCanvas DefinitionNode "
            "NodeParameters",
            "catalog": "GenerationModel ModelParameter ModelReference ParameterOption ParameterRange",
            "changesets": "AppliedChangeset ChangeCounts CreatedNode NodeAddition NodeChange",
            "feedback": "FeedbackReceipt",
            "generations": "Generation",
            "graph": "GraphAction GraphEdge GraphNode Position ProjectGraph",
            "projects": "CanvasNode Project",
            "tickets": "NodeRun NodeRuns RunTicket TechniqueTicket",
            "webhooks": "WebhookEvent WebhookRun",
            "workspaces": "LibraryFolder LibraryItem Workspace",
        },
    )

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
    "Failure",
    "FailureHint",
    "FeedbackReceipt",
    "Generation",
    "GenerationModel",
    "GraphAction",
    "GraphEdge",
    "GraphNode",
    "ItemProblem",
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
    "TechniqueTicket",
    "WebhookEvent",
    "WebhookRun",
    "Workspace",
]
