"""`flora.techniques`."""

from flora_async._http.client import Client
from flora_async.models import Technique
from flora_async.resources._catalog import read_technique
from flora_async.resources._operations import Operations, paginate
from flora_async.resources._pager import Pager
from flora_async.resources.runs import TechniqueRuns


class Techniques(Operations):
    """Workflows built on FLORA's canvas.

    Attributes:
        runs: Their runs.
    """

    def __init__(self, client: Client, runs: TechniqueRuns) -> None:
        self._client = client
        self.runs = runs

    async def retrieve(self, technique_id: str) -> Technique:
        """Read what a technique takes, returns and costs (FLORA's page "Get a technique").

        Args:
            technique_id: The technique's slug or id (`tech_…`).

        Returns:
            The technique.

        Raises:
            NotFoundError: There is no such technique for this key; the message names the nearest one.
            FloraError: Any other error of the request, after all retries.
            ValueError: The id is blank.

        Example:
            >>> technique = await flora.techniques.retrieve("cctv-cam")
            >>> technique.technique_id, technique.run_cost, [item.id for item in technique.inputs]
            ('tech_cctv_cam', 0.05, ['input_image'])
        """
        return await read_technique(self._client, technique_id)

    def list(
        self,
        *,
        query: str | None = None,
        workspace_id: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Pager[Technique]:
        """The techniques that the key can use (FLORA's `GET /techniques`).

        Args:
            query: Only techniques that match this text.
            workspace_id: Only techniques of this workspace (`ws_…`).
            limit: Items on one page, 1 to 100; None = FLORA's default.
            cursor: The page to begin at, from an earlier `Page.next_cursor`.

        Returns:
            A `Pager` of techniques.

        Raises:
            ValueError: `limit` is out of range, or a filter is blank.
            TypeError: A filter is not text.

        Example:
            >>> [technique.technique_id async for technique in flora.techniques.list(query="cctv")]
            ['tech_cctv_cam']
        """
        filters = {"query": query, "workspace_id": workspace_id}
        return paginate(
            self._client,
            "techniques.list",
            Technique,
            items_key="techniques",
            filters=filters,
            limit=limit,
            cursor=cursor,
        )
