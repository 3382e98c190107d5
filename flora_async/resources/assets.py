"""`flora.assets`: files uploaded to FLORA."""

from flora_async import models
from flora_async._checks import identifier, non_blank, optional
from flora_async._http.client import Client
from flora_async._http.urls import check_https
from flora_async._threads import off_loop
from flora_async.media.content import FileSource, read_content
from flora_async.media.store_urls import refuse_store_url
from flora_async.resources._operations import Operations, fetch, mutate, paginate
from flora_async.resources._pager import Pager
from flora_async.resources._uploads import (
    MAX_DIRECT_SIZE,
    SIGNED_URL,
    Progress,
    Uploads,
    UploadSource,
    create_directly,
    file_of,
    form_of,
)


class Assets(Operations):
    """Files that runs and canvases can use: upload one, find one."""

    def __init__(self, client: Client, uploads: Uploads) -> None:
        self._client = client
        self._uploads = uploads

    async def upload(  # noqa: PLR0913 - as FLORA's operation
        self,
        source: UploadSource,
        *,
        workspace_id: str | None = None,
        content_type: str | None = None,
        file_name: str | None = None,
        folder: str | None = None,
        project_id: str | None = None,
        progress: Progress | None = None,
        timeout: float | None = 300.0,  # noqa: ASYNC109 - of the wait for FLORA, on the session's clock
    ) -> "models.Asset":
        """Upload a file of any size, and wait until it can be used.

        The ways are those of FLORA's page "Create an asset upload". A URL is fetched by FLORA. A file of up to 4 MB
        goes in one request; a larger one is streamed from the disk to the storage host that FLORA names, which does not
        get the key. Transient failures are tried again; a reservation that expired or failed is renewed
        once. An upload costs nothing.

        Args:
            source: A public https URL of up to 50 MB, or a file: a path (also as text), bytes, or a file open for
                reading bytes, which is read from where it stands and left open.
            workspace_id: The workspace it will belong to (`ws_…`); None = the session's, or the only one there is.
            content_type: The type of the file, such as `image/png`; None = judged by its content (extra `media`)
                or its name.
            file_name: What to call it; None = its own name.
            folder: Where to file it.
            project_id: A project on whose canvas to show it as well (`prj_…`).
            progress: Called with the bytes sent and the bytes in all. It starts again after a failed attempt.
            timeout: Seconds to wait until FLORA has processed it, once it has arrived; None = no limit. Default 300.

        Returns:
            The asset, ready: its `url` can be an input.

        Raises:
            UploadError: It did not become an asset.
            FloraError: Any other error of a request, after all retries.
            ValueError: The file is empty or of a type that FLORA does not take, or another argument is invalid;
                nothing was sent.
            OSError: The file does not exist or cannot be read; nothing was sent.

        Example:
            >>> from pathlib import Path
            >>> Path("notes.pdf").write_bytes(b"%PDF-1.7 and so on")
            18
            >>> asset = await flora.assets.upload("notes.pdf", workspace_id="ws_local")
            >>> asset.is_ready
            True
        """
        return await self._uploads.upload(
            source,
            workspace_id=workspace_id,
            content_type=content_type,
            file_name=file_name,
            folder=folder,
            project_id=project_id,
            progress=progress,
            timeout=timeout,
        )

    async def create(  # noqa: PLR0913 - FLORA's own fields
        self,
        *,
        source: str | None = None,
        file: FileSource | None = None,
        workspace_id: str,
        content_type: str | None = None,
        file_name: str | None = None,
        folder: str | None = None,
        project_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> "models.Asset":
        """Make an asset of a URL or a file, or reserve one to upload its content later (FLORA's `POST /assets`).

        `upload` takes files of any size, chooses the way for each, and waits until it can be used.

        Args:
            source: A public https URL of a file of up to 50 MB, which FLORA fetches; or `signed-url`: then the asset's
                `upload` says where to send the content, and `complete` has to be called after that.
            file: Instead, a file of up to 4 MB: a path, bytes, a file open for reading bytes, or one in a store.
            workspace_id: The workspace it will belong to (`ws_…`).
            content_type: The type of the file, such as `image/png`.
            file_name: What to call the file.
            folder: Where to file it.
            project_id: A project on whose canvas to show it as well (`prj_…`).
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The asset.

        Raises:
            SubmissionUnknownError: The asset may exist, but no answer says so.
            FloraError: FLORA refused, or was never reached; there is no asset.
            ValueError: There is neither one source nor one file, the file is too large or of a type that FLORA does not
                take, or an argument is blank; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.
            OSError: The file cannot be read; nothing was sent.

        Example:
            >>> asset = await flora.assets.create(source="https://example.com/photo.png", workspace_id="ws_local")
            >>> asset.is_ready
            True
        """
        if (source is None) is (file is None):
            raise ValueError("assets.create takes one of two: source (an https URL, or 'signed-url'), or file")
        refuse_store_url("source", source)
        given = {
            "workspace_id": identifier("workspace_id", workspace_id),
            "content_type": optional(non_blank, "content_type", content_type),
            "file_name": optional(non_blank, "file_name", file_name),
            "folder": optional(non_blank, "folder", folder),
            "project_id": optional(identifier, "project_id", project_id),
        }
        if file is not None:
            content = await off_loop(read_content, file, content_type=content_type, file_name=file_name)
            if content.size > MAX_DIRECT_SIZE:
                raise ValueError(f"{content.name!r:.60} has {content.size:,} bytes, more than 4 MB: use assets.upload")
            form = form_of(file_of(content), {**given, "content_type": content.content_type, "file_name": content.name})
            return await create_directly(self._client, form, idempotency_key)
        body = {"source": source if source == SIGNED_URL else check_https("source", source), **given}
        return await mutate(self._client, "assets.create", models.Asset, body=body, idempotency_key=idempotency_key)

    async def complete(self, asset_id: str, *, idempotency_key: str | None = None) -> "models.Asset":
        """Report that the content of a reserved asset is uploaded (FLORA's `POST /assets/{asset_id}/complete`).

        Args:
            asset_id: The asset (`asset_…`).
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The asset. It may not be ready yet: call `retrieve` until it is.

        Raises:
            SubmissionUnknownError: It may have been done, but no answer says so.
            FloraError: FLORA refused, for example because nothing was uploaded, or was never reached.
            ValueError: The id is blank.

        Example:
            >>> asset = await flora.assets.create(source="signed-url", workspace_id="ws_local")
            >>> await flora.assets.complete(asset.asset_id)  # nothing was uploaded yet
            Traceback (most recent call last):
            flora_async.errors.ConflictError: ...
        """
        return await mutate(
            self._client, "assets.complete", models.Asset, {"asset_id": asset_id}, idempotency_key=idempotency_key
        )

    async def retry(self, asset_id: str, *, idempotency_key: str | None = None) -> "models.Asset":
        """Renew the reservation of an asset whose upload failed or expired (FLORA's `POST /assets/{asset_id}/retry`).

        Args:
            asset_id: The asset (`asset_…`).
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The asset; its `upload` says where to send the content now.

        Raises:
            SubmissionUnknownError: It may have been done, but no answer says so.
            FloraError: FLORA refused, for example because the asset is ready, or was never reached.
            ValueError: The id is blank.

        Example:
            >>> asset = await flora.assets.create(source="signed-url", workspace_id="ws_local")
            >>> fake.expire_uploads()
            >>> (await flora.assets.retry(asset.asset_id)).upload.method
            'POST'
        """
        return await mutate(
            self._client, "assets.retry", models.Asset, {"asset_id": asset_id}, idempotency_key=idempotency_key
        )

    def list(
        self,
        *,
        workspace_id: str | None = None,
        project_id: str | None = None,
        query: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Pager["models.Asset"]:
        """The assets that the key can see (FLORA's `GET /assets`).

        Args:
            workspace_id: Only assets of this workspace (`ws_…`).
            project_id: Only assets on the canvas of this project (`prj_…`).
            query: Only assets that match these words.
            limit: Items on one page, 1 to 100; None = FLORA's default.
            cursor: The page to begin at, from an earlier `Page.next_cursor`.

        Returns:
            A `Pager` of assets.

        Raises:
            ValueError: `limit` is out of range, or a filter is blank.
            TypeError: A filter is not text.

        Example:
            >>> asset = await flora.assets.create(source="https://example.com/photo.png", workspace_id="ws_local")
            >>> [item.asset_id == asset.asset_id async for item in flora.assets.list(workspace_id="ws_local")]
            [True]
        """
        filters = {"workspace_id": workspace_id, "project_id": project_id, "query": query}
        return paginate(
            self._client, "assets.list", models.Asset, items_key="assets", filters=filters, limit=limit, cursor=cursor
        )

    async def retrieve(self, asset_id: str) -> "models.Asset":
        """Read an asset once (FLORA's `GET /assets/{asset_id}`).

        Args:
            asset_id: The asset (`asset_…`).

        Returns:
            The asset as it is now.

        Raises:
            NotFoundError: The key has no access to an asset with this id.
            FloraError: Any other error of the request, after all retries.
            ValueError: The id is blank.

        Example:
            >>> asset = await flora.assets.create(source="https://example.com/photo.png", workspace_id="ws_local")
            >>> (await flora.assets.retrieve(asset.asset_id)).uploaded_via
            'url'
        """
        return await fetch(self._client, "assets.retrieve", models.Asset, {"asset_id": asset_id})
