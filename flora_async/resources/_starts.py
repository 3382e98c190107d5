"""What runs were started with, for those who save what came of them."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from flora_async.models import Run, RunInput

_MOST: Final = 1000


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
        self._known: OrderedDict[str, Start] = OrderedDict()

    def note(self, run: Run, technique_id: str, inputs: Sequence[RunInput]) -> None:
        """Remember a start."""
        self._known[run.run_id] = Start(technique_id, {item.id: item.value for item in inputs})
        if len(self._known) > _MOST:
            self._known.popitem(last=False)

    def of(self, run_id: str) -> Start | None:
        """What a run was started with, if it was in this session and not too long ago."""
        return self._known.get(run_id)
