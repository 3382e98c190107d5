"""What all models have in common."""

from typing import TYPE_CHECKING, Any

from flora_async._repr import ShortRepr

if TYPE_CHECKING:
    from flora_async.models._codec import Case


class Model(ShortRepr):
    """A part of FLORA's data, which can be turned into plain data."""

    __slots__ = ()

    def to_dict(self, case: "Case" = "snake") -> dict[str, Any]:
        """Turn this into plain data that `json.dumps` accepts: `flora_async.to_dict` as a method.

        Args:
            case: The spelling of the keys: `snake` (`run_id`, the default) or `camel` (`runId`).

        Raises:
            ValueError: `case` is neither.

        Example:
            >>> Run(run_id="run_1", status="completed").to_dict()["run_id"]
            'run_1'
        """
        from flora_async.models._codec import to_dict  # noqa: PLC0415 - the codec imports the models

        return to_dict(self, case)  # type: ignore[arg-type]  # every model is an attrs class
