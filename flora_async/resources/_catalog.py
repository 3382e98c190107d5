"""What techniques are: read once, and remembered for a while."""

from collections import OrderedDict
from typing import Final

from flora_async._clock import Clock
from flora_async._road import Road
from flora_async._urls import segment
from flora_async.models import Technique
from flora_async.resources._operation import read
from flora_async.resources._turns import Turns

_LIFETIME: Final = 300.0  # seconds; people edit their techniques while programs run
_MOST: Final = 256


async def read_technique(road: Road, technique_id: str) -> Technique:
    """Ask FLORA for a technique (its page "Retrieve a technique").

    Raises:
        FloraError: Any error of the request, after all retries.
        ValueError: The id is blank.
    """
    path = f"/techniques/{segment('technique_id', technique_id)}"
    return await read(road, path, Technique, counted_as="technique")


class Catalog:
    """Techniques by slug or id, each asked for once in five minutes.

    Args:
        road: The way to FLORA.
        clock: Tells how old an answer is.
    """

    def __init__(self, road: Road, clock: Clock) -> None:
        self._road = road
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Technique]] = OrderedDict()
        self._turns = Turns()

    async def find(self, technique_id: str, *, since: float | None = None) -> Technique:
        """A technique as FLORA described it a short time ago.

        Args:
            technique_id: The slug or id.
            since: Not as it was known before this moment (seconds of the clock); None = five minutes ago.

        Raises:
            FloraError: Any error of the request, after all retries.
            ValueError: The id is blank.
        """
        async with self._turns.of(technique_id):
            oldest = self._clock.monotonic() - _LIFETIME if since is None else since
            asked, technique = self._known.get(technique_id, (None, None))
            if technique is None or asked is None or asked < oldest:
                asked = self._clock.monotonic()
                technique = await read_technique(self._road, technique_id)
                self._known[technique_id] = asked, technique
                if len(self._known) > _MOST:
                    self._known.popitem(last=False)
            return technique
