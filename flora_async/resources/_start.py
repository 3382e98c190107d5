"""Starting runs of techniques: what a start says, and what comes back (FLORA's page "Start a technique run")."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, TypeVar, get_args

from attrs import evolve, field, frozen

from flora_async._cache import RecentItems
from flora_async._http.client import Client
from flora_async._http.routes import ROUTES
from flora_async._http.urls import check_https, segment
from flora_async.models import Run, RunInput
from flora_async.models._codec import to_dict
from flora_async.polling import decode_run
from flora_async.resources._operations import new_key

Mode = Literal["async", "stream"]

RunT = TypeVar("RunT", bound=Run)


@frozen
class StartOptions:
    """What a start says besides its inputs, found right when it is built.

    Attributes:
        technique_id: The technique's slug or id.
        mode: FLORA's execution mode.
        callback_url: A public https URL that FLORA calls when the run has ended.
        idempotency_key: The key of this one start; None given = a new one.

    Raises:
        ValueError: A part of it cannot be right.
        TypeError: A part of it has the wrong type.
    """

    technique_id: str = field()
    mode: Mode = field(default="async", kw_only=True)
    callback_url: str | None = field(default=None, kw_only=True)
    idempotency_key: str = field(default=None, converter=new_key, kw_only=True)

    def __attrs_post_init__(self) -> None:
        segment("technique_id", self.technique_id)
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode must be 'async' or 'stream', not {self.mode!r}")
        if self.callback_url is not None:
            check_https("callback_url", self.callback_url)


async def start_run(client: Client, options: StartOptions, inputs: tuple[RunInput, ...]) -> Run:
    """Start a run, exactly once.

    Raises:
        SubmissionUnknownError: A run may exist and be charged, but no answer says so.
        FloraError: Nothing was started; this is why.
    """
    key = options.idempotency_key
    body: dict[str, Any] = {"inputs": [to_dict(item) for item in inputs], "mode": options.mode}
    if options.callback_url is not None:
        body["callback_url"] = options.callback_url
    body["idempotency_key"] = key
    route, ids = ROUTES["techniques.runs.create"], {"technique_id": options.technique_id}
    request = client.request(route, ids, body=json.dumps(body).encode(), idempotency_key=key)
    run = await client.submit(
        request,
        partial(decode_run, run_id=None),
        route=route,
        idempotency_key=key,
        technique_id=options.technique_id,
    )
    return with_poll_url(client, run, options.technique_id)


def with_poll_url(client: Client, run: RunT, technique_id: str | None) -> RunT:
    """The run with the poll URL that FLORA may leave out."""
    if run.poll_url:
        return run
    try:
        if technique_id:
            ids = {"technique_id": technique_id, "run_id": run.run_id}
            return evolve(run, poll_url=client.url(ROUTES["techniques.runs.retrieve"], ids))
        return evolve(run, poll_url=client.url(ROUTES["generations.retrieve"], {"run_id": run.run_id}))
    except ValueError:  # a strange id is no reason to lose a run that was paid for
        return run


_MAX_STARTS: Final = 1000


@frozen
class Start:
    """What one run was started with.

    Attributes:
        technique_id: The technique, as the caller named it.
        inputs: What was sent, by input id.
    """

    technique_id: str
    inputs: Mapping[str, str]


class Starts:
    """The last thousand starts of a session."""

    def __init__(self) -> None:
        self._known: RecentItems[str, Start] = RecentItems(_MAX_STARTS)

    def note(self, run: Run, technique_id: str, inputs: Sequence[RunInput]) -> None:
        """Remember a start."""
        self._known[run.run_id] = Start(technique_id, {item.id: item.value for item in inputs})

    def of(self, run_id: str) -> Start | None:
        """What a run was started with, if it was in this session and not too long ago."""
        return self._known.get(run_id)
