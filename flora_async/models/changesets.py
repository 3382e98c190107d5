"""Changesets: edits of a canvas that are applied together or not at all."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from flora_async.models._model import Model
from flora_async.models.graph import Position


@frozen(kw_only=True)
class NodeAddition(Model):
    """A node to add to a canvas (FLORA's `POST /workspaces/…/projects/{project_id}/canvas/changeset`).

    Attributes:
        ref: A name of your choice, by which edges and groups of the same changeset refer to the node.
        type: `image`, `video`, `text`, `audio`, `group`, `static_image` or `layer_editor`.
        prompt: The prompt. Not together with `content_url`.
        model: The model's name or endpoint id; None = FLORA's default for the type.
        params: The parameters of the model, under the model's own names.
        content_url: The HTTPS URL of a file to show instead of generating one.
        label: The display name.
        group: The group to add it to: an id, or the `ref` of a group in the same changeset.
        position: Its position; None = below all other nodes.

    Example:
        >>> NodeAddition(ref="photo", type="image", prompt="a red bicycle").group is None
        True
    """

    ref: str
    type: str
    prompt: str | None = None
    model: str | None = None
    params: Mapping[str, Any] | None = field(default=None, hash=False)
    content_url: str | None = None
    label: str | None = None
    group: str | None = None
    position: Position | None = None


@frozen(kw_only=True)
class NodeChange(Model):
    """A change to a node of a canvas. What is None is not changed.

    It is a part of FLORA's `POST /workspaces/…/projects/{project_id}/canvas/changeset`.

    Attributes:
        id: The node's short id or UUID.
        prompt: The new prompt.
        model: The new model's name or endpoint id.
        params: The parameters to set, under the model's own names; the others are not changed.
        label: The new label.
        position: The new position.

    Example:
        >>> NodeChange(id="n1", prompt="a blue boat").label is None
        True
    """

    id: str
    prompt: str | None = None
    model: str | None = None
    params: Mapping[str, Any] | None = field(default=None, hash=False)
    label: str | None = None
    position: Position | None = None


@frozen(kw_only=True)
class CreatedNode(Model):
    """The ids of a node that a changeset created.

    Attributes:
        id: The short id that edges use.
        node_id: The node's UUID.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> CreatedNode(id="n4").id
        'n4'
    """

    id: str
    node_id: str = ""
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ChangeCounts(Model):
    """The number of changes that a changeset made.

    Attributes:
        added: The number of nodes that were created.
        updated: The number of nodes that were changed.
        connected: The number of edges that were created.
        disconnected: The number of edges that were removed.
        removed: The number of nodes that were deleted, including those of deleted groups.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> ChangeCounts(added=2).removed
        0
    """

    added: int = 0
    updated: int = 0
    connected: int = 0
    disconnected: int = 0
    removed: int = 0
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class AppliedChangeset(Model):
    """The result of a changeset (FLORA's `POST /workspaces/…/projects/{project_id}/canvas/changeset`).

    Attributes:
        project_id: The project (`prj_…`).
        applied: The number of changes.
        created: The ids of the new nodes, by the `ref` of each.
        warnings: What was accepted but may not have the expected effect.
        revision: The new revision of the canvas, as in `ProjectGraph.revision`.
        canvas_url: The URL of the canvas in FLORA's editor.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> from flora_async.models import CreatedNode
        >>> done = AppliedChangeset(project_id="prj_1", created={"photo": CreatedNode(id="n4")})
        >>> done.created["photo"].id
        'n4'
    """

    project_id: str
    applied: ChangeCounts = ChangeCounts()
    created: Mapping[str, CreatedNode] = field(factory=dict, hash=False)
    warnings: tuple[str, ...] = ()
    revision: str = ""
    canvas_url: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
