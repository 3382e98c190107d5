"""`flora.assets`: the files that people bring to FLORA."""

from typing import TYPE_CHECKING

from flora_async._http.client import Client
from flora_async.resources._assets import AssetOperations
from flora_async.resources._uploads import Progress, Uploads, UploadSource

if TYPE_CHECKING:
    from flora_async import models


class Assets(AssetOperations):
    """Files that runs and canvases can use."""

    def __init__(self, client: Client, uploads: Uploads) -> None:
        super().__init__(client)
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
        """Bring a file to FLORA, whatever its size, and wait until it can be used.

        The ways are those of FLORA's page "Create an asset upload". A URL is fetched by FLORA. A file of up to 4 MB
        goes in one request; a larger one is streamed from the disk to the storage host that FLORA names, which does not
        get the key. What fails for reasons that may pass is tried again; a reservation that has expired or failed is
        renewed once. An upload costs nothing.

        Args:
            source: A public https URL of up to 50 MB, or a file: a path (also as text), bytes, or a file open for
                reading bytes, which is read from where it stands and left open.
            workspace_id: Where it goes (`ws_…`); None = the session's workspace, or the only one there is.
            content_type: The type of the file, such as `image/png`; None = as its content says (extra `media`), or
                else its name.
            file_name: What to call it; None = as it is called.
            folder: Where to file it.
            project_id: A project on whose canvas to show it as well (`prj_…`).
            progress: Called with the bytes sent and the bytes there are. After a failed attempt it begins anew.
            timeout: Seconds to wait until FLORA has processed it, once it is there; None = no limit. Default 300.

        Returns:
            The asset, ready: its `url` can be an input.

        Raises:
            UploadError: It did not become an asset.
            FloraError: Any other error of a request, after all retries.
            ValueError: The file is empty or of a type that FLORA does not take, or another argument cannot be right;
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
