"""Caches of what FLORA can run: techniques, models and actions, each read at most once in five minutes."""

from collections.abc import Awaitable, Callable
from copy import copy
from functools import partial
from typing import Final, Generic, Self, TypeVar

from flora_async import models
from flora_async._cache import KeyedLocks, RecentItems
from flora_async._clock import Clock
from flora_async._http.client import Client
from flora_async.errors import FloraError, NotFoundError
from flora_async.models import Technique
from flora_async.resources._hints import explain_action, explain_technique
from flora_async.resources._operations import fetch, paginate

ValueT = TypeVar("ValueT")

_LIFETIME: Final = 300.0  # seconds; techniques are edited while programs run
_MAX_ITEMS: Final = 256


class ReadCache(Generic[ValueT]):
    """Values by key, each read once in five minutes, however many tasks ask for it.

    Args:
        read: Reads the value of a key.
        clock: Measures the age of a value.
    """

    def __init__(self, read: Callable[[str], Awaitable[ValueT]], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._known: RecentItems[str, tuple[float, ValueT]] = RecentItems(_MAX_ITEMS)
        self._locks = KeyedLocks()

    async def find(self, key: str, *, since: float | None = None) -> ValueT:
        """The value of a key.

        Args:
            key: What to read it by.
            since: The oldest reading to accept, in monotonic seconds; None = five minutes ago.

        Raises:
            FloraError: Any error of the request, after all retries.
            ValueError: The key is blank.
        """
        oldest = self._clock.monotonic() - _LIFETIME if since is None else since
        known = self._known.get(key)
        if known is not None and known[0] >= oldest:
            return known[1]
        async with self._locks.hold(key):
            known = self._known.get(key)  # another task may have read it meanwhile
            if known is None or known[0] < oldest:
                known = self._clock.monotonic(), await self._read(key)
                self._known[key] = known
            return known[1]

    def reading(self, read: Callable[[str], Awaitable[ValueT]]) -> Self:
        """The same cache with another way to read."""
        cache = copy(self)
        cache._read = read  # noqa: SLF001 - of this class
        return cache


class TechniqueCache(ReadCache[Technique]):
    """Techniques by slug or id.

    Args:
        client: Sends the requests.
        clock: Measures the age of a value.
    """

    def __init__(self, client: Client, clock: Clock) -> None:
        super().__init__(partial(read_technique, client), clock)

    def using(self, client: Client) -> "TechniqueCache":
        """The same cache with another client of the same session."""
        return self.reading(partial(read_technique, client))

    async def find_id(self, technique_id: str) -> str | None:
        """The id of a technique that is named by slug or id; None where FLORA does not say."""
        try:
            return (await self.find(technique_id)).technique_id
        except FloraError:
            return None


class Catalog:
    """The models and actions that a session can run.

    Args:
        client: Sends the requests.
        clock: Measures the age of what was read.
    """

    def __init__(self, client: Client, clock: Clock) -> None:
        self._models: ReadCache[dict[str, models.GenerationModel]] = ReadCache(partial(_read_models, client), clock)
        self._actions: ReadCache[models.Action] = ReadCache(partial(read_action, client), clock)
        self.now = clock.monotonic

    def using(self, client: Client) -> "Catalog":
        """The same catalog with another client of the same session."""
        catalog = copy(self)
        catalog._models = self._models.reading(partial(_read_models, client))  # noqa: SLF001 - of this class
        catalog._actions = self._actions.reading(partial(read_action, client))  # noqa: SLF001 - of this class
        return catalog

    async def find_models(self, *, since: float | None = None) -> "dict[str, models.GenerationModel]":
        """Every model by its id, read at most five minutes ago, or not before `since` (monotonic seconds)."""
        return await self._models.find("", since=since)

    async def find_action(self, action_id: str, *, since: float | None = None) -> "models.Action":
        """An action, read at most five minutes ago, or not before `since` (monotonic seconds)."""
        return await self._actions.find(action_id, since=since)


async def read_technique(client: Client, technique_id: str) -> Technique:
    """Read a technique by its slug or id.

    Raises:
        NotFoundError: FLORA does not know the technique; the message names the nearest one.
        FloraError: Any other error of the request, after all retries.
        ValueError: The id is blank.
    """
    try:
        return await fetch(client, "techniques.retrieve", Technique, {"technique_id": technique_id})
    except NotFoundError as error:
        await explain_technique(client, error, technique_id)
        raise


async def read_action(client: Client, action_id: str) -> "models.Action":
    """Read an action by its slug.

    Raises:
        NotFoundError: FLORA does not know the action; the message names the nearest one.
        FloraError: Any other error of the request, after all retries.
        ValueError: The slug is blank.
    """
    try:
        return await fetch(client, "actions.retrieve", models.Action, {"action_id": action_id})
    except NotFoundError as error:
        await explain_action(client, error, action_id)
        raise


async def _read_models(client: Client, _: str) -> "dict[str, models.GenerationModel]":
    pager = paginate(client, "models.list", models.GenerationModel, items_key="models")
    return {model.model_id: model async for model in pager}
