"""What techniques are: read once, and remembered for a while."""

from typing import Final

from flora_async._cache import KeyedLocks, RecentItems
from flora_async._clock import Clock
from flora_async._http.client import Client
from flora_async.models import Technique
from flora_async.resources._operations import fetch

_LIFETIME: Final = 300.0  # seconds; people edit their techniques while programs run
_MOST: Final = 256


async def read_technique(client: Client, technique_id: str) -> Technique:
    """Ask FLORA for a technique (its page "Retrieve a technique").

    Raises:
        FloraError: Any error of the request, after all retries.
        ValueError: The id is blank.
    """
    return await fetch(client, "techniques.retrieve", Technique, technique_id=technique_id)


class TechniqueCache:
    """Techniques by slug or id, each asked for once in five minutes.

    Args:
        client: The way to FLORA.
        clock: Tells how old an answer is.
    """

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._known: RecentItems[str, tuple[float, Technique]] = RecentItems(_MOST)
        self._locks = KeyedLocks()

    async def find(self, technique_id: str, *, since: float | None = None) -> Technique:
        """A technique as FLORA described it a short time ago.

        Args:
            technique_id: The slug or id.
            since: Not as it was known before this moment (seconds of the clock); None = five minutes ago.

        Raises:
            FloraError: Any error of the request, after all retries.
            ValueError: The id is blank.
        """
        async with self._locks.hold(technique_id):
            oldest = self._clock.monotonic() - _LIFETIME if since is None else since
            asked, technique = self._known.get(technique_id) or (None, None)
            if technique is None or asked is None or asked < oldest:
                asked = self._clock.monotonic()
                technique = await read_technique(self._client, technique_id)
                self._known[technique_id] = asked, technique
            return technique
