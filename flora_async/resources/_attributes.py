"""Everything that a session reaches by a name."""

from functools import cached_property
from typing import TYPE_CHECKING

from flora_async._clock import Clock
from flora_async._media import MediaRoad
from flora_async._road import Road
from flora_async._wire import check_workspace_id
from flora_async.config import PollPolicy
from flora_async.resources._catalog import Catalog
from flora_async.resources._intake import Intake
from flora_async.resources._starts import Starts
from flora_async.resources.runs import TechniqueRuns
from flora_async.resources.techniques import Techniques

if TYPE_CHECKING:
    from flora_async.resources._uploads import Uploads
    from flora_async.resources.actions import Actions
    from flora_async.resources.assets import Assets
    from flora_async.resources.catalog import Models
    from flora_async.resources.feedback import Feedback
    from flora_async.resources.generations import Generations, Runs
    from flora_async.resources.projects import Projects
    from flora_async.resources.workspaces import Workspaces


class Resources:
    """The nouns of FLORA's API, as attributes. Those that few programs use are loaded when they are used.

    Args:
        road: The way to FLORA.
        media: The way to other hosts.
        workspace_id: Where files are uploaded to; None = to the only workspace there is.
        poll: How to look whether something is ready.
        clock: Time and sleep.

    Attributes:
        techniques: Techniques and their runs.
    """

    def __init__(
        self, road: Road, media: MediaRoad, *, workspace_id: str | None, poll: PollPolicy, clock: Clock
    ) -> None:
        self._road = road
        self._media = media
        self._workspace_id = None if workspace_id is None else check_workspace_id(workspace_id)
        self._poll = poll
        self._clock = clock
        self._starts = Starts()
        self._intake = Intake(Catalog(road, clock).find, lambda: self._uploads, clock.monotonic)
        self.techniques = Techniques(road, TechniqueRuns(road, self._intake, self._starts.note))

    @cached_property
    def _uploads(self) -> "Uploads":
        from flora_async.resources._assets import AssetOperations  # noqa: PLC0415 - loaded with the first use
        from flora_async.resources._uploads import Uploads  # noqa: PLC0415 - likewise
        from flora_async.resources._workspace import HomeWorkspace  # noqa: PLC0415 - likewise

        home = HomeWorkspace(self._road, self._workspace_id)
        operations = AssetOperations(self._road)
        return Uploads(self._road, self._media, operations, home, poll=self._poll, clock=self._clock)

    @cached_property
    def assets(self) -> "Assets":
        """The files that people bring to FLORA."""
        from flora_async.resources.assets import Assets  # noqa: PLC0415 - as above

        return Assets(self._road, self._uploads)

    @cached_property
    def actions(self) -> "Actions":
        """Actions that FLORA has ready made."""
        from flora_async.resources.actions import Actions  # noqa: PLC0415 - as above

        return Actions(self._road)

    @cached_property
    def feedback(self) -> "Feedback":
        """What people tell FLORA's makers."""
        from flora_async.resources.feedback import Feedback  # noqa: PLC0415 - as above

        return Feedback(self._road)

    @cached_property
    def generations(self) -> "Generations":
        """Generations by a model, without a technique."""
        from flora_async.resources.generations import Generations  # noqa: PLC0415 - as above

        return Generations(self._road)

    @cached_property
    def models(self) -> "Models":
        """The models that generate."""
        from flora_async.resources.catalog import Models  # noqa: PLC0415 - as above

        return Models(self._road)

    @cached_property
    def projects(self) -> "Projects":
        """Projects and their canvases."""
        from flora_async.resources.projects import Projects  # noqa: PLC0415 - as above

        return Projects(self._road)

    @cached_property
    def runs(self) -> "Runs":
        """FLORA's deprecated twins of `generations.create` and `techniques.runs.create`."""
        from flora_async.resources.generations import Runs  # noqa: PLC0415 - as above

        return Runs(self._road)

    @cached_property
    def workspaces(self) -> "Workspaces":
        """Workspaces, their projects, folders and libraries."""
        from flora_async.resources.workspaces import Workspaces  # noqa: PLC0415 - as above

        return Workspaces(self._road)
