"""The libraries of the local FLORA: folders of saved images and texts."""

import uuid
from typing import Any

from flora_async.testing._state.assets import Assets
from flora_async.testing._state.environment import Handlers
from flora_async.testing._state.projects import Projects
from flora_async.testing._wire.answers import invalid_fields, not_found
from flora_async.testing._wire.requests import RecordedRequest
from flora_async.testing._wire.validation import HTTPS, TEXT, one_of, read_body, read_optional_body


class Library:
    """The library folders of all workspaces.

    Args:
        projects: The workspaces.
        assets: Stores the images.
    """

    def __init__(self, projects: Projects, assets: Assets) -> None:
        self._projects = projects
        self._assets = assets
        self._folders: set[tuple[str, str]] = set()

    @property
    def handlers(self) -> Handlers:
        """The operations on library folders."""
        return {
            "workspaces.library.folders.create": self._create,
            "workspaces.library.folders.delete": self._delete,
            "workspaces.library.folders.add_item": self._add_item,
        }

    def _create(self, request: RecordedRequest) -> dict[str, Any]:
        workspace_id = self._projects.check_workspace(request.route.path_params["workspace_id"])
        body = read_optional_body(request, name=TEXT)
        folder_id = f"libfolder_{uuid.uuid4().hex}"
        self._folders.add((workspace_id, folder_id))
        return {"folder_id": folder_id, "workspace_id": workspace_id, "name": body.get("name", "Untitled folder")}

    def _delete(self, request: RecordedRequest) -> dict[str, Any]:
        workspace_id, folder_id = folder = self._folder_from_path(request)
        self._folders.remove(folder)
        return {"folder_id": folder_id, "workspace_id": workspace_id, "deleted": True}

    def _add_item(self, request: RecordedRequest) -> dict[str, Any]:
        workspace_id, folder_id = self._folder_from_path(request)
        body = read_body(request, type=one_of(("image", "text")), source=HTTPS, text=TEXT, description=TEXT)
        is_image = body.get("type", "image") == "image"
        content_field = "source" if is_image else "text"
        if content_field not in body:
            raise invalid_fields({content_field: "Required"})
        item = {"folder_id": folder_id, "workspace_id": workspace_id, "saved_node_id": str(uuid.uuid4())}
        if is_image:
            asset = self._assets.fetch(body["source"], workspace_id, description=body.get("description"))
            item |= {"asset_id": asset.asset_id, "url": self._assets.url(asset)}
        return item

    def _folder_from_path(self, request: RecordedRequest) -> tuple[str, str]:
        folder = (request.route.path_params["workspace_id"], request.route.path_params["folder_id"])
        if folder not in self._folders:
            raise not_found()
        return folder
