"""Assets: files uploaded to FLORA."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import field, frozen

from flora_async.models._model import Model


class AssetStatus(StrEnum):
    """The state of an asset. FLORA may add values: one that is not listed here stays a plain `str`."""

    PENDING_UPLOAD = "pending_upload"
    READY = "ready"
    FAILED = "failed"


@frozen(kw_only=True)
class AssetUpload(Model):
    """Where and how to upload the content of a reserved asset (FLORA's `POST /assets`).

    Attributes:
        url: The URL at the storage host. FLORA's API key must not be sent there.
        method: The HTTP method.
        file_field: The form field of the file, which has to be the last one.
        form_fields: The other form fields, sent unchanged before the file.
        content_type: The content type of the form, not of the file.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> AssetUpload(url="https://storage.example/upload", form_fields={"key": "a/b.mp4"}).method
        'POST'
    """

    url: str
    method: str = "POST"
    file_field: str = "file"
    form_fields: Mapping[str, str] = field(factory=dict, hash=False)
    content_type: str = "multipart/form-data"
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class Asset(Model):
    """A file on FLORA, or a reservation for one (FLORA's `/assets`).

    Which fields are set depends on the operation: the project and the node in a list, the place to upload to in a new
    reservation.

    Attributes:
        asset_id: FLORA's id (`asset_…`); None for an item of a list that has none.
        status: The state of the asset; an unknown status stays a plain `str`.
        url: The URL of the file once it is ready.
        workspace_id: The workspace it belongs to (`ws_…`).
        name: The display name.
        description: A description of its content.
        content_type: The content type of the file, such as `image/png`.
        size_bytes: The size of the file in bytes.
        width: The width of an image or video in pixels.
        height: The height of an image or video in pixels.
        created_at: When it was created (aware, UTC).
        failure_message: FLORA's explanation of the failure.
        uploaded_via: How it was uploaded: `url`, `signed_url` or `direct`.
        upload_content_type: The content type given with the upload.
        visibility: Who can see it, such as `workspace`.
        expires_at: When the reservation ends (aware, UTC).
        upload: Where to upload the content as a form; None when there is nothing to upload that way.
        upload_url: The URL to upload the content to by PUT, where FLORA gives one.
        node_id: The canvas node that shows it.
        project_id: The project whose canvas shows it (`prj_…`).
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> asset = Asset(asset_id="asset_1", status="ready", url="https://media.flora.ai/photo.png")
        >>> asset.is_ready, asset.is_failed
        (True, False)
    """

    asset_id: str | None = None
    status: AssetStatus | str = ""
    url: str | None = None
    workspace_id: str | None = None
    name: str | None = None
    description: str | None = None
    content_type: str | None = None
    size_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    created_at: datetime | None = None
    failure_message: str | None = None
    uploaded_via: str | None = None
    upload_content_type: str | None = None
    visibility: str | None = None
    expires_at: datetime | None = None
    upload: AssetUpload | None = None
    upload_url: str | None = None
    node_id: str | None = None
    project_id: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)

    @property
    def is_ready(self) -> bool:
        """Whether the file can be used."""
        return self.status == AssetStatus.READY

    @property
    def is_failed(self) -> bool:
        """Whether FLORA refused the file; `failure_message` says why."""
        return self.status == AssetStatus.FAILED


@frozen(kw_only=True)
class AssetNode(Model):
    """The canvas node created for an asset (FLORA's `POST /projects/{project_id}/assets/{asset_id}/attach`).

    Attributes:
        node_id: FLORA's id of the node.
        asset_id: The asset it shows (`asset_…`).
        project_id: The project it is in (`prj_…`).
        canvas_url: The URL of the canvas in FLORA's editor.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> AssetNode(node_id="node_1", asset_id="asset_1").asset_id
        'asset_1'
    """

    node_id: str
    asset_id: str = ""
    project_id: str = ""
    canvas_url: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
