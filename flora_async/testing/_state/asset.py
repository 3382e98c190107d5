"""Assets of the local FLORA and the uploads they wait for."""

import hashlib
import uuid
from typing import Any, Final, Literal, TypeAlias

import attrs

from flora_async._repr import ShortRepr

Source: TypeAlias = Literal["direct", "url", "signed_url"]
UploadMethod: TypeAlias = Literal["POST", "PUT"]

_IMAGES = {"jpeg": ".jpg", **{kind: f".{kind}" for kind in ("png", "webp", "gif", "avif", "heic", "heif")}}

SUFFIXES: Final = {
    **{f"image/{kind}": suffix for kind, suffix in _IMAGES.items()},
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "video/quicktime": ".mov",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "audio/ogg": ".ogg",
    "application/pdf": ".pdf",
}
TYPES: Final = {**{suffix: type_ for type_, suffix in SUFFIXES.items()}, ".jpeg": "image/jpeg"}


@attrs.define(eq=False, kw_only=True)
class FakeAsset(ShortRepr):
    """An asset on the local FLORA, uploaded or still to be uploaded.

    Attributes:
        number: Its position in the order of creation, from 1.
        asset_id: The public id.
        workspace_id: The workspace that it belongs to.
        project_id: The project whose canvas shows it, if any.
        source: How it was uploaded: `direct` in a form, from a `url`, or through a `signed_url`.
        name: The file name.
        content_type: The content type, empty until it is known.
        content: The bytes, `b""` until they have been uploaded.
        status: pending_upload, ready or failed.
        failure_message: The reason for its failure.
        description: Its description in a library.
        node_id: Its node on the canvas of its project.
        created: Unix time in seconds.
        polls_left: How many more times it is polled before it is ready; `None` while it is not being processed.
    """

    number: int
    asset_id: str = attrs.field(factory=lambda: f"asset_{uuid.uuid4().hex}")
    workspace_id: str
    project_id: str | None = None
    source: Source
    name: str | None
    content_type: str
    content: bytes = attrs.field(default=b"", repr=False)
    status: str = "pending_upload"
    failure_message: str | None = None
    description: str | None = None
    node_id: str | None = None
    created: float
    polls_left: int | None = attrs.field(default=None, init=False, repr=False)

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.content)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def path(self) -> str:
        """Its path on the storage host, below `/media/`."""
        return f"{self.asset_id}/original{SUFFIXES.get(self.content_type, '.bin')}"

    def fail(self, message: str) -> None:
        """Mark it as failed."""
        self.status, self.failure_message, self.polls_left = "failed", message, None

    def payload(self, url: str) -> dict[str, Any]:
        """Return the fields that every description of it has; `url` is its URL once it is ready."""
        return {
            "asset_id": self.asset_id,
            "workspace_id": self.workspace_id,
            "status": self.status,
            "name": self.name,
            "description": self.description,
            "content_type": self.content_type or "application/octet-stream",
            "upload_content_type": self.content_type or None,
            "uploaded_via": self.source,
            "size_bytes": self.size or None,
            "height": None,
            "width": None,
            "url": url if self.status == "ready" else None,
        }


def _signed_fields(reservation: "Reservation") -> dict[str, str]:
    asset = reservation.asset
    fields = {
        "key": f"uploads/{asset.asset_id}",
        "policy": "eyJsb2NhbCI6dHJ1ZX0=",
        "success_action_status": "204",
        "floraAssetId": asset.asset_id,
        "X-Amz-Signature": reservation.token,
    }
    return fields | ({"Content-Type": asset.content_type} if asset.content_type else {})


@attrs.define(eq=False)
class Reservation:
    """An upload that the storage host accepts until `expires`, in Unix seconds.

    Attributes:
        asset: The asset to upload.
        expires: The end of the reservation.
        method: `POST` for a form, `PUT` for the raw bytes.
        token: Distinguishes it from other reservations for the same asset.
        fields: The fields that the form must have before the file. Their names are spelled in every style that real
            storage hosts use.
    """

    asset: FakeAsset
    expires: float
    method: UploadMethod
    token: str = attrs.field(factory=lambda: uuid.uuid4().hex, init=False)
    fields: dict[str, str] = attrs.field(init=False, default=attrs.Factory(_signed_fields, takes_self=True))

    @property
    def path(self) -> str:
        """Its path on the storage host, below `/upload/`."""
        return f"{self.asset.asset_id}/{self.token}"
