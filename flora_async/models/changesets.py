"""Changesets: edits of a canvas that are made together or not at all."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from flora_async.models.graph import Position


@frozen(kw_only=True)
class NodeAddition:
    """A node to put on a canvas (FLORA's `POST /workspaces/…/projects/{project_id}/canvas/changeset`).

    Attributes:
        ref: A name of your own for the node, which edges and groups of the same changeset can use.
        type: `image`, `video`, `text`, `audio`, `group`, `static_image` or `layer_editor`.
        prompt: What to generate from. Not together with `content_url`.
        model: The model's name or endpoint id; None = the usual one for the type.
        params: The parameters of the model, by the model's own keys.
        content_url: The https URL of a medium to show instead of generating one.
        label: What people are to call it.
        group: The group to put it in: an id, or the `ref` of one in the same changeset.
        position: Where to put it; None = below all that is there.

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
class NodeChange:
    """A node of a canvas to change. What is None stays as it is.

    It is a part of FLORA's `POST /workspaces/…/projects/{project_id}/canvas/changeset`.

    Attributes:
        id: The node's short id or UUID.
        prompt: The new prompt.
        model: The new model's name or endpoint id.
        params: Parameters to set, by the model's own keys; those not named stay as they are.
        label: The new label.
        position: The new place.

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
class CreatedNode:
    """The ids of a node that a changeset created.

    Attributes:
        id: The short id that edges use.
        node_id: The node's UUID.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> CreatedNode(id="n4").id
        'n4'
    """

    id: str
    node_id: str = ""
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ChangeCounts:
    """What a changeset did, in numbers.

    Attributes:
        added: Nodes that were created.
        updated: Nodes that were changed in at least one respect.
        connected: Edges that were created.
        disconnected: Edges that were removed.
        removed: Nodes that were deleted, those of deleted groups included.
        extra: Fields that this version does not know, under FLORA's names.

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
class AppliedChangeset:
    """What came of a changeset (FLORA's `POST /workspaces/…/projects/{project_id}/canvas/changeset`).

    Attributes:
        project_id: The project (`prj_…`).
        applied: What was done, in numbers.
        created: The ids of the new nodes, by the `ref` of each.
        warnings: What was accepted and did not change what one might expect.
        revision: The mark of the canvas now, as `ProjectGraph.revision`.
        canvas_url: Where people see the canvas.
        extra: Fields that this version does not know, under FLORA's names.

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
