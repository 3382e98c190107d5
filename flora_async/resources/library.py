"""`flora.workspaces.library`: saved images and texts."""

from http import HTTPStatus
from typing import Literal, get_args

from flora_async import models
from flora_async._checks import non_blank, one_of, optional
from flora_async._http.client import Client
from flora_async._http.responses import Response
from flora_async._http.urls import check_https
from flora_async.resources._operations import Operations, mutate, read_model

ItemKind = Literal["image", "text"]


class Library(Operations):
    """Saved images and texts.

    Attributes:
        folders: Their folders.
    """

    def __init__(self, client: Client) -> None:
        self.folders = LibraryFolders(client)


class LibraryFolders(Operations):
    """Folders of saved images and texts."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create(
        self, workspace_id: str, *, name: str | None = None, idempotency_key: str | None = None
    ) -> "models.LibraryFolder":
        """Create a folder (FLORA's `POST /workspaces/{workspace_id}/library/folders`).

        Args:
            workspace_id: The workspace (`ws_…`).
            name: What to call it; None = FLORA chooses a name.
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The folder.

        Raises:
            SubmissionUnknownError: The folder may exist, but no answer says so.
            FloraError: FLORA refused, or was never reached; there is no folder.
            ValueError: An argument is blank; nothing was sent.

        Example:
            >>> (await flora.workspaces.library.folders.create("ws_local", name="Clips")).name
            'Clips'
        """
        body = {"name": optional(non_blank, "name", name)}
        return await mutate(
            self._client,
            "workspaces.library.folders.create",
            models.LibraryFolder,
            {"workspace_id": workspace_id},
            body=body,
            idempotency_key=idempotency_key,
        )

    async def delete(
        self, folder_id: str, *, workspace_id: str, idempotency_key: str | None = None
    ) -> "models.LibraryFolder":
        """Delete a folder (FLORA's `DELETE /workspaces/{workspace_id}/library/folders/{folder_id}`).

        What is in it stays in the library.

        Args:
            folder_id: The folder (`libfolder_…`).
            workspace_id: The workspace it is in (`ws_…`).
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The deleted folder.

        Raises:
            SubmissionUnknownError: It may be deleted, but no answer says so.
            NotFoundError: There is no such folder for this key.
            FloraError: FLORA refused otherwise, or was never reached.
            ValueError: An id is blank.

        Example:
            >>> folder = await flora.workspaces.library.folders.create("ws_local")
            >>> (await flora.workspaces.library.folders.delete(folder.folder_id, workspace_id="ws_local")).deleted
            True
        """

        def read(response: Response) -> models.LibraryFolder:
            if response.status == HTTPStatus.NO_CONTENT:
                return models.LibraryFolder(folder_id=folder_id, deleted=True)
            return read_model(models.LibraryFolder, response)

        return await mutate(
            self._client,
            "workspaces.library.folders.delete",
            models.LibraryFolder,
            {"workspace_id": workspace_id, "folder_id": folder_id},
            idempotency_key=idempotency_key,
            read=read,
        )

    async def add_item(  # noqa: PLR0913 - FLORA's own fields
        self,
        folder_id: str,
        *,
        workspace_id: str,
        type: ItemKind | None = None,  # noqa: A002 - FLORA's name
        source: str | None = None,
        text: str | None = None,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> "models.LibraryItem":
        """Save an image or a text (FLORA's `POST /workspaces/{workspace_id}/library/folders/{folder_id}/items`).

        Args:
            folder_id: The folder (`libfolder_…`).
            workspace_id: The workspace it is in (`ws_…`).
            type: `image` or `text`; None = an image.
            source: The public https URL of the image, which FLORA fetches.
            text: The text.
            description: Its description.
            idempotency_key: Your own key for this one call; None = a new one.

        Returns:
            The item.

        Raises:
            SubmissionUnknownError: The item may exist, but no answer says so.
            FloraError: FLORA refused, or was never reached; there is no item.
            ValueError: An image has no `source`, a text no `text`, or an argument is blank; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> folder = await flora.workspaces.library.folders.create("ws_local")
            >>> item = await flora.workspaces.library.folders.add_item(
            ...     folder.folder_id, workspace_id="ws_local", source="https://example.com/photo.png"
            ... )
            >>> item.folder_id == folder.folder_id
            True
        """
        body = {
            "type": None if type is None else one_of("type", type, get_args(ItemKind)),
            "source": optional(check_https, "source", source),
            "text": optional(non_blank, "text", text),
            "description": optional(non_blank, "description", description),
        }
        needed = "text" if type == "text" else "source"
        if body[needed] is None:
            raise ValueError(f"{needed} is missing: an image needs its source, a text type='text' and its text")
        return await mutate(
            self._client,
            "workspaces.library.folders.add_item",
            models.LibraryItem,
            {"workspace_id": workspace_id, "folder_id": folder_id},
            body=body,
            idempotency_key=idempotency_key,
        )
