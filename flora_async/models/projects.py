"""Projects, and the media on their canvases."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen


@frozen(kw_only=True)
class Project:
    """A project: a canvas and what is on it (FLORA's `GET /projects/{project_id}`).

    Attributes:
        project_id: FLORA's id (`prj_…`).
        name: What people call it.
        workspace_id: The workspace it belongs to (`ws_…`).
        origin: Where it was made; None when FLORA does not say.
        created_at: When it was created (aware, UTC); None when FLORA does not say.
        last_modified: When it was changed (aware, UTC); None when it never was.
        extra: Fields that this version does not know, under FLORA's names.

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
class CanvasNode:
    """A medium that can be seen on a canvas (FLORA's `GET /projects/{project_id}/nodes`).

    Attributes:
        node_id: FLORA's id of the node.
        type: `image`, `video`, `audio` or `text`; an unknown kind stays as it is.
        asset_id: The asset it shows (`asset_…`).
        label: What people call it.
        url: Where the medium is served; of a text node, the text itself.
        width: Pixels.
        height: Pixels.
        extra: Fields that this version does not know, under FLORA's names.

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
