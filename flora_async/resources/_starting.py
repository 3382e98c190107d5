"""Starting runs of techniques: what a start says, and what comes back (FLORA's page "Start a technique run")."""

import json
import uuid
from functools import partial
from typing import Any, Literal, TypeVar, get_args

from attrs import evolve, field, frozen

from flora_async._codec import to_dict
from flora_async._road import Road, decode_run
from flora_async._urls import check_https, segment
from flora_async._wire import check_idempotency_key
from flora_async.models import Run, RunInput

Mode = Literal["async", "stream"]

RunT = TypeVar("RunT", bound=Run)


def _key(given: str | None) -> str:
    return str(uuid.uuid4()) if given is None else check_idempotency_key(given)


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
    idempotency_key: str = field(default=None, converter=_key, kw_only=True)

    def __attrs_post_init__(self) -> None:
        segment("technique_id", self.technique_id)
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode must be 'async' or 'stream', not {self.mode!r}")
        if self.callback_url is not None:
            check_https("callback_url", self.callback_url)


async def start_run(road: Road, options: StartOptions, inputs: tuple[RunInput, ...]) -> Run:
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
    path = f"/techniques/{segment('technique_id', options.technique_id)}/runs"
    request = road.request("POST", path, kind="start", body=json.dumps(body).encode(), idempotency_key=key)
    run = await road.submit(
        request, partial(decode_run, run_id=None), idempotency_key=key, technique_id=options.technique_id
    )
    return with_poll_url(road, run, options.technique_id)


def with_poll_url(road: Road, run: RunT, technique_id: str | None) -> RunT:
    """The run with the poll URL that FLORA may leave out."""
    if run.poll_url:
        return run
    try:
        run_segment = segment("run_id", run.run_id)
        path = f"/techniques/{segment('technique_id', technique_id)}" if technique_id else ""
    except ValueError:  # a strange id is no reason to lose a run that was paid for
        return run
    return evolve(run, poll_url=road.url(f"{path}/runs/{run_segment}"))
