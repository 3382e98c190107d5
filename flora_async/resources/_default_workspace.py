"""Which workspace a file goes to, where the caller does not say."""

from typing import Final

from flora_async._checks import check_workspace_id
from flora_async._http.client import Client
from flora_async.models import Workspace
from flora_async.resources._operations import paginate

_SHOWN: Final = 5


class DefaultWorkspace:
    """The workspace of a session.

    Args:
        client: The way to FLORA, which says which ones there are.
        workspace_id: The one that the session was given; None = the only one there is.
    """

    def __init__(self, client: Client, workspace_id: str | None) -> None:
        self._client = client
        self._workspace_id = workspace_id

    async def choose(self, workspace_id: str | None) -> str:
        """The workspace of one call.

        Args:
            workspace_id: The one that the call was given; None = the session's.

        Raises:
            ValueError: Nobody named one, and the key reaches none or several.
            FloraError: The workspaces could not be listed.
        """
        if workspace_id is not None:
            return check_workspace_id(workspace_id)
        if self._workspace_id is None:
            workspaces = paginate(self._client, "workspaces.list", Workspace, items_key="workspaces")
            found = [workspace.workspace_id async for workspace in workspaces]
            if len(found) != 1:
                names = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
                raise ValueError(
                    f"this key reaches {len(found)} workspaces ({names or 'none'}): say which one takes the file, by "
                    "workspace_id=…, FloraSession(workspace_id=…) or the environment variable FLORA_WORKSPACE_ID"
                )
            self._workspace_id = found[0]
        return self._workspace_id
