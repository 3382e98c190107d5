"""FLORA's own operations on assets, of which uploading is made."""

from typing import Final

from flora_async import models
from flora_async._pages import Pager
from flora_async._road import Road
from flora_async._urls import check_https, segment
from flora_async.resources._arguments import optional, words
from flora_async.resources._operation import change, listed, read

SIGNED_URL: Final = "signed-url"


class AssetOperations:
    """Files that runs and canvases can use, one operation at a time."""

    def __init__(self, road: Road) -> None:
        self._road = road

    async def create(  # noqa: PLR0913 - FLORA's own fields
        self,
        *,
        source: str,
        workspace_id: str,
        content_type: str | None = None,
        file_name: str | None = None,
        folder: str | None = None,
        project_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> "models.Asset":
        """Make an asset of a URL, or reserve one for bytes to be handed in (FLORA's `POST /assets`).

        Args:
            source: A public https URL of a file of up to 50 MB, which FLORA fetches; or `signed-url`: then the asset's
                `upload` says where the bytes belong, and `complete` comes after them.
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
            ValueError: `source` is neither, or an argument is blank; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> asset = await flora.assets.create(source="https://example.com/photo.png", workspace_id="ws_local")
            >>> asset.is_ready
            True
        """
        body = {
            "source": source if source == SIGNED_URL else check_https("source", source),
            "workspace_id": words("workspace_id", workspace_id),
            "content_type": optional(words, "content_type", content_type),
            "file_name": optional(words, "file_name", file_name),
            "folder": optional(words, "folder", folder),
            "project_id": optional(words, "project_id", project_id),
        }
        return await change(self._road, "POST", "/assets", models.Asset, body=body, idempotency_key=idempotency_key)

    async def complete(self, asset_id: str, *, idempotency_key: str | None = None) -> "models.Asset":
        """Say that the bytes of a reserved asset are handed in (FLORA's `POST /assets/{asset_id}/complete`).

        Args:
            asset_id: The asset (`asset_…`).
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The asset; not always ready at once, so that `retrieve` may have to be asked.

        Raises:
            SubmissionUnknownError: It may have been done, but no answer says so.
            FloraError: FLORA refused, as when there are no bytes, or was never reached.
            ValueError: The id is blank.

        Example:
            >>> asset = await flora.assets.create(source="signed-url", workspace_id="ws_local")
            >>> await flora.assets.complete(asset.asset_id)  # before the bytes are there
            Traceback (most recent call last):
            flora_async.errors.ConflictError: ...
        """
        path = f"/assets/{segment('asset_id', asset_id)}/complete"
        return await change(self._road, "POST", path, models.Asset, idempotency_key=idempotency_key)

    async def retry(self, asset_id: str, *, idempotency_key: str | None = None) -> "models.Asset":
        """Reserve anew an asset whose upload has failed or expired (FLORA's `POST /assets/{asset_id}/retry`).

        Args:
            asset_id: The asset (`asset_…`).
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The asset; its `upload` says where the bytes belong now.

        Raises:
            SubmissionUnknownError: It may have been done, but no answer says so.
            FloraError: FLORA refused, as for an asset that is ready, or was never reached.
            ValueError: The id is blank.

        Example:
            >>> asset = await flora.assets.create(source="signed-url", workspace_id="ws_local")
            >>> fake.expire_uploads()
            >>> (await flora.assets.retry(asset.asset_id)).upload.method
            'POST'
        """
        path = f"/assets/{segment('asset_id', asset_id)}/retry"
        return await change(self._road, "POST", path, models.Asset, idempotency_key=idempotency_key)

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
            limit: Items on one page, 1 to 100; None = as FLORA likes.
            cursor: Begin at this page, from an earlier `Page.next_cursor`.

        Returns:
            A `Pager`; `async for` goes over all assets, `await` gives the first page, `.pages()` goes over the pages.

        Raises:
            ValueError: `limit` is out of range, or a filter is blank.
            TypeError: A filter is no text.

        Example:
            >>> asset = await flora.assets.create(source="https://example.com/photo.png", workspace_id="ws_local")
            >>> [item.asset_id == asset.asset_id async for item in flora.assets.list(workspace_id="ws_local")]
            [True]
        """
        filters = {"workspace_id": workspace_id, "project_id": project_id, "query": query}
        return listed(self._road, "/assets", models.Asset, under="assets", filters=filters, limit=limit, cursor=cursor)

    async def retrieve(self, asset_id: str) -> "models.Asset":
        """Look at an asset once (FLORA's `GET /assets/{asset_id}`).

        Args:
            asset_id: The asset (`asset_…`).

        Returns:
            The asset as it is now.

        Raises:
            NotFoundError: There is no such asset for this key.
            FloraError: Any other error of the request, after all retries.
            ValueError: The id is blank.

        Example:
            >>> asset = await flora.assets.create(source="https://example.com/photo.png", workspace_id="ws_local")
            >>> (await flora.assets.retrieve(asset.asset_id)).uploaded_via
            'url'
        """
        return await read(self._road, f"/assets/{segment('asset_id', asset_id)}", models.Asset)
