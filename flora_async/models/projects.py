"""Projects, and the nodes on their canvases."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from flora_async.models._model import Model


@frozen(kw_only=True)
class Project(Model):
    """A project, which is a canvas with its content (FLORA's `GET /projects/{project_id}`).

    Attributes:
        project_id: FLORA's id (`prj_…`).
        name: The display name.
        workspace_id: The workspace it belongs to (`ws_…`).
        origin: Where it was created, or None.
        created_at: When it was created (aware, UTC), or None.
        last_modified: When it was last changed (aware, UTC), or None.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> Project(project_id="prj_1", name="Spring campaign").name
        'Spring campaign'
    """

    project_id: str
    name: str = ""
    workspace_id: str = ""
    origin: str | None = None
    created_at: datetime | None = None
    last_modified: datetime | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class CanvasNode(Model):
    """A node that shows a file or text on a canvas (FLORA's `GET /projects/{project_id}/nodes`).

    Attributes:
        node_id: FLORA's id of the node.
        type: `image`, `video`, `audio` or `text`; other values are possible.
        asset_id: The asset it shows (`asset_…`).
        label: The display name.
        url: The URL of the file; for a text node, the text itself.
        width: The width in pixels.
        height: The height in pixels.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> CanvasNode(node_id="node_1", type="image").url is None
        True
    """

    node_id: str
    type: str = ""
    asset_id: str | None = None
    label: str | None = None
    url: str | None = None
    width: float | None = None
    height: float | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
