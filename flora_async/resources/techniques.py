"""`flora.techniques`."""

from flora_async._road import Road
from flora_async.resources.runs import TechniqueRuns


class Techniques:
    """Workflows that people have built on FLORA's canvas.

    Attributes:
        runs: Starting and finding their runs.
    """

    def __init__(self, road: Road) -> None:
        self.runs = TechniqueRuns(road)
