"""What techniques, models and actions have in common: duration, cost and outcome of their runs."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias, TypedDict, TypeVar

import attrs

from flora_async._repr import ShortRepr
from flora_async.testing._checks import validate_finite_seconds, validate_seconds

_PENDING_SHARE = 0.2

ValueT = TypeVar("ValueT")

Drawn: TypeAlias = ValueT | Callable[[], ValueT]
"""A value, or a function that is called once for each run."""


def draw(value: Drawn[ValueT]) -> ValueT:
    """Return the value for one run."""
    return value() if callable(value) else value  # pyright: ignore[reportReturnType] - values are not callable


def frozen_mapping(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a read-only copy."""
    return MappingProxyType(dict(mapping))


def _validate_usd(_: object, attribute: "attrs.Attribute[Any]", value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{attribute.name} must be an amount in USD of 0 or more, not {value}")


@attrs.frozen
class Work(ShortRepr, ABC):
    """Something that can be run."""

    name: str = attrs.field(kw_only=True)
    run_cost: float = attrs.field(default=0.05, validator=_validate_usd, kw_only=True)
    quote: float | None = attrs.field(default=None, validator=attrs.validators.optional(_validate_usd), kw_only=True)
    failed_cost: float = attrs.field(default=0.0, validator=_validate_usd, kw_only=True)
    pending: float = attrs.field(default=0.02, validator=validate_seconds, kw_only=True)
    running: Drawn[float] = attrs.field(
        default=0.08, validator=attrs.validators.or_(attrs.validators.is_callable(), validate_seconds), kw_only=True
    )
    error_code: Drawn[str | None] = attrs.field(default=None, kw_only=True)
    error_message: str | None = attrs.field(default=None, kw_only=True)
    estimated_seconds: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(validate_finite_seconds), kw_only=True
    )

    @property
    def price(self) -> float:
        """USD that the catalog and the answer to a start state."""
        return self.run_cost if self.quote is None else self.quote

    def draw_error(self) -> tuple[str | None, str | None]:
        """Return the code and the message of one run; both are `None` if it completes."""
        code = draw(self.error_code)
        return code, None if code is None and callable(self.error_code) else self.error_message

    @property
    @abstractmethod
    def ids(self) -> frozenset[str]:
        """The ids under which it can be run."""

    @property
    @abstractmethod
    def input_types(self) -> Mapping[str, str]:
        """The inputs of a run, input id → type."""

    @property
    @abstractmethod
    def output_types(self) -> Mapping[str, str]:
        """The outputs of a run, output id → type."""

    @abstractmethod
    def reference(self) -> dict[str, Any]:
        """Return the field that names it in answers about its runs."""


class Durations(TypedDict):
    """The phases of a run, in seconds."""

    pending: float
    running: float


def split_duration(run_seconds: float) -> Durations:
    """Divide the duration of a run into its phases."""
    pending = run_seconds * _PENDING_SHARE
    return {"pending": pending, "running": run_seconds - pending}
