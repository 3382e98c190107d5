"""The API of the local FLORA without its sockets: which handler a request reaches, and what it answers."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from functools import partial

from flora_async.testing._server.storage import Storage
from flora_async.testing._state.asset import UploadMethod
from flora_async.testing._state.assets import Assets
from flora_async.testing._state.canvases import Canvases
from flora_async.testing._state.catalog import Catalog
from flora_async.testing._state.environment import CLOCK_INTERVAL, Environment, Handler, Handlers
from flora_async.testing._state.library import Library
from flora_async.testing._state.outcomes import Outcomes
from flora_async.testing._state.projects import Projects
from flora_async.testing._state.runs import ENDED, RunStore
from flora_async.testing._state.starts import Starts
from flora_async.testing._wire.answers import NOT_FOUND, Answer, RefusedError, error_answer, json_answer
from flora_async.testing._wire.idempotency import Idempotency, IdempotencyKeys
from flora_async.testing._wire.key_case import KeyCase, convert_keys
from flora_async.testing._wire.operations import API, OPERATIONS
from flora_async.testing._wire.rate_limit import RateLimit, RateLimiter
from flora_async.testing._wire.requests import RecordedRequest
from flora_async.testing._wire.validation import check_public_ids


class Api:
    """Carries requests out.

    Attributes:
        catalog: Techniques, models and actions.
        projects: Workspaces, projects and feedback.
        outcomes: The outcomes planned for future runs.
        runs: All runs.
        assets: All assets.
        storage: The storage host.
        handlers: The handlers by the name of their operation.
    """

    def __init__(  # noqa: PLR0913 - each is one independent property of the server
        self,
        *,
        api_key: str,
        case: KeyCase,
        idempotency: Idempotency,
        environment: Environment,
        workspaces: Iterable[str],
        asset_ready_after: int,
        upload_method: UploadMethod,
        rate_limit: RateLimit | None,
    ) -> None:
        self._environment = environment
        self.catalog = Catalog()
        self.projects = Projects(self._environment, workspaces)
        self.outcomes = Outcomes(self.catalog.find)
        self.runs = RunStore(self._environment, self.outcomes)
        self.assets = Assets(
            self._environment, self.projects, ready_after=asset_ready_after, upload_method=upload_method
        )
        self.storage = Storage(self._environment, self.runs, self.assets)
        library = Library(self.projects, self.assets)
        starts = Starts(self._environment, self.catalog, self.projects, self.runs)
        canvases = Canvases(self._environment, self.catalog, self.projects, self.runs, self.assets)
        stores = (self.catalog, self.projects, self.runs, self.assets, library, starts, canvases)
        self.handlers: Handlers = {name: handler for store in stores for name, handler in store.handlers.items()}
        self._keys = IdempotencyKeys(idempotency)
        self._authorization = f"Bearer {api_key}"
        self._case: KeyCase = case
        self._limiter = None if rate_limit is None else RateLimiter(rate_limit)

    def accept(self, request: RecordedRequest) -> Callable[[], Answer]:
        """Look the idempotency key of a request up, and return the function that carries the request out.

        Other requests may arrive between the two.
        """
        if request.origin == "media":
            return partial(self.storage.answer, request)
        if request.path.startswith(f"{API}/") and request.headers.get("Authorization") != self._authorization:
            return partial(error_answer, 401, "unauthorized", "Invalid API key.")
        if self._limiter and (refusal := self._limiter.check(self._environment.clock.time())):
            return lambda: refusal
        name = request.route.name
        if not name:
            return lambda: NOT_FOUND
        if not OPERATIONS[name].mutates:
            return partial(self._answer, self.handlers[name], request, 200)
        known = self._keys.find(request, self._environment.clock.time())
        return partial(self._mutate, self.handlers[name], request, known)

    async def follow(self, started: Answer) -> AsyncGenerator[Answer, None]:
        """Yield the answers of polling the run in the answer to a start, one for each status, until it has ended."""
        payload = json.loads(started.body)
        run = self.runs.runs.get(payload.get("run_id") or payload.get("runId", ""))
        status = None
        while run is not None and status not in ENDED:
            now = self._environment.clock.time()
            if status != (status := run.status_at(now)):
                yield json_answer(convert_keys(run.payload(now, self._environment), self._case))
            await asyncio.sleep(CLOCK_INTERVAL)

    def _mutate(self, handler: Handler, request: RecordedRequest, known: Answer | None) -> Answer:
        if known is not None:
            return known
        answer = self._answer(handler, request, OPERATIONS[request.route.name].status)
        if answer.status < 400:  # noqa: PLR2004 - the first error status; a refused request does not use its key
            self._keys.remember(request, answer, self._environment.clock.time())
        return answer

    def _answer(self, handler: Handler, request: RecordedRequest, status: int) -> Answer:
        try:
            for values in (request.route.path_params, request.query, request.json):
                check_public_ids(values if isinstance(values, Mapping) else {})
            return json_answer(convert_keys(handler(request), self._case), status)
        except RefusedError as refused:
            return refused.answer
