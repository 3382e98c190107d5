"""Upload files to FLORA: fetched by FLORA, sent in one request, or stored at a host that FLORA names.

The three ways are those of FLORA's page "Create an asset upload". An upload costs nothing, so one in doubt is repeated.
"""

from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from flora_async._cache import KeyedLocks, RecentItems
from flora_async._checks import check_number, check_progress, identifier, optional
from flora_async._clock import Clock
from flora_async._http.bodies import File, Form
from flora_async._http.client import Client
from flora_async._http.responses import is_transient
from flora_async._http.routes import ROUTES
from flora_async._http.storage import StorageClient
from flora_async._http.urls import check_https
from flora_async._threads import off_loop
from flora_async.config import PollPolicy
from flora_async.errors import APIStatusError, FloraError, IdempotencyError, SubmissionUnknownError, UploadError
from flora_async.media.content import Content, FileSource, read_content, verified
from flora_async.media.store_urls import refuse_store_url
from flora_async.models import Asset, AssetStatus
from flora_async.polling import PollSchedule
from flora_async.resources._default_workspace import DefaultWorkspace
from flora_async.resources._operations import fetch, mutate, new_key, read_model

UploadSource = str | FileSource
"""An https URL that FLORA fetches, or a file: a path (also as text), bytes, an open one, or one in a store."""

Progress = Callable[[int, int], object]
"""Called with the bytes sent and the bytes in all."""

SIGNED_URL: Final = "signed-url"
MAX_DIRECT_SIZE: Final = 4 * 1024 * 1024

_ATTEMPTS: Final = 3
_MAX_REMEMBERED: Final = 10_000
_METHODS: Final = frozenset({"POST", "PUT"})
_IN_DOUBT_MESSAGE: Final = "FLORA's answers did not arrive. Nothing was spent: upload again"


class Uploads:
    """Uploads files for one session.

    Args:
        client: Sends the requests to FLORA.
        storage: Sends the requests to the storage host.
        workspace: Chooses the workspace of a file.
        poll: When to ask whether an asset is ready.
        clock: Time and sleep.
    """

    def __init__(
        self, client: Client, storage: StorageClient, workspace: DefaultWorkspace, *, poll: PollPolicy, clock: Clock
    ) -> None:
        self._client = client
        self._storage = storage
        self._workspace = workspace
        self._poll = poll
        self._clock = clock
        self._urls: RecentItems[tuple[str, str, str], str] = RecentItems(_MAX_REMEMBERED)
        self._locks = KeyedLocks()

    def using(self, client: Client, storage: StorageClient, workspace: DefaultWorkspace, poll: PollPolicy) -> "Uploads":
        """The same uploads, the files that FLORA has included, with other clients of the same session."""
        uploads = copy(self)
        uploads._client, uploads._storage, uploads._workspace, uploads._poll = client, storage, workspace, poll  # noqa: SLF001 - of this class
        return uploads

    async def upload(  # noqa: PLR0913 - as FLORA's operation
        self,
        source: UploadSource,
        *,
        workspace_id: str | None,
        content_type: str | None,
        file_name: str | None,
        folder: str | None,
        project_id: str | None,
        progress: Progress | None,
        timeout: float | None,  # noqa: ASYNC109 - of the wait for FLORA, on the session's clock
    ) -> Asset:
        """Upload a file and wait until it can be used; `Assets.upload` documents it."""
        if timeout is not None:
            check_number("timeout", timeout)
        check_progress(progress)
        if source == "":
            raise ValueError("source must not be empty: pass an https URL, or the path of a file")
        options: dict[str, Any] = {"folder": folder, "project_id": optional(identifier, "project_id", project_id)}
        refuse_store_url("source", source)
        if isinstance(source, str) and "://" in source:
            body = {"source": check_https("source", source), "content_type": content_type, "file_name": file_name}
            body = {**body, **options, "workspace_id": await self._workspace.choose(workspace_id)}
            return await self._ready(await _repeated(self._create(body)), timeout)
        file = Path(source) if isinstance(source, str) else source
        content = await off_loop(read_content, file, content_type=content_type, file_name=file_name)
        options["workspace_id"] = await self._workspace.choose(workspace_id)
        return await self._send(content, options, progress, timeout)

    async def url_of(self, content: Content, workspace_id: str | None) -> str:
        """The URL under which FLORA has a file; equal files are uploaded once.

        Raises:
            UploadError: It did not become an asset.
            FloraError: Any other error of a request, after all retries.
            ValueError: No workspace is known for it.
        """
        workspace = await self._workspace.choose(workspace_id)
        digest = await off_loop(content.digest)
        key = (digest, content.content_type, workspace)
        async with self._locks.hold(key):
            url = self._urls.get(key)
            if url is None:
                checked = verified(content, digest)  # the URL is remembered for this digest
                asset = await self._send(checked, {"workspace_id": workspace}, None, self._poll.timeout)
                url = self._urls[key] = str(asset.url)
            return url

    def _create(self, body: Mapping[str, Any]) -> Callable[[], Awaitable[Asset]]:
        return partial(mutate, self._client, "assets.create", Asset, body=body, idempotency_key=None)

    async def _send(
        self,
        content: Content,
        options: Mapping[str, Any],
        progress: Progress | None,
        timeout: float | None,  # noqa: ASYNC109 - as above
    ) -> Asset:
        file = file_of(content, None if progress is None else lambda sent: progress(sent, content.size))
        body = {**options, "content_type": content.content_type, "file_name": content.name}
        if content.size <= MAX_DIRECT_SIZE:
            create = partial(create_directly, self._client, form_of(file, body))
            return await self._ready(await _repeated(create), timeout)
        reserve = self._create({"source": SIGNED_URL, **body})
        asset = await _repeated(reserve)
        try:
            return await self._store(asset, file, timeout)
        except (APIStatusError, UploadError) as error:
            if not _can_be_renewed(error):
                raise
            first = error
        try:
            asset = await self._renewed(asset, reserve)
            return await self._store(asset, file, timeout)
        except APIStatusError as error:
            why = f"{first}; then {error}" if error.status != getattr(first, "status", None) else str(error)
            raise UploadError(f"{content.name!r:.60} was refused twice: {why}", asset) from error

    async def _store(self, asset: Asset, file: File, timeout: float | None) -> Asset:  # noqa: ASYNC109 - as above
        """Send a file to where FLORA reserved room for it: as a form, or the bytes alone to `upload_url`."""
        asset_id, place = _id_of(asset), asset.upload
        if place is not None and place.method.upper() in _METHODS:
            form = form_of(file, place.form_fields, place.file_field)
            await self._storage.store(place.method.upper(), place.url, form)
        elif place is None and asset.upload_url:
            await self._storage.store("PUT", asset.upload_url, file)
        else:
            raise UploadError(f"FLORA named no place to upload {asset_id!r:.60} to", asset)
        return await self._ready(await self._completed(asset_id), timeout)

    async def _renewed(self, asset: Asset, reserve: Callable[[], Awaitable[Asset]]) -> Asset:
        """Reserve again: the same asset, or a new one while FLORA does not know that the first upload failed."""
        ids = {"asset_id": _id_of(asset)}
        try:
            return await _repeated(partial(mutate, self._client, "assets.retry", Asset, ids, idempotency_key=None))
        except APIStatusError as error:
            if is_transient(error):
                raise
            return await _repeated(reserve)

    async def _completed(self, asset_id: str) -> Asset:
        """Report that the file has arrived and return the asset, even if FLORA's answer gets lost."""
        ids, doubt = {"asset_id": asset_id}, None
        for _ in range(_ATTEMPTS):
            try:
                return await mutate(self._client, "assets.complete", Asset, ids, idempotency_key=None)
            except SubmissionUnknownError as error:
                doubt = error
            asset = await self._retrieve(asset_id)
            if asset.status != AssetStatus.PENDING_UPLOAD:
                return asset
        raise UploadError(_IN_DOUBT_MESSAGE) from doubt

    async def _retrieve(self, asset_id: str) -> Asset:
        return await fetch(self._client, "assets.retrieve", Asset, {"asset_id": asset_id})

    async def _ready(self, asset: Asset, timeout: float | None) -> Asset:  # noqa: ASYNC109 - on the session's clock
        """Wait until the asset can be used."""
        clock, schedule = self._clock, PollSchedule(evolve(self._poll, schedule="backoff"), self._clock)
        began = now = clock.monotonic()
        while not (asset.is_failed or (asset.is_ready and asset.url)):
            if timeout is not None and now - began >= timeout:
                raise UploadError(
                    f"Asset {asset.asset_id!r:.60} is still {asset.status} after {timeout:.3g} s: read it again with "
                    "assets.retrieve, or allow more time",
                    asset,
                )
            pause = schedule.next()
            await clock.sleep(pause if timeout is None else min(pause, began + timeout - now))
            now = clock.monotonic()
            asset = await self._retrieve(_id_of(asset))
        if asset.is_failed:
            why = asset.failure_message or "FLORA does not say why"
            raise UploadError(f"Asset {asset.asset_id!r:.60} failed: {why}", asset)
        return asset


async def _repeated(create: Callable[[], Awaitable[Asset]]) -> Asset:
    """Create the asset, again under another key while the outcome is in doubt: at worst an unused one remains."""
    doubt = None
    for _ in range(_ATTEMPTS):
        try:
            return await create()
        except (SubmissionUnknownError, IdempotencyError) as error:
            doubt = error
    raise UploadError(_IN_DOUBT_MESSAGE) from doubt


def _id_of(asset: Asset) -> str:
    if not asset.asset_id:
        raise UploadError("FLORA's answer names no asset. Nothing was spent: upload again", asset)
    return asset.asset_id


def _can_be_renewed(error: FloraError) -> bool:
    """Whether the reservation was at fault: it has expired, or FLORA could not take the file from it."""
    if isinstance(error, UploadError):
        return error.asset is not None and error.asset.is_failed
    return not is_transient(error)


def file_of(content: Content, progress: Callable[[int], object] | None = None) -> File:
    """Make a request body of a file's content."""
    return File(
        name=content.name,
        content_type=content.content_type,
        size=content.size,
        open=content.open,
        progress=progress,
    )


def form_of(file: File, fields: Mapping[str, str | None], file_field: str = "file") -> Form:
    """A form with a file in it; fields that are None are left out."""
    return Form(
        fields={name: text for name, text in fields.items() if text is not None}, file_field=file_field, file=file
    )


async def create_directly(client: Client, form: Form, idempotency_key: str | None = None) -> Asset:
    """Create an asset by one request with the whole file in it. It costs nothing, so it may be repeated.

    Raises:
        FloraError: Any error of the request, after all retries.
    """
    key = new_key(idempotency_key)
    request = client.request(ROUTES["assets.create"], {}, body=form, idempotency_key=key)
    return await client.fetch(request, partial(read_model, Asset))
