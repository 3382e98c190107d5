"""FLORA's side of the contract: what each request does and what it is answered. No I/O."""

from collections.abc import Callable, Iterable
from functools import partial

from flora_async._clock import Clock
from flora_async.testing._server.storage import Storage
from flora_async.testing._state.assets import Assets
from flora_async.testing._state.canvases import Canvases
from flora_async.testing._state.catalog import Catalog
from flora_async.testing._state.environment import Environment, Handler, Handlers
from flora_async.testing._state.library import Library
from flora_async.testing._state.projects import Projects
from flora_async.testing._state.run_store import RunStore
from flora_async.testing._state.starts import Starts
from flora_async.testing._wire.answers import NOT_FOUND, Answer, RefusedError, error_answer, json_answer
from flora_async.testing._wire.idempotency import Idempotency, KeyMemory
from flora_async.testing._wire.key_case import KeyCase, recase
from flora_async.testing._wire.operations import API, OPERATIONS
from flora_async.testing._wire.requests import RecordedRequest


class Api:
    """One local FLORA: its rooms, and the doors between them and the network.

    Attributes:
        environment: The clock and the addresses. it is.
        catalog: What can be run.
        projects: Workspaces and what is filed in them.
        book: Every run.
        assets: Every asset.
        storage: The host of media and uploads.
    """

    def __init__(  # noqa: PLR0913 - each is one independent property of the server
        self,
        *,
        api_key: str,
        case: KeyCase,
        idempotency: Idempotency,
        clock: Clock,
        poll_urls: bool,
        workspaces: Iterable[str],
        asset_ready_after: int,
    ) -> None:
        self.environment = Environment(clock, poll_urls)
        self.catalog = Catalog()
        self.projects = Projects(self.environment, workspaces)
        self.book = RunStore(self.environment)
        self.assets = Assets(self.environment, self.projects, ready_after=asset_ready_after)
        self.storage = Storage(self.environment, self.book, self.assets)
        library = Library(self.projects, self.assets)
        starts = Starts(self.catalog, self.projects, self.book)
        canvases = Canvases(self.environment, self.catalog, self.projects, self.book, self.assets)
        rooms = (self.catalog, self.projects, self.book, self.assets, library, starts, canvases)
        self.handlers: Handlers = {name: handler for room in rooms for name, handler in room.handlers.items()}
        self._keys = KeyMemory(idempotency)
        self._authorization = f"Bearer {api_key}"
        self._case: KeyCase = case

    def arrive(self, request: RecordedRequest) -> Callable[[], Answer]:
        """Take a request in, and give what carries it out; between the two, others may arrive."""
        if request.origin == "media":
            return partial(self.storage.answer, request)
        if request.path.startswith(f"{API}/") and request.headers.get("Authorization") != self._authorization:
            return partial(error_answer, 401, "unauthorized", "Invalid API key.")
        name = request.route.name
        if not name:
            return lambda: NOT_FOUND
        if not OPERATIONS[name].changes:
            return partial(self._answer, self.handlers[name], request, 200)
        known = self._keys.find(request, self.environment.clock.time())
        return partial(self._change, self.handlers[name], request, known)

    def _change(self, handler: Handler, request: RecordedRequest, decided: Answer | None) -> Answer:
        if decided is not None:
            return decided
        answer = self._answer(handler, request, OPERATIONS[request.route.name].status)
        if answer.status < 400:  # noqa: PLR2004 - where errors begin: what was refused does not use its key up
            self._keys.keep(request, answer, self.environment.clock.time())
        return answer

    def _answer(self, handler: Handler, request: RecordedRequest, status: int) -> Answer:
        try:
            return json_answer(recase(handler(request), self._case), status)
        except RefusedError as refused:
            return refused.answer
