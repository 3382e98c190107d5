"""Choose the workspace of a call that does not name one."""

from contextlib import aclosing
from copy import copy
from typing import Final

from flora_async._cache import KeyedLocks
from flora_async._checks import identifier
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
        self._chosen = [] if workspace_id is None else [workspace_id]  # shared with the views of the session
        self._lock = KeyedLocks()

    def using(self, client: Client) -> "DefaultWorkspace":
        """The same workspace, found with another client of the same session."""
        workspace = copy(self)
        workspace._client = client  # noqa: SLF001 - of this class
        return workspace

    async def choose(self, workspace_id: str | None) -> str:
        """The workspace of one call.

        Args:
            workspace_id: The workspace that the call named; None = the session's.

        Raises:
            ValueError: Neither names one, and the key reaches none or several.
            FloraError: The workspaces could not be listed.
        """
        if workspace_id is not None:
            return identifier("workspace_id", workspace_id)
        if not self._chosen:
            async with self._lock.hold("workspace"):
                if not self._chosen:
                    self._chosen.append(await self._only_one())
        return self._chosen[0]

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
