"""Suggest the name that was probably meant, where FLORA refuses an unknown one."""

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from flora_async import models
from flora_async._http.client import Client
from flora_async._http.routes import ROUTES
from flora_async.errors import APIStatusError, FloraError, NotFoundError
from flora_async.models import Technique
from flora_async.resources._operations import read_page

ItemT = TypeVar("ItemT")

_TIMEOUT: Final = 10.0  # seconds; a hint must not hold up the error that it explains
_MAX_ITEMS: Final = 100
_MAX_NAME: Final = 64
_MAX_NAMES: Final = 200
_MAX_SHOWN: Final = 20


async def explain_technique(client: Client, error: NotFoundError, technique_id: str) -> None:
    """Name in a 404 the technique that was asked for, and the nearest one that exists, if FLORA can be asked."""
    if error.request_id is None:  # a proxy's 404 says nothing about techniques
        return
    names: dict[str, str] = {}
    for query in (technique_id, None):  # FLORA's own search first, then a list, for what the search does not find
        if nearest(technique_id, names) is None:
            params = {"query": query, "limit": _MAX_ITEMS}
            names |= _names_of(await _first_page(client, "techniques.list", Technique, "techniques", params))
    near = nearest(technique_id, names)
    _rephrase(error, "technique", technique_id, None if near is None else names[near])


async def explain_action(client: Client, error: NotFoundError, action_id: str) -> None:
    """Name in a 404 the action that was asked for, and the nearest one that exists, if FLORA can be asked."""
    if error.request_id is not None:
        found = await _first_page(client, "actions.list", models.Action, "actions", {})
        near = nearest(action_id, [action.action_id for action in found])
        _rephrase(error, "action", action_id, None if near is None else repr(near))


async def explain_model(client: Client, error: APIStatusError, medium: str, model_id: str) -> None:
    """Name in a refusal the model that was asked for, and the nearest one that exists, if it does not exist."""
    found = await _first_page(client, "models.list", models.GenerationModel, "models", {"type": medium})
    ids = [model.model_id for model in found]
    if ids and model_id not in ids:
        near = nearest(model_id, ids)
        _rephrase(error, f"{medium} model", model_id, None if near is None else repr(near))


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant; None = none of them."""
    from difflib import get_close_matches  # noqa: PLC0415 - for mistakes alone

    # Comparing takes quadratic time, and the server decides how many names there are, and how long.
    likely = sorted(names, key=lambda known: abs(len(known) - len(name)))[:_MAX_NAMES]
    by_folded = {known.casefold()[:_MAX_NAME]: known for known in likely}
    near = get_close_matches(name.casefold()[:_MAX_NAME], by_folded, n=1)
    return by_folded[near[0]] if near else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Suggest the nearest name, or else list the names."""
    known = tuple(names)
    near = nearest(name, known)
    if near is not None:
        return f"did you mean {near!r}?"
    return f"it takes {join_names(known) or 'none'}"


def join_names(names: Sequence[str]) -> str:
    """The first names, separated by commas."""
    return ", ".join(names[:_MAX_SHOWN]) + (", …" if len(names) > _MAX_SHOWN else "")


def _names_of(techniques: Iterable[Technique]) -> dict[str, str]:
    """Each name that a technique may be meant by, and how to show what FLORA accepts for it."""
    names: dict[str, str] = {}
    for item in techniques:
        shown = f"{item.technique_id!r} ({item.name})" if item.name else repr(item.technique_id)
        names |= dict.fromkeys((item.technique_id, item.name.replace(" ", "-")), shown)
    return names


def _rephrase(error: APIStatusError, noun: str, asked: str, near: str | None) -> None:
    code = f" {error.code}" if error.code else ""
    hint = "" if near is None else f"; did you mean {near[:80]}?"
    error.args = (f"{error.status}{code}: there is no {noun} {asked!r:.60} for this key{hint}",)


async def _first_page(
    client: Client, operation: str, model: type[ItemT], items_key: str, params: dict[str, str | int | None]
) -> tuple[ItemT, ...]:
    """Read one page within a few seconds; return nothing if that fails."""
    try:
        request = client.request(ROUTES[operation], {}, params=params)
        response = await client.attempt(request, client.clock.monotonic() + _TIMEOUT)
        return read_page(model, items_key, response).items
    except (FloraError, RuntimeError, ValueError):  # the error that is explained matters more
        return ()
