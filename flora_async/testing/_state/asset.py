"""One asset of the local FLORA, and the upload it may be waiting for."""

import hashlib
import uuid
from typing import Any, Final, Literal, TypeAlias

import attrs

Source: TypeAlias = Literal["direct", "url", "signed_url"]

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
class FakeAsset:
    """An asset that the local FLORA has, or waits for.

    Attributes:
        number: The place in the order of creation, from 1.
        asset_id: The public id.
        workspace_id: The workspace it belongs to.
        project_id: The project on whose canvas it is shown, if any.
        source: The way it came: `direct` in a form, from a `url`, or by a `signed_url`.
        name: The file name.
        content_type: The content type, empty until it is known.
        content: The bytes, `b""` until they are there.
        status: What FLORA says of it: pending_upload, ready or failed.
        failure_message: Why it failed.
        description: What people say about it.
        node_id: Its node on the canvas of its project.
        created: Unix time in seconds.
        looks: At how many more looks it is not ready yet; `None` if nobody works on it.
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
    looks: int | None = attrs.field(default=None, init=False, repr=False)

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes, in hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def path(self) -> str:
        """Where the media host has it."""
        return f"{self.asset_id}/original{SUFFIXES.get(self.content_type, '.bin')}"

    def fail(self, message: str) -> None:
        """Nothing will become of it."""
        self.status, self.failure_message, self.looks = "failed", message, None

    def payload(self, url: str) -> dict[str, Any]:
        """What FLORA says about it, whoever asks; `url` is where it will be."""
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
    """An upload that the storage host awaits until `expires`, Unix seconds.

    Attributes:
        asset: What it is for.
        expires: When it is awaited no more.
        token: What tells it from another one for this asset.
        fields: What the form has to hold besides the file, and before it; names of every make, as storage hosts have.
    """

    asset: FakeAsset
    expires: float
    token: str = attrs.field(factory=lambda: uuid.uuid4().hex, init=False)
    fields: dict[str, str] = attrs.field(init=False, default=attrs.Factory(_signed_fields, takes_self=True))

    @property
    def path(self) -> str:
        """Where it awaits the upload."""
        return f"{self.asset.asset_id}/{self.token}"
