"""`flora.techniques`."""

from flora_async._codec import decode
from flora_async._road import Road
from flora_async._urls import segment
from flora_async._wire import Response
from flora_async.models import Technique
from flora_async.resources.runs import TechniqueRuns


class Techniques:
    """Workflows that people have built on FLORA's canvas.

    Attributes:
        runs: Starting and finding their runs.
    """

    def __init__(self, road: Road) -> None:
        self._road = road
        self.runs = TechniqueRuns(road)

    async def retrieve(self, technique_id: str) -> Technique:
        """Read what a technique takes, gives and costs (FLORA's page "Retrieve a technique").

        Args:
            technique_id: The technique's slug or id (`tech_…`).

        Returns:
            The technique.

        Raises:
            NotFoundError: There is no such technique for this key.
            FloraError: Any other error of the request, after all retries.
            ValueError: The id is blank.

        Example:
            >>> technique = await flora.techniques.retrieve("cctv-cam")
            >>> technique.technique_id, technique.run_cost, [item.id for item in technique.inputs]
            ('tech_cctv_cam', 0.05, ['input_image'])
        """
        request = self._road.request("GET", f"/techniques/{segment('technique_id', technique_id)}", kind="technique")
        return await self._road.fetch(request, _read_technique)


def _read_technique(response: Response) -> Technique:
    return decode(response.body, Technique, request_id=response.request_id)
