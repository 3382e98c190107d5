"""Fidelity: every field that FLORA's own SDK (0.11.0) knows has a place of its own in our models."""

import json
from typing import Any

import pytest
from attrs import fields, has

from flora_async import Page, models
from flora_async.models._codec import decode, to_dict

RUN = "created_at progress run_id status charged_cost completed_at error_code error_message outputs poll_url started_at"
TICKET = "charged_cost estimated_seconds run_id type action model poll_url project_id technique"
SLOT = "id name type accepts_element allow_multiple description optional specified_aspect_ratio specified_duration"
# By hand, from the type declarations of the SDK: what an answer of each kind may hold.
FIELDS = {
    models.Run: RUN,
    models.TechniqueRun: f"{RUN} project_id technique technique_run_id workspace_id",
    models.Generation: f"{RUN} generation_id model project_id workspace_id",
    models.RunOutput: "output_id type url",
    models.RunTicket: TICKET,
    models.TechniqueTicket: TICKET,
    models.Technique: "inputs name outputs run_cost technique_id description",
    models.TechniqueInput: SLOT,
    models.TechniqueOutput: SLOT,
    models.TechniqueReference: "name technique_id",
    models.GenerationModel: "capabilities estimated_credits estimated_seconds model_id name params provider type beta",
    models.ModelParameter: "name required type default description label max min options properties",
    models.ParameterOption: "label value description",
    models.ParameterRange: "default max min",
    models.ModelReference: "model_id",
    models.Action: "action_id charged_cost description inputs language name outputs params",
    models.ActionSlot: "name type dynamic multiple optional",
    models.SlotBounds: "max min",
    models.ActionParameter: (
        "key type available_values default_value info_tooltip label max_number_value min_number_value number_step"
    ),
    models.ActionReference: "action_id",
    models.ActionNode: "action_id canvas_url node_id project_id",
    models.Asset: (
        "asset_id status uploaded_via url visibility workspace_id expires_at upload upload_url content_type created_at "
        "description failure_message height name size_bytes upload_content_type width node_id project_id"
    ),
    models.AssetUpload: "content_type file_field form_fields method url",
    models.AssetNode: "asset_id canvas_url node_id project_id",
    models.FeedbackReceipt: "feedback_id received_at",
    models.Project: "created_at last_modified name origin project_id workspace_id",
    models.CanvasNode: "node_id type asset_id height label url width",
    models.Canvas: "canvas_url diagram project_id summary",
    models.CanvasSummary: "edge_count group_count isolated_node_count node_count workflow_count",
    models.CanvasUpdate: "canvas_url created_edge_count created_node_count diagram project_id warnings",
    models.AppliedChangeset: "applied canvas_url created project_id revision warnings",
    models.ChangeCounts: "added connected disconnected removed updated",
    models.CreatedNode: "id node_id",
    models.DefinedCanvas: "canvas_url definition project_id summary",
    models.CanvasDefinition: "edges node_inputs node_outputs nodes layer_editor_documents",
    models.CanvasEdge: "id source source_handle target target_handle data type",
    models.DefinitionNode: (
        "id data position type expand_parent extent height hidden origin parent_id style width z_index"
    ),
    models.Position: "x y",
    models.ProjectGraph: "canvas_url edges nodes project_id revision",
    models.GraphEdge: "from in to",
    models.GraphNode: (
        "id action label model model_id node_id output_text output_url params position prompt status type error_code "
        "error_message"
    ),
    models.GraphAction: "action_id params",
    models.NodeRuns: "project_id runs",
    models.NodeRun: ("node_id status charged_cost estimated_seconds message model poll_url reason run_id type"),
    models.Workspace: "created_at name role workspace_id",
    models.LibraryFolder: "folder_id name workspace_id deleted",
    models.LibraryItem: "folder_id saved_node_id workspace_id asset_id url",
    models.WebhookEvent: "id type api_version created_at data",
    models.WebhookRun: "run_id run_type workspace_id status error_code error_message",
}
# What a request holds, and what is ours alone.
NOT_ANSWERS = {Page, models.ItemProblem, models.Failure, models.RunInput, models.ActionInput}
NOT_ANSWERS |= {models.NodeAddition, models.NodeChange, models.NodeParameters}


def test_the_table_has_every_model_of_an_answer() -> None:
    kinds = {kind for name in models.__all__ if has(kind := getattr(models, name))}
    assert FIELDS.keys() == kinds - NOT_ANSWERS


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_a_model_has_the_fields_that_flora_s_own_sdk_has(kind: Any) -> None:
    ours = {attribute.metadata.get("name", attribute.name) for attribute in fields(kind)}
    assert set(FIELDS[kind].split()) - ours == set()


# Where FLORA's types say null, and where they say that text may be empty.
AS_SENT: list[tuple[Any, dict[str, Any], str, Any]] = [
    (models.Asset, {}, "asset_id", None),
    (models.Asset, {}, "workspace_id", None),
    (models.ModelReference, {}, "model_id", None),
    (models.GraphNode, {"id": "n"}, "params", None),
    (models.GraphAction, {}, "params", None),
    (models.Project, {"project_id": "p"}, "last_modified", None),
    (models.RunTicket, {"run_id": "r"}, "estimated_seconds", None),
    (models.NodeRun, {"node_id": "n", "status": "skipped"}, "charged_cost", None),
    (models.ParameterOption, {}, "value", ""),
    (models.ActionSlot, {}, "name", ""),
    (models.ModelParameter, {}, "name", ""),
    (models.RunOutput, {"type": "text"}, "url", ""),
    (models.Run, {"run_id": "r", "status": "failed"}, "error_message", ""),
]


@pytest.mark.parametrize(("kind", "rest", "name", "value"), AS_SENT, ids=lambda value: str(value)[-40:])
def test_null_and_empty_text_stay_what_they_are(kind: Any, rest: dict[str, Any], name: str, value: object) -> None:
    model = decode(json.dumps({**rest, name: value}).encode(), kind)
    assert getattr(model, name) == value
    assert to_dict(model)[name] == value
    assert model.extra == {}
