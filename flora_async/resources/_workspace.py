"""Which workspace a file goes to, where the caller does not say."""

from typing import Final

from flora_async._road import Road
from flora_async._wire import check_workspace_id
from flora_async.models import Workspace
from flora_async.resources._operation import listed

_SHOWN: Final = 5


class HomeWorkspace:
    """The workspace of a session.

    Args:
        road: The way to FLORA, which says which ones there are.
        workspace_id: The one that the session was given; None = the only one there is.
    """

    def __init__(self, road: Road, workspace_id: str | None) -> None:
        self._road = road
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
            workspaces = listed(self._road, "/workspaces", Workspace, under="workspaces")
            found = [workspace.workspace_id async for workspace in workspaces]
            if len(found) != 1:
                names = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
                raise ValueError(
                    f"this key reaches {len(found)} workspaces ({names or 'none'}): say which one takes the file, by "
                    "workspace_id=…, FloraSession(workspace_id=…) or the environment variable FLORA_WORKSPACE_ID"
                )
            self._workspace_id = found[0]
        return self._workspace_id
