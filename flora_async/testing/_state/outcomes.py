"""Outcomes that a test has planned for runs that do not exist yet."""

from collections.abc import Callable, Mapping

import attrs

from flora_async._repr import ShortRepr
from flora_async.testing._queue import CountingQueue
from flora_async.testing._state.work import Work, frozen_mapping


@attrs.frozen(kw_only=True)
class Outcome(ShortRepr):
    """How a run ends, in place of what its technique, model or action says.

    Attributes:
        error_code: The error code of a run that fails.
        error_message: Its error message; a run that has neither completes.
        outputs: The content of outputs, output id → text, or the bytes of a file. The others are as usual.
    """

    error_code: str | None = None
    error_message: str | None = None
    outputs: Mapping[str, str | bytes] = attrs.field(factory=dict, converter=frozen_mapping)

    @property
    def error(self) -> tuple[str | None, str | None]:
        """The error code and the error message."""
        return self.error_code, self.error_message


class Outcomes:
    """The planned outcomes, in the order in which they were planned.

    Args:
        find: Finds a technique, model or action by its id.
    """

    def __init__(self, find: Callable[[str], Work | None]) -> None:
        self._find = find
        self._queue: CountingQueue[Outcome] = CountingQueue()

    def plan(
        self, outcome: Outcome, work_id: str | None, inputs: Mapping[str, str] | None, *, times: int | None, after: int
    ) -> None:
        """Plan the outcome of future runs.

        Raises:
            LookupError: There is no such technique, model or action.
            ValueError: It has no such input or output, `times` is less than 1, or `after` is negative.
        """
        wanted = dict(inputs or {})
        if work_id is not None:
            work = self._find(work_id)
            if work is None:
                raise LookupError(f"there is no technique, model or action {work_id!r:.80}: add it first")
            _check_outputs(outcome, work)
            if unknown := wanted.keys() - work.input_types.keys():
                raise ValueError(f"{work.name} has no inputs {sorted(unknown)}: it has {sorted(work.input_types)}")

        def applies(work: Work, values: Mapping[str, str]) -> bool:
            return (work_id is None or work_id in work.ids) and wanted.items() <= values.items()

        self._queue.add(outcome, applies, times=times, after=after)

    def take(self, work: Work, inputs: Mapping[str, str]) -> Outcome | None:
        """Return the outcome planned for a run that starts now."""
        return self._queue.take(work, inputs)


def _check_outputs(outcome: Outcome, work: Work) -> None:
    types = work.output_types
    if unknown := outcome.outputs.keys() - types.keys():
        raise ValueError(f"{work.name} has no outputs {sorted(unknown)}: it has {sorted(types)}")
    for output_id, value in outcome.outputs.items():
        expected = str if types[output_id] == "text" else bytes
        if not isinstance(value, expected):
            raise ValueError(f"the output {output_id!r} is {types[output_id]}: give it {expected.__name__}")  # noqa: TRY004 - a value that does not fit
