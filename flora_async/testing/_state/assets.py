"""Assets of the local FLORA: files that people bring, on each of the three ways in."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from flora_async.testing._state.asset import SUFFIXES, TYPES, FakeAsset, Reservation, Source
from flora_async.testing._state.environment import Environment, Handlers
from flora_async.testing._state.projects import Projects
from flora_async.testing._state.runs import milliseconds
from flora_async.testing._state.sample_files import sample
from flora_async.testing._wire.answers import conflict, not_found, wrong_fields
from flora_async.testing._wire.forms import read_form
from flora_async.testing._wire.requests import RecordedRequest
from flora_async.testing._wire.validation import (
    HTTPS,
    PROJECT,
    TEXT,
    WORKSPACE,
    Kind,
    field_problems,
    page_of,
    read_body,
    read_optional_body,
)

_LARGEST_DIRECT = 4 * 1024 * 1024
_RESERVED_SECONDS = 3600.0
_SIGNED: Final = "signed-url"
_SOURCE: Final = Kind(f"{_SIGNED} or an HTTPS URL", lambda value: value == _SIGNED or HTTPS.fits(value))
_CONTENT_TYPE: Final = Kind(f"one of {', '.join(SUFFIXES)}", lambda value: isinstance(value, str) and value in SUFFIXES)
_DETAILS: Final[Mapping[str, Kind]] = {
    "content_type": _CONTENT_TYPE,
    "file_name": TEXT,
    "folder": TEXT,
    "project_id": PROJECT,
}


class Assets:
    """Every asset there is, and the uploads that are awaited.

    Args:
        environment: The clock and the addresses.
        projects: Where assets can belong.
        ready_after: At how many looks an asset that has to be worked on is not ready yet.

    Raises:
        ValueError: `ready_after` is negative.

    Attributes:
        failing: How many of the assets to come will fail when they are worked on.
        why: What FLORA says of those.
        on_ready: Told of each asset once it is ready.
    """

    def __init__(self, environment: Environment, projects: Projects, *, ready_after: int) -> None:
        if ready_after < 0:
            raise ValueError(f"asset_ready_after must be 0 looks or more, not {ready_after}")
        self.failing = 0
        self.why = ""
        self.on_ready: Callable[[FakeAsset], None] = lambda _: None
        self._environment = environment
        self._projects = projects
        self._ready_after = ready_after
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
        """The assets in order of creation, as they are now."""
        for asset in self._assets.values():
            self._expire(asset)
        return tuple(self._assets.values())

    def named(self, request: RecordedRequest) -> FakeAsset:
        """The asset in a request's path.

        Raises:
            RefusedError: There is none.
        """
        asset = self._assets.get(request.route.names["asset_id"])
        if asset is None:
            raise not_found()
        self._expire(asset)
        return asset

    def url(self, asset: FakeAsset) -> str:
        """Where the media host has it, once it is ready."""
        return f"{self._environment.storage}/media/{asset.path}"

    def by_path(self, path: str) -> FakeAsset | None:
        """The asset that the media host has there."""
        asset = self._assets.get(path.partition("/")[0])
        return asset if asset is not None and asset.status == "ready" and asset.path == path else None

    def fetch(self, url: str, workspace_id: str, **details: Any) -> FakeAsset:  # noqa: ANN401 - fields of an asset
        """Take what is at a public URL; no request leaves this machine, so a sample stands for it.

        Raises:
            RefusedError: Its name says that it is nothing FLORA takes.
        """
        path = urlsplit(url).path
        content_type = details.pop("content_type", None) or _type_of(path) or "image/png"
        name = details.pop("name", None) or PurePosixPath(path).name or None
        content = sample(SUFFIXES[content_type], url)
        asset = self._add("url", workspace_id, name=name, content_type=content_type, content=content, **details)
        self._work_on(asset)
        return asset

    def expire(self) -> None:
        """Let the time of every upload that is awaited be over."""
        for reservation in self._reservations.values():
            reservation.expires = self._environment.clock.time()

    def reservation(self, path: str) -> Reservation | None:
        """The upload that is awaited there."""
        reservation = self._reservations.get(path.partition("/")[0])
        return reservation if reservation is not None and reservation.path == path else None

    def _create(self, request: RecordedRequest) -> dict[str, Any]:
        if request.is_form:
            return self._created(self._take(request))
        body = read_body(request, {"source": _SOURCE, "workspace_id": WORKSPACE}, **_DETAILS)
        details = {"name": body.get("file_name"), "project_id": self._project_of(body)}
        content_type = body.get("content_type")
        if body["source"] != _SIGNED:
            asset = self.fetch(body["source"], body["workspace_id"], content_type=content_type, **details)
            return self._created(asset)
        content_type = content_type or _type_of(body.get("file_name", "")) or ""
        asset = self._add("signed_url", body["workspace_id"], content_type=content_type, **details)
        return self._created(asset) | self._reserve(asset)

    def _take(self, request: RecordedRequest) -> FakeAsset:
        parts = {part.name: part for part in read_form(request)}
        file = parts.pop("file", None)
        body = {name: part.text for name, part in parts.items()}
        problems = field_problems(body, {"workspace_id": WORKSPACE}, {**_DETAILS, "idempotency_key": TEXT})
        if file is None:
            raise wrong_fields(problems | {"file": "Required"})
        if not 0 < len(file.content) <= _LARGEST_DIRECT:
            problems["file"] = f"Expected 1 to {_LARGEST_DIRECT} bytes"
        name = body.get("file_name") or file.filename
        content_type = body.get("content_type") or file.content_type or _type_of(name) or ""
        if content_type not in SUFFIXES:
            problems["content_type"] = f"Expected {_CONTENT_TYPE.expected}"
        if problems:
            raise wrong_fields(problems)
        project_id = self._project_of(body)
        details = {"name": name, "project_id": project_id, "content_type": content_type, "content": file.content}
        asset = self._add("direct", body["workspace_id"], **details)
        self._make_ready(asset)
        return asset

    def _complete(self, request: RecordedRequest) -> dict[str, Any]:
        asset = self.named(request)
        read_body(request)
        if asset.status == "pending_upload" and asset.looks is None:
            if not asset.content:
                raise conflict("Nothing has been uploaded yet.")
            self._work_on(asset)
        elif asset.status == "failed":
            raise conflict(f"The upload has failed: {asset.failure_message}")
        return self._state(asset)

    def _retry(self, request: RecordedRequest) -> dict[str, Any]:
        asset = self.named(request)
        read_optional_body(request)
        if asset.status != "failed":
            raise conflict(f"The asset is {asset.status}: there is nothing to retry.")
        asset.status, asset.failure_message, asset.content, asset.looks = "pending_upload", None, b"", None
        return self._state(asset) | self._reserve(asset)

    def _list(self, request: RecordedRequest) -> dict[str, Any]:
        return page_of("assets", request.query, self._matching(request.query), self._item, {})

    def _matching(self, query: Mapping[str, str]) -> Iterator[tuple[int, FakeAsset]]:
        for asset in reversed(self.all):
            if (
                query.get("workspace_id", asset.workspace_id) == asset.workspace_id
                and query.get("project_id", asset.project_id) == asset.project_id
                and query.get("query", "").lower() in (asset.name or "").lower()
            ):
                yield asset.number, asset

    def _retrieve(self, request: RecordedRequest) -> dict[str, Any]:
        asset = self.named(request)
        if asset.status == "pending_upload" and asset.looks is not None:
            if asset.looks:
                asset.looks -= 1
            else:
                self._finish(asset)
        created_at = datetime.fromtimestamp(asset.created, UTC).isoformat(timespec="milliseconds")
        return asset.payload(self.url(asset)) | {
            "created_at": created_at.replace("+00:00", "Z"),
            "failure_message": asset.failure_message,
        }

    def _add(self, source: Source, workspace_id: str, **details: Any) -> FakeAsset:  # noqa: ANN401 - fields of an asset
        asset = FakeAsset(
            number=len(self._assets) + 1,
            workspace_id=self._projects.check_workspace(workspace_id),
            source=source,
            created=self._environment.clock.time(),
            **details,
        )
        self._assets[asset.asset_id] = asset
        return asset

    def _project_of(self, body: Mapping[str, Any]) -> str | None:
        project_id: str | None = body.get("project_id")
        if project_id is not None:
            self._projects.in_workspace(body["workspace_id"], project_id)
        return project_id

    def _reserve(self, asset: FakeAsset) -> dict[str, Any]:
        expires = self._environment.clock.time() + _RESERVED_SECONDS
        self._reservations[asset.asset_id] = reservation = Reservation(asset, expires)
        return {
            "upload": {
                "url": f"{self._environment.storage}/upload/{reservation.path}",
                "method": "POST",
                "content_type": "multipart/form-data",
                "file_field": "file",
                "form_fields": reservation.fields,
            },
            "expires_at": datetime.fromtimestamp(expires, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        }

    def _expire(self, asset: FakeAsset) -> None:
        reservation = self._reservations.get(asset.asset_id)
        if reservation is None or asset.status != "pending_upload" or asset.looks is not None:
            return
        if self._environment.clock.time() >= reservation.expires:
            asset.fail("The upload reservation has expired.")

    def _work_on(self, asset: FakeAsset) -> None:
        asset.looks = self._ready_after
        if not asset.looks:
            self._finish(asset)

    def _finish(self, asset: FakeAsset) -> None:
        if self.failing:
            self.failing -= 1
            asset.fail(self.why)
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

    def _item(self, asset: FakeAsset) -> dict[str, Any]:
        return asset.payload(self.url(asset)) | {
            "created_at": milliseconds(asset.created),
            "node_id": asset.node_id,
            "project_id": asset.project_id,
        }


def _type_of(name: str) -> str | None:
    """The content type that a file name tells, if FLORA takes that.

    Raises:
        RefusedError: It tells of something else.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix and suffix not in TYPES:
        raise wrong_fields({"content_type": f"Expected {_CONTENT_TYPE.expected}"})
    return TYPES.get(suffix)
