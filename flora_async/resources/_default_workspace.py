"""Choose the workspace of a call that does not name one."""

from contextlib import aclosing
from typing import Final

from flora_async._cache import KeyedLocks
from flora_async._checks import check_workspace_id
from flora_async._http.client import Client
from flora_async.models import Workspace
from flora_async.resources._operations import paginate

_MAX_SHOWN: Final = 5


class DefaultWorkspace:
    """The workspace of a session.

    Args:
        client: Lists the workspaces.
        workspace_id: The session's workspace; None = the only one there is.
    """

    def __init__(self, client: Client, workspace_id: str | None) -> None:
        self._client = client
        self._workspace_id = workspace_id
        self._lock = KeyedLocks()

    async def choose(self, workspace_id: str | None) -> str:
        """The workspace of one call.

        Args:
            workspace_id: The workspace that the call named; None = the session's.

        Raises:
            ValueError: Neither names one, and the key reaches none or several.
            FloraError: The workspaces could not be listed.
        """
        if workspace_id is not None:
            return check_workspace_id(workspace_id)
        if self._workspace_id is None:
            async with self._lock.hold("workspace"):
                if self._workspace_id is None:
                    self._workspace_id = await self._only_one()
        return self._workspace_id

    async def _only_one(self) -> str:
        found: list[str] = []
        pager = paginate(self._client, "workspaces.list", Workspace, items_key="workspaces")
        async with aclosing(pager.pages()) as pages:
            async for page in pages:
                found += [workspace.workspace_id for workspace in page.items]
                found += ["?"] * len(page.problems)  # an unreadable workspace counts, too
                if len(found) > 1:
                    break
        if len(found) == 1 and found[0] != "?":
            return found[0]
        shown = ", ".join(found[:_MAX_SHOWN]) + (", …" if len(found) > _MAX_SHOWN else "")
        raise ValueError(
            f"this key reaches {len(found)} workspaces ({shown or 'none'}): say which one to use, by workspace_id=…, "
            "FloraSession(workspace_id=…) or the environment variable FLORA_WORKSPACE_ID"
        )
