"""`flora.techniques.runs`: FLORA's section "Runs" under techniques, whose three pages the methods name."""

import json
import uuid
from typing import Any, Final, Literal, TypeVar, get_args

from attrs import evolve

from flora_async._codec import decode, decode_page, to_dict
from flora_async._pages import Pager
from flora_async._road import Road, decode_run
from flora_async._urls import check_https, segment
from flora_async._wire import Response, check_idempotency_key
from flora_async.models import Page, Run, RunStatus, TechniqueRun
from flora_async.resources._inputs import Inputs, run_inputs

Mode = Literal["async", "stream"]

RunT = TypeVar("RunT", bound=Run)

_MOST_ITEMS: Final = 100


class TechniqueRuns:
    """Runs of techniques: start one, look at one, list them."""

    def __init__(self, road: Road) -> None:
        self._road = road

    async def create(
        self,
        technique_id: str,
        *,
        inputs: Inputs,
        mode: Mode = "async",
        callback_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """Start a run. This spends the workspace's credits, exactly once.

        One idempotency key goes with every attempt. A start is sent again only under that key, only after the attempt
        before has ended, and at most `RetryPolicy.attempts` times. When in the end nobody can say whether a run
        exists, that is `SubmissionUnknownError`, never a second run.

        Args:
            technique_id: The technique's slug or id (`tech_…`).
            inputs: `{input_id: value}`, or a sequence of `RunInput`. In a mapping, an https URL that ends like a video
                file is sent as `videoUrl`, any other https URL as `imageUrl`, and the rest as `text`.
            mode: FLORA's execution mode. Default `async`.
            callback_url: A public https URL that FLORA calls when the run has ended.
            idempotency_key: Your own key for this one start, up to 255 printable ASCII characters, so that a start can
                be repeated after a crash; FLORA remembers it for at least 2 hours. None = a new one.

        Returns:
            The run, as a rule still pending; pass it to `wait_for_run`.

        Raises:
            SubmissionUnknownError: A run may exist and be charged, but no answer says so.
            IdempotencyError: An earlier call already started a run under this key.
            APIStatusError: FLORA refused (400 to 422, 429 after all attempts); nothing was started.
            APIConnectionError: FLORA was never reached; nothing was started.
            ValueError: An argument cannot be right; nothing was sent.
            TypeError: An argument has the wrong type; nothing was sent.

        Example:
            >>> run = await flora.techniques.runs.create("caption", inputs={"prompt": "a red bicycle"})
            >>> run.is_failed
            False
        """
        path = f"/techniques/{segment('technique_id', technique_id)}/runs"
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be 'async' or 'stream', not {mode!r}")
        key = str(uuid.uuid4()) if idempotency_key is None else check_idempotency_key(idempotency_key)
        body: dict[str, Any] = {"inputs": [to_dict(item) for item in run_inputs(inputs)], "mode": mode}
        if callback_url is not None:
            body["callback_url"] = check_https("callback_url", callback_url)
        body["idempotency_key"] = key
        request = self._road.request("POST", path, kind="start", body=json.dumps(body).encode(), idempotency_key=key)
        run = await self._road.submit(request, _read_run, idempotency_key=key, technique_id=technique_id)
        return self._complete(run, technique_id)

    async def retrieve(self, run_id: str, *, technique_id: str) -> Run:
        """Look at a run once. To follow it to its end, use `wait_for_run`.

        Args:
            run_id: FLORA's id of the run (`run_…`).
            technique_id: The slug or id of the technique it is a run of.

        Returns:
            The run as it is now.

        Raises:
            NotFoundError: There is no such run for this key.
            DecodeError: The answer cannot be read, or is about another run.
            FloraError: Any other error of the request, after all retries.
            ValueError: An id is blank.

        Example:
            >>> run = await flora.techniques.runs.create("caption", inputs={"prompt": "a red bicycle"})
            >>> again = await flora.techniques.runs.retrieve(run.run_id, technique_id="caption")
            >>> again.run_id == run.run_id
            True
        """
        path = f"/techniques/{segment('technique_id', technique_id)}/runs/{segment('run_id', run_id)}"
        request = self._road.request("GET", path, kind="poll")
        run = await self._road.fetch(request, lambda response: decode_run(response, run_id))
        return self._complete(run, technique_id)

    def list(  # noqa: PLR0913 - FLORA's own filters
        self,
        *,
        workspace_id: str | None = None,
        project_id: str | None = None,
        technique_id: str | None = None,
        status: RunStatus | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Pager[TechniqueRun]:
        """The history of runs, newest first.

        Args:
            workspace_id: Only runs of this workspace (`ws_…`).
            project_id: Only runs of this project (`prj_…`).
            technique_id: Only runs of this technique.
            status: Only runs with this status.
            limit: Items on one page, 1 to 100; None = as FLORA likes.
            cursor: Begin at this page, from an earlier `Page.next_cursor`.

        Returns:
            A `Pager`; `async for` goes over all runs, `await` gives the first page, `.pages()` goes over the pages.

        Raises:
            ValueError: `limit` is out of range.

        Example:
            >>> async for run in flora.techniques.runs.list(status="failed"):
            ...     print(run.run_id, run.error_code)
        """
        if limit is not None and (type(limit) is not int or not 1 <= limit <= _MOST_ITEMS):
            raise ValueError(f"limit must be a whole number from 1 to {_MOST_ITEMS}, not {limit!r}")
        filters = {
            "workspace_id": workspace_id,
            "project_id": project_id,
            "technique_id": technique_id,
            "status": None if status is None else str(status),
            "limit": limit,
        }

        async def fetch(at: str | None) -> Page[TechniqueRun]:
            request = self._road.request("GET", "/technique-runs", kind="history", params={**filters, "cursor": at})
            page = await self._road.fetch(request, _read_history)
            items = (self._complete(run, run.technique.technique_id if run.technique else None) for run in page.items)
            return evolve(page, items=tuple(items))

        return Pager(fetch, cursor)

    def _complete(self, run: RunT, technique_id: str | None) -> RunT:
        """The run with the poll URL that FLORA may leave out."""
        if run.poll_url:
            return run
        try:
            run_segment = segment("run_id", run.run_id)
            path = f"/techniques/{segment('technique_id', technique_id)}" if technique_id else ""
        except ValueError:  # a strange id is no reason to lose a run that was paid for
            return run
        return evolve(run, poll_url=self._road.url(f"{path}/runs/{run_segment}"))


def _read_run(response: Response) -> Run:
    return decode(response.body, Run, request_id=response.request_id)


def _read_history(response: Response) -> Page[TechniqueRun]:
    return decode_page(response.body, TechniqueRun, "technique_runs", request_id=response.request_id)
