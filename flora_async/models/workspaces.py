"""Workspaces and their libraries of images and texts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from flora_async.models._model import Model


@frozen(kw_only=True)
class Workspace(Model):
    """A workspace, whose members share projects and credits (FLORA's `GET /workspaces`).

    Attributes:
        workspace_id: FLORA's id (`ws_…`).
        name: The display name.
        role: The role of the API key's owner in it.
        created_at: When it was created (aware, UTC), or None.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> Workspace(workspace_id="ws_1", name="Studio", role="owner").role
        'owner'
    """

    workspace_id: str
    name: str = ""
    role: str = ""
    created_at: datetime | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class LibraryFolder(Model):
    """A folder of the library (FLORA's `POST` and `DELETE /workspaces/…/library/folders`).

    Attributes:
        folder_id: FLORA's id (`libfolder_…`).
        name: The display name; empty once it is deleted.
        workspace_id: The workspace it is in (`ws_…`).
        deleted: Whether it was deleted.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> LibraryFolder(folder_id="libfolder_1", name="Clips").deleted
        False
    """

    folder_id: str
    name: str = ""
    workspace_id: str = ""
    deleted: bool = False
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class LibraryItem(Model):
    """An image or a text in the library (FLORA's `POST /workspaces/…/library/folders/{folder_id}/items`).

    Attributes:
        saved_node_id: FLORA's id of the item.
        folder_id: The folder it is in (`libfolder_…`).
        workspace_id: The workspace it is in (`ws_…`).
        asset_id: The asset of the image (`asset_…`).
        url: The URL of the image.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> LibraryItem(saved_node_id="node_1", folder_id="libfolder_1").url is None
        True
    """

    saved_node_id: str
    folder_id: str = ""
    workspace_id: str = ""
    asset_id: str | None = None
    url: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
