"""What techniques are: read once, and remembered for a while."""

import asyncio
from collections import OrderedDict
from typing import Final

from flora_async._clock import Clock
from flora_async._codec import decode
from flora_async._road import Road
from flora_async._urls import segment
from flora_async._wire import Response
from flora_async.models import Technique

_LIFETIME: Final = 300.0  # seconds; people edit their techniques while programs run
_MOST: Final = 256


async def read_technique(road: Road, technique_id: str) -> Technique:
    """Ask FLORA for a technique (its page "Retrieve a technique").

    Raises:
        FloraError: Any error of the request, after all retries.
        ValueError: The id is blank.
    """
    request = road.request("GET", f"/techniques/{segment('technique_id', technique_id)}", kind="technique")
    return await road.fetch(request, _read)


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
        self._asking: dict[str, asyncio.Lock] = {}

    async def find(self, technique_id: str, *, since: float | None = None) -> Technique:
        """A technique as FLORA described it a short time ago.

        Args:
            technique_id: The slug or id.
            since: Not as it was known before this moment (seconds of the clock); None = five minutes ago.

        Raises:
            FloraError: Any error of the request, after all retries.
            ValueError: The id is blank.
        """
        lock = self._asking.setdefault(technique_id, asyncio.Lock())
        try:
            async with lock:
                oldest = self._clock.monotonic() - _LIFETIME if since is None else since
                asked, technique = self._known.get(technique_id, (None, None))
                if technique is None or asked is None or asked < oldest:
                    asked = self._clock.monotonic()
                    technique = await read_technique(self._road, technique_id)
                    self._known[technique_id] = asked, technique
                    if len(self._known) > _MOST:
                        self._known.popitem(last=False)
                return technique
        finally:
            if not lock.locked():
                self._asking.pop(technique_id, None)


def _read(response: Response) -> Technique:
    return decode(response.body, Technique, request_id=response.request_id)
