"""What a test sees of a local FLORA, and what it does to it."""

from flora_async.testing._faults.queue import Fault, FaultQueue
from flora_async.testing._server.api import Api
from flora_async.testing._server.deliveries import Deliveries, FakeDelivery
from flora_async.testing._state.asset import FakeAsset
from flora_async.testing._state.models import FakeAction, FakeModel
from flora_async.testing._state.runs import FakeRun
from flora_async.testing._state.techniques import FakeTechnique
from flora_async.testing._wire.requests import RecordedRequest


class Controls:
    """What a test sees of a local FLORA, and what it does to it.

    Args:
        contract: FLORA's side of what happens.
        deliveries: The webhooks.

    Attributes:
        requests: Every request that has arrived, in order.
    """

    requests: list[RecordedRequest]

    def __init__(self, contract: Api, deliveries: Deliveries) -> None:
        self.requests = []
        self._contract = contract
        self._deliveries = deliveries
        self._plan = FaultQueue()

    @property
    def origin(self) -> str:
        """Scheme, host and port, such as `http://127.0.0.1:49152`; it stays when the server is closed.

        Raises:
            RuntimeError: The server has not been started yet.
        """
        return self._started(self._contract.environment.api)

    @property
    def base_url(self) -> str:
        """The base URL for `FloraSession` or `FLORA_BASE_URL`.

        Raises:
            RuntimeError: The server has not been started yet.
        """
        return f"{self.origin}/api/v1"

    @property
    def storage_origin(self) -> str:
        """The origin of media and uploads, which is another than that of the API.

        Raises:
            RuntimeError: The server has not been started yet.
        """
        return self._started(self._contract.environment.storage)

    @property
    def runs(self) -> tuple[FakeRun, ...]:
        """The runs that exist, in order of creation: what has been paid for, or will be."""
        return tuple(self._contract.book.runs.values())

    @property
    def assets(self) -> tuple[FakeAsset, ...]:
        """The assets that exist, in order of creation, those that wait for their upload included."""
        return self._contract.assets.all

    @property
    def feedback(self) -> tuple[dict[str, object], ...]:
        """The feedback that was recorded, as it came."""
        return tuple(self._contract.projects.feedback)

    @property
    def deliveries(self) -> tuple[FakeDelivery, ...]:
        """Every attempt to deliver a webhook, in order."""
        return tuple(self._deliveries.log)

    def add_technique(self, technique: FakeTechnique) -> FakeTechnique:
        """Add a technique, or replace the one with its slug or id for runs to come; gives it back."""
        self._contract.catalog.add_technique(technique)
        return technique

    def add_model(self, model: FakeModel) -> FakeModel:
        """Add a model, or replace the one with its id for generations to come; gives it back."""
        self._contract.catalog.models[model.model_id] = model
        return model

    def add_action(self, action: FakeAction) -> FakeAction:
        """Add an action, or replace the one with its slug for runs to come; gives it back."""
        self._contract.catalog.actions[action.action_id] = action
        return action

    def add_media(self, name: str, body: bytes, content_type: str = "application/octet-stream") -> str:
        """Hand a file out at the media host; gives its URL.

        Args:
            name: The path behind `/media/`. That of a run's output or of an asset puts this file in its place.
            body: What is handed out.
            content_type: The `Content-Type` header.

        Raises:
            RuntimeError: The server has not been started yet.

        Example:
            >>> url = fake.add_media("film.mp4", bytes(8_000_000), "video/mp4")
            >>> url == f"{fake.storage_origin}/media/film.mp4"
            True
        """
        return self._started(self._contract.storage.add(name, body, content_type))

    def inject(self, fault: Fault, *, on: str = "any", times: int | None = 1, after: int = 0) -> None:
        """Let something go wrong with requests to come.

        Faults queue in the order in which they were injected: a request gets the first one that applies to
        it, and those behind that one do not see it.

        Args:
            fault: What goes wrong.
            on: What it happens to: `start`, `poll`, `history` or `technique` of technique runs; `media` or
                `upload` at the storage host; `asset` for every operation on assets; one operation by its name,
                such as `assets.complete`; `other` for all but the first four; or `any`.
            times: How many requests it happens to; `None` for all of them.
            after: How many matching requests pass unharmed first.

        Raises:
            ValueError: `on` is no operation, `times` is less than 1, or `after` is negative.

        Example:
            >>> from flora_async.testing import FakeFlora, Status
            >>> FakeFlora().inject(Status(429, retry_after=0.01), on="poll", times=3, after=1)
        """
        self._plan.add(fault, on=on, times=times, after=after)

    def heal(self) -> None:
        """Forget every injected fault that has not happened yet."""
        self._plan.clear()

    def finish(self, run_id: str, *, error_code: str | None = None, error_message: str | None = None) -> None:
        """End a run now: as failed if there is a code or a message, else as completed.

        Raises:
            LookupError: There is no such run.
            ValueError: The run has ended already.
        """
        try:
            run = self._contract.book.runs[run_id]
        except KeyError:
            raise LookupError(f"there is no run {run_id!r}") from None
        run.end(error_code, error_message)
        self._deliveries.has_finished(run_id)

    def expire_uploads(self) -> None:
        """Let the time of every upload that is awaited be over: the storage host refuses it, its asset fails."""
        self._contract.assets.expire()

    def fail_assets(self, times: int = 1, *, message: str = "The file could not be read.") -> None:
        """Let the next assets that are completed, or fetched from a URL, fail with a message."""
        self._contract.assets.failing, self._contract.assets.why = times, message

    def resolve(self, public_prefix: str, local_url: str) -> None:
        """Say where callback URLs lead, as DNS would; webhooks to any other are not delivered.

        Args:
            public_prefix: The beginning of callback URLs, such as `https://hooks.example/`.
            local_url: What stands in its place, such as `http://127.0.0.1:8080/`.

        Raises:
            ValueError: The prefix does not begin with `https://`, as callback URLs do, or the other is no URL.

        Example:
            >>> fake.resolve("https://hooks.example/", "http://127.0.0.1:8080/")
        """
        if not public_prefix.startswith("https://") or not local_url.startswith(("http://", "https://")):
            raise ValueError(
                f"callback URLs begin with https://, and lead to a URL: not {public_prefix} to {local_url}"
            )
        self._deliveries.addresses[public_prefix] = local_url

    async def deliver_again(self, run_id: str) -> FakeDelivery:
        """Deliver the event of a run once more, whether it was taken or not.

        Raises:
            LookupError: There was no event of this run yet.
        """
        return await self._deliveries.again(run_id)

    def lose_deliveries(self, times: int = 1) -> None:
        """Let the events of the next runs that end be lost: nobody tries to deliver them."""
        self._deliveries.losing = times

    @staticmethod
    def _started(address: str) -> str:
        if not address.startswith("http"):
            raise RuntimeError("FakeFlora has no address yet: enter it with `async with`")
        return address
