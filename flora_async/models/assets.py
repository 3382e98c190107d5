"""Assets: the files that people bring to FLORA."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import field, frozen


class AssetStatus(StrEnum):
    """Where an asset stands. FLORA may add values: one that is not listed here stays a plain `str`."""

    PENDING_UPLOAD = "pending_upload"
    READY = "ready"
    FAILED = "failed"


@frozen(kw_only=True)
class AssetUpload:
    """Where and how to hand in the bytes of a reserved asset (FLORA's `POST /assets`).

    Attributes:
        url: The address of the storage host. FLORA's API key must not go there.
        method: The HTTP method.
        file_field: The form field that holds the file; it comes last in the form.
        form_fields: The other form fields, to be sent as they are, before the file.
        content_type: The type of the form, not of the file.
        extra: Fields that this version does not know, under FLORA's names.

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
class Asset:
    """A file at FLORA, or the reservation of one (FLORA's `/assets`).

    Which fields are known depends on the operation: a list tells the project and the node, a new reservation where the
    bytes belong.

    Attributes:
        asset_id: FLORA's id (`asset_…`); None for an item of a list that has none.
        status: Where the asset stands; an unknown status stays a plain `str`.
        url: Where the file is served once it is ready.
        workspace_id: The workspace it belongs to (`ws_…`).
        name: What people call it.
        description: What it shows.
        content_type: The type of the file, such as `image/png`.
        size_bytes: The size of the file in bytes.
        width: Pixels, of an image or a video.
        height: Pixels, of an image or a video.
        created_at: When it was created (aware, UTC).
        failure_message: Why it failed, for people.
        uploaded_via: How it came: `url`, `signed_url` or `direct`.
        upload_content_type: The type that was given with the upload.
        visibility: Who can see it.
        expires_at: When the reservation ends (aware, UTC).
        upload: Where to hand in the bytes; None when there is nothing to hand in.
        upload_url: The reservation as one text, as FLORA gives it besides.
        node_id: The canvas node that shows it.
        project_id: The project whose canvas shows it (`prj_…`).
        extra: Fields that this version does not know, under FLORA's names.

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
        """Whether the file could not be taken; `failure_message` says why."""
        return self.status == AssetStatus.FAILED


@frozen(kw_only=True)
class AssetNode:
    """The canvas node that an asset was attached as (FLORA's `POST /projects/{project_id}/assets/{asset_id}/attach`).

    Attributes:
        node_id: FLORA's id of the node.
        asset_id: The asset it shows (`asset_…`).
        project_id: The project it is in (`prj_…`).
        canvas_url: Where people see the canvas.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> AssetNode(node_id="node_1", asset_id="asset_1").asset_id
        'asset_1'
    """

    node_id: str
    asset_id: str = ""
    project_id: str = ""
    canvas_url: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
