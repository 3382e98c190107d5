"""Files on their way to FLORA: fetched by FLORA, sent with one request, or stored at a host that it names.

FLORA's page "Create an asset upload" has the three ways. An upload costs nothing, so what is in doubt is simply begun
again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Final

from flora_async._cache import KeyedLocks, RecentItems
from flora_async._checks import check_number
from flora_async._clock import Clock
from flora_async._http.bodies import File
from flora_async._http.client import Client
from flora_async._http.responses import is_transient
from flora_async._http.storage import StorageClient
from flora_async._http.urls import check_https
from flora_async.config import PollPolicy
from flora_async.errors import APIStatusError, FloraError, IdempotencyError, SubmissionUnknownError, UploadError
from flora_async.media.content import Content, FileSource, read_content
from flora_async.models import Asset, AssetStatus
from flora_async.polling import PollSchedule
from flora_async.resources._assets import LARGEST_DIRECT, SIGNED_URL, AssetOperations, create_directly, file_of, form_of
from flora_async.resources._default_workspace import DefaultWorkspace

UploadSource = str | FileSource
"""An https URL that FLORA fetches, or a file: a path (also as text), bytes, or a file open for reading bytes."""

Progress = Callable[[int, int], object]
"""Called with the bytes that are sent and the bytes that there are."""

_ATTEMPTS: Final = 3
_MOST_REMEMBERED: Final = 10_000
_IN_DOUBT: Final = (SubmissionUnknownError, IdempotencyError)
_METHODS: Final = frozenset({"POST", "PUT"})


class Uploads:
    """Uploads files for one session.

    Args:
        client: The way to FLORA.
        storage: The way to the storage host.
        assets: FLORA's operations on assets.
        home: Which workspace files go to.
        poll: How to look whether an asset is ready.
        clock: Time and sleep.
    """

    def __init__(  # noqa: PLR0913 - what a session has
        self,
        client: Client,
        storage: StorageClient,
        assets: AssetOperations,
        home: DefaultWorkspace,
        *,
        poll: PollPolicy,
        clock: Clock,
    ) -> None:
        self._client = client
        self._storage = storage
        self._assets = assets
        self._home = home
        self._poll = poll
        self._clock = clock
        self._urls: RecentItems[tuple[str, str, str], str] = RecentItems(_MOST_REMEMBERED)
        self._locks = KeyedLocks()

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
        """Bring a file to FLORA and wait until it can be used; `Assets.upload` documents it."""
        if timeout is not None:
            check_number("timeout", timeout)
        if progress is not None and (not callable(progress) or iscoroutinefunction(progress)):
            raise TypeError(f"progress must be a plain function of two numbers, not {progress!r:.60}")
        if source == "":
            raise ValueError("source must not be empty: pass an https URL, or the path of a file")
        options: dict[str, Any] = {"folder": folder, "project_id": project_id}
        if isinstance(source, str) and "://" in source:
            check_https("source", source)
            home = await self._home.choose(workspace_id)
            named = {**options, "content_type": content_type, "file_name": file_name}
            create = partial(self._assets.create, source=source, workspace_id=home, **named)
            return await self._ready(await _begun_anew(create), timeout)
        file = Path(source) if isinstance(source, str) else source
        content = await asyncio.to_thread(read_content, file, content_type=content_type, file_name=file_name)
        return await self._send(content, await self._home.choose(workspace_id), options, progress, timeout)

    async def url_of(self, content: Content, workspace_id: str | None) -> str:
        """The URL under which FLORA has a file; equal files are uploaded once.

        Raises:
            UploadError: It did not become an asset.
            FloraError: Any other error of a request, after all retries.
            ValueError: Nobody says which workspace it goes to.
        """
        home = await self._home.choose(workspace_id)
        key = (await asyncio.to_thread(content.digest), content.content_type, home)
        async with self._locks.hold(key):
            url = self._urls.get(key)
            if url is None:
                asset = await self._send(content, home, {}, None, self._poll.timeout)
                url = str(asset.url)
                self._urls[key] = url
            return url

    async def _send(
        self,
        content: Content,
        home: str,
        options: dict[str, Any],
        progress: Progress | None,
        timeout: float | None,  # noqa: ASYNC109 - as above
    ) -> Asset:
        file = file_of(content, None if progress is None else lambda sent: progress(sent, content.size))
        named = {**options, "content_type": content.content_type, "file_name": content.name}
        if content.size <= LARGEST_DIRECT:
            form = form_of(file, {"workspace_id": home, **named})
            return await self._ready(await _begun_anew(partial(create_directly, self._client, form)), timeout)
        reserve = partial(self._assets.create, source=SIGNED_URL, workspace_id=home, **named)
        asset = await _begun_anew(reserve)
        try:
            return await self._store(asset, file, timeout)
        except (APIStatusError, UploadError) as error:
            if not _is_worth_another_place(error):
                raise
            first = error
        try:
            asset = await self._renewed(asset, reserve)
            return await self._store(asset, file, timeout)
        except APIStatusError as error:
            why = f"{first}; then {error}" if error.status != getattr(first, "status", None) else str(error)
            raise UploadError(f"{content.name!r:.60} was refused twice: {why}", asset) from error

    async def _store(self, asset: Asset, file: File, timeout: float | None) -> Asset:  # noqa: ASYNC109 - as above
        """Send a file to the place that FLORA reserved for it: as a form, or the bytes alone to `upload_url`."""
        place = asset.upload
        if place is not None and place.method.upper() in _METHODS:
            form = form_of(file, place.form_fields, place.file_field)
            await self._storage.store(place.method.upper(), place.url, form)
        elif place is None and asset.upload_url:
            await self._storage.store("PUT", asset.upload_url, file)
        else:
            raise UploadError(f"FLORA named no place to upload {asset.asset_id!r:.60} to", asset)
        return await self._ready(await self._completed(asset.asset_id), timeout)

    async def _renewed(self, asset: Asset, reserve: Callable[[], Awaitable[Asset]]) -> Asset:
        """Another place for the file: of the same asset, or of another while FLORA does not know that it has failed."""
        try:
            return await _begun_anew(partial(self._assets.retry, asset.asset_id))
        except APIStatusError as error:
            if is_transient(error):
                raise
            return await _begun_anew(reserve)

    async def _completed(self, asset_id: str) -> Asset:
        """The asset once FLORA knows that its file is there, also where the answer to that got lost."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._assets.complete(asset_id)
            except SubmissionUnknownError:
                asset = await self._assets.retrieve(asset_id)
                if asset.status != AssetStatus.PENDING_UPLOAD:
                    return asset
        try:
            return await self._assets.complete(asset_id)
        except SubmissionUnknownError as error:
            raise UploadError("FLORA's answers did not arrive. Nothing was spent: upload again") from error

    async def _ready(self, asset: Asset, timeout: float | None) -> Asset:  # noqa: ASYNC109 - on the session's clock
        """The asset once it can be used."""
        clock, schedule = self._clock, PollSchedule(self._poll, self._clock)
        began = now = clock.monotonic()
        while not (asset.is_failed or (asset.is_ready and asset.url)):
            if timeout is not None and now - began >= timeout:
                raise UploadError(
                    f"Asset {asset.asset_id!r:.60} is still {asset.status} after {timeout:.3g} s: look again with "
                    "assets.retrieve, or allow more time",
                    asset,
                )
            pause = schedule.next()
            await clock.sleep(pause if timeout is None else min(pause, began + timeout - now))
            now = clock.monotonic()
            asset = await self._assets.retrieve(asset.asset_id)
        if asset.is_failed:
            why = asset.failure_message or "FLORA does not say why"
            raise UploadError(f"Asset {asset.asset_id!r:.60} failed: {why}", asset)
        return asset


async def _begun_anew(create: Callable[[], Awaitable[Asset]]) -> Asset:
    """The asset, begun again under another key where nobody can say what became of it: at worst one is left over."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(*_IN_DOUBT):
            return await create()
    try:
        return await create()
    except _IN_DOUBT as error:
        raise UploadError("FLORA's answers did not arrive. Nothing was spent: upload again") from error


def _is_worth_another_place(error: FloraError) -> bool:
    """Whether the place was at fault: it has expired, or FLORA could not take the file from it."""
    if isinstance(error, UploadError):
        return error.asset is not None and error.asset.is_failed
    return not is_transient(error)
