"""The operations on assets, with FLORA's three ways to upload a file."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from flora_async.testing._state.asset import SUFFIXES, TYPES, FakeAsset, Reservation, Source, UploadMethod
from flora_async.testing._state.environment import Environment, Handlers, milliseconds
from flora_async.testing._state.projects import Projects
from flora_async.testing._state.sample_files import sample_file
from flora_async.testing._wire.answers import conflict, invalid_fields, not_found
from flora_async.testing._wire.forms import read_form
from flora_async.testing._wire.requests import RecordedRequest
from flora_async.testing._wire.validation import (
    HTTPS,
    PROJECT,
    TEXT,
    WORKSPACE,
    FieldType,
    check_public_ids,
    field_problems,
    paginate,
    read_body,
    read_optional_body,
)

_MAX_DIRECT_BYTES = 4 * 1024 * 1024
_RESERVATION_SECONDS = 3600.0
_SIGNED: Final = "signed-url"
_SOURCE: Final = FieldType(f"{_SIGNED} or an HTTPS URL", lambda value: value == _SIGNED or HTTPS.accepts(value))
_CONTENT_TYPE: Final = FieldType(
    f"one of {', '.join(SUFFIXES)}", lambda value: isinstance(value, str) and value in SUFFIXES
)
_DETAILS: Final[Mapping[str, FieldType]] = {
    "content_type": _CONTENT_TYPE,
    "file_name": TEXT,
    "folder": TEXT,
    "project_id": PROJECT,
}


class Assets:
    """All assets of the server and their upload reservations.

    Args:
        environment: The clock and the addresses.
        projects: The workspaces and projects that assets belong to.
        ready_after: How many times an asset is polled before it has been processed.
        upload_method: How the content of a signed upload is sent.

    Raises:
        ValueError: `ready_after` is negative.

    Attributes:
        failures_left: How many of the next assets will fail to be processed.
        failure_message: The failure message of those.
        on_ready: Called with every asset once it is ready.
    """

    def __init__(
        self, environment: Environment, projects: Projects, *, ready_after: int, upload_method: UploadMethod
    ) -> None:
        if ready_after < 0:
            raise ValueError(f"asset_ready_after must be 0 polls or more, not {ready_after}")
        self.failures_left = 0
        self.failure_message = ""
        self.on_ready: Callable[[FakeAsset], None] = lambda _: None
        self._environment = environment
        self._projects = projects
        self._ready_after = ready_after
        self._upload_method: UploadMethod = upload_method
        self._assets: dict[str, FakeAsset] = {}
        self._reservations: dict[str, Reservation] = {}

    @property
    def handlers(self) -> Handlers:
        """The operations on assets."""
        return {
            "assets.create": self._create,
            "assets.complete": self._complete,
            "assets.retry": self._retry,
            "assets.list": self._list,
            "assets.retrieve": self._retrieve,
        }

    @property
    def all(self) -> tuple[FakeAsset, ...]:
        """The assets in order of creation."""
        for asset in self._assets.values():
            self._fail_if_expired(asset)
        return tuple(self._assets.values())

    def from_path(self, request: RecordedRequest) -> FakeAsset:
        """Return the asset named in the path of a request.

        Raises:
            RefusedError: There is no such asset.
        """
        asset = self._assets.get(request.route.path_params["asset_id"])
        if asset is None:
            raise not_found()
        self._fail_if_expired(asset)
        return asset

    def url(self, asset: FakeAsset) -> str:
        """Return its URL on the storage host, which works once it is ready."""
        return f"{self._environment.storage_origin}/media/{asset.path}"

    def by_path(self, path: str) -> FakeAsset | None:
        """Return the asset with this path on the storage host, if it is ready."""
        asset = self._assets.get(path.partition("/")[0])
        return asset if asset is not None and asset.status == "ready" and asset.path == path else None

    def fetch(self, url: str, workspace_id: str, **details: Any) -> FakeAsset:  # noqa: ANN401 - fields of FakeAsset
        """Create an asset from a public URL. The URL is never requested: a sample file stands in for its content.

        Raises:
            RefusedError: FLORA does not accept files with the suffix of the URL.
        """
        path = urlsplit(url).path
        content_type = details.pop("content_type", None) or _content_type_of(path) or "image/png"
        name = details.pop("name", None) or PurePosixPath(path).name or None
        content = sample_file(SUFFIXES[content_type], url)
        asset = self._add("url", workspace_id, name=name, content_type=content_type, content=content, **details)
        self._process(asset)
        return asset

    def expire_uploads(self) -> None:
        """End every upload reservation now."""
        for reservation in self._reservations.values():
            reservation.expires = self._environment.clock.time()

    def reservation(self, path: str) -> Reservation | None:
        """Return the reservation with this path on the storage host."""
        reservation = self._reservations.get(path.partition("/")[0])
        return reservation if reservation is not None and reservation.path == path else None

    def _create(self, request: RecordedRequest) -> dict[str, Any]:
        if request.is_form:
            return self._created(self._upload_form(request))
        body = read_body(request, {"source": _SOURCE, "workspace_id": WORKSPACE}, **_DETAILS)
        details = {"name": body.get("file_name"), "project_id": self._checked_project(body)}
        content_type = body.get("content_type")
        if body["source"] != _SIGNED:
            asset = self.fetch(body["source"], body["workspace_id"], content_type=content_type, **details)
            return self._created(asset)
        content_type = content_type or _content_type_of(body.get("file_name", "")) or ""
        asset = self._add("signed_url", body["workspace_id"], content_type=content_type, **details)
        return self._created(asset) | self._reserve(asset)

    def _upload_form(self, request: RecordedRequest) -> FakeAsset:
        parts = {part.name: part for part in read_form(request)}
        file = parts.pop("file", None)
        body = {name: part.text for name, part in parts.items()}
        check_public_ids(body)
        problems = field_problems(body, {"workspace_id": WORKSPACE}, {**_DETAILS, "idempotency_key": TEXT})
        if file is None:
            raise invalid_fields(problems | {"file": "Required"})
        if not 0 < len(file.content) <= _MAX_DIRECT_BYTES:
            problems["file"] = f"Expected 1 to {_MAX_DIRECT_BYTES} bytes"
        name = body.get("file_name") or file.filename
        content_type = body.get("content_type") or file.content_type or _content_type_of(name) or ""
        if content_type not in SUFFIXES:
            problems["content_type"] = f"Expected {_CONTENT_TYPE.expected}"
        if problems:
            raise invalid_fields(problems)
        project_id = self._checked_project(body)
        details = {"name": name, "project_id": project_id, "content_type": content_type, "content": file.content}
        asset = self._add("direct", body["workspace_id"], **details)
        self._make_ready(asset)
        return asset

    def _complete(self, request: RecordedRequest) -> dict[str, Any]:
        asset = self.from_path(request)
        read_body(request)
        if asset.status == "pending_upload" and asset.polls_left is None:
            if not asset.content:
                raise conflict("Nothing has been uploaded yet.")
            self._process(asset)
        elif asset.status == "failed":
            raise conflict(f"The upload has failed: {asset.failure_message}")
        return self._state(asset)

    def _retry(self, request: RecordedRequest) -> dict[str, Any]:
        asset = self.from_path(request)
        read_optional_body(request)
        if asset.status != "failed":
            raise conflict(f"The asset is {asset.status}: there is nothing to retry.")
        asset.status, asset.failure_message, asset.content, asset.polls_left = "pending_upload", None, b"", None
        return self._state(asset) | self._reserve(asset)

    def _list(self, request: RecordedRequest) -> dict[str, Any]:
        return paginate("assets", request.query, self._matching(request.query), self._row, {})

    def _matching(self, query: Mapping[str, str]) -> Iterator[tuple[int, FakeAsset]]:
        for asset in reversed(self.all):
            if (
                query.get("workspace_id", asset.workspace_id) == asset.workspace_id
                and query.get("project_id", asset.project_id) == asset.project_id
                and query.get("query", "").lower() in (asset.name or "").lower()
            ):
                yield asset.number, asset

    def _retrieve(self, request: RecordedRequest) -> dict[str, Any]:
        asset = self.from_path(request)
        if asset.status == "pending_upload" and asset.polls_left is not None:
            if asset.polls_left:
                asset.polls_left -= 1
            else:
                self._finish_processing(asset)
        created_at = datetime.fromtimestamp(asset.created, UTC).isoformat(timespec="milliseconds")
        return asset.payload(self.url(asset)) | {
            "created_at": created_at.replace("+00:00", "Z"),
            "failure_message": asset.failure_message,
        }

    def _add(self, source: Source, workspace_id: str, **details: Any) -> FakeAsset:  # noqa: ANN401 - fields of FakeAsset
        asset = FakeAsset(
            number=len(self._assets) + 1,
            workspace_id=self._projects.check_workspace(workspace_id),
            source=source,
            created=self._environment.clock.time(),
            **details,
        )
        self._assets[asset.asset_id] = asset
        return asset

    def _checked_project(self, body: Mapping[str, Any]) -> str | None:
        project_id: str | None = body.get("project_id")
        if project_id is not None:
            self._projects.find(body["workspace_id"], project_id)
        return project_id

    def _reserve(self, asset: FakeAsset) -> dict[str, Any]:
        expires = self._environment.clock.time() + _RESERVATION_SECONDS
        self._reservations[asset.asset_id] = reservation = Reservation(asset, expires, self._upload_method)
        url = f"{self._environment.storage_origin}/upload/{reservation.path}"
        upload = {
            "url": url,
            "method": "POST",
            "content_type": "multipart/form-data",
            "file_field": "file",
            "form_fields": reservation.fields,
        }
        return {
            **({"upload": upload} if self._upload_method == "POST" else {"upload_url": url}),
            "expires_at": datetime.fromtimestamp(expires, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        }

    def _fail_if_expired(self, asset: FakeAsset) -> None:
        reservation = self._reservations.get(asset.asset_id)
        if reservation is None or asset.status != "pending_upload" or asset.polls_left is not None:
            return
        if self._environment.clock.time() >= reservation.expires:
            asset.fail("The upload reservation has expired.")

    def _process(self, asset: FakeAsset) -> None:
        asset.polls_left = self._ready_after
        if not asset.polls_left:
            self._finish_processing(asset)

    def _finish_processing(self, asset: FakeAsset) -> None:
        if self.failures_left:
            self.failures_left -= 1
            asset.fail(self.failure_message)
        else:
            self._make_ready(asset)

    def _make_ready(self, asset: FakeAsset) -> None:
        asset.status = "ready"
        self.on_ready(asset)

    def _created(self, asset: FakeAsset) -> dict[str, Any]:
        return self._state(asset) | {"url": self.url(asset), "uploaded_via": asset.source}

    def _state(self, asset: FakeAsset) -> dict[str, Any]:
        return {
            "asset_id": asset.asset_id,
            "workspace_id": asset.workspace_id,
            "status": asset.status,
            "visibility": "workspace",
            "url": self.url(asset) if asset.status == "ready" else None,
            "failure_message": asset.failure_message,
        }

    def _row(self, asset: FakeAsset) -> dict[str, Any]:
        return asset.payload(self.url(asset)) | {
            "created_at": milliseconds(asset.created),
            "node_id": asset.node_id,
            "project_id": asset.project_id,
        }


def _content_type_of(name: str) -> str | None:
    """Return the content type for the suffix of a file name, `None` without a suffix.

    Raises:
        RefusedError: FLORA does not accept files with this suffix.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix and suffix not in TYPES:
        raise invalid_fields({"content_type": f"Expected {_CONTENT_TYPE.expected}"})
    return TYPES.get(suffix)
