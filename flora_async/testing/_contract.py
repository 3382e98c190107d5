"""FLORA's side of the contract: what each request does and what it is answered. No I/O."""

from collections.abc import Callable, Iterable
from functools import partial

from flora_async._clock import Clock
from flora_async.testing._answers import NOT_FOUND, Answer, RefusedError, error_answer, json_answer
from flora_async.testing._assets import Assets
from flora_async.testing._book import RunBook
from flora_async.testing._canvases import Canvases
from flora_async.testing._case import Case, recase
from flora_async.testing._catalog import Catalog
from flora_async.testing._idempotency import Idempotency, KeyMemory
from flora_async.testing._library import Library
from flora_async.testing._operations import API, OPERATIONS
from flora_async.testing._place import Handler, Handlers, Place
from flora_async.testing._projects import Projects
from flora_async.testing._requests import RecordedRequest
from flora_async.testing._starts import Starts
from flora_async.testing._storage import Storage


class Contract:
    """One local FLORA: its rooms, and the doors between them and the network.

    Attributes:
        place: Where and when it is.
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
        case: Case,
        idempotency: Idempotency,
        clock: Clock,
        poll_urls: bool,
        workspaces: Iterable[str],
        asset_ready_after: int,
    ) -> None:
        self.place = Place(clock, poll_urls)
        self.catalog = Catalog()
        self.projects = Projects(self.place, workspaces)
        self.book = RunBook(self.place)
        self.assets = Assets(self.place, self.projects, ready_after=asset_ready_after)
        self.storage = Storage(self.place, self.book, self.assets)
        library = Library(self.projects, self.assets)
        starts = Starts(self.catalog, self.projects, self.book)
        canvases = Canvases(self.place, self.catalog, self.projects, self.book, self.assets)
        rooms = (self.catalog, self.projects, self.book, self.assets, library, starts, canvases)
        self.handlers: Handlers = {name: handler for room in rooms for name, handler in room.handlers.items()}
        self._keys = KeyMemory(idempotency)
        self._authorization = f"Bearer {api_key}"
        self._case: Case = case

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
        return partial(self._change, self.handlers[name], request, self._keys.find(request, self.place.clock.time()))

    def _change(self, handler: Handler, request: RecordedRequest, decided: Answer | None) -> Answer:
        if decided is not None:
            return decided
        answer = self._answer(handler, request, OPERATIONS[request.route.name].status)
        if answer.status < 400:  # noqa: PLR2004 - where errors begin: what was refused does not use its key up
            self._keys.keep(request, answer, self.place.clock.time())
        return answer

    def _answer(self, handler: Handler, request: RecordedRequest, status: int) -> Answer:
        try:
            return json_answer(recase(handler(request), self._case), status)
        except RefusedError as refused:
            return refused.answer
