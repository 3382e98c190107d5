"""What a run of the local FLORA does, whatever started it: how long it takes, what it costs and how it ends."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypedDict

import attrs

from flora_async.testing._checks import finite_seconds, seconds_or_never

_PENDING_SHARE = 0.2


def frozen_mapping(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """A copy that nobody changes."""
    return MappingProxyType(dict(mapping))


def _usd(_: object, attribute: "attrs.Attribute[Any]", value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{attribute.name} must be an amount in USD of 0 or more, not {value}")


@attrs.frozen
class Work(ABC):
    """What techniques, models and actions have in common."""

    name: str = attrs.field(kw_only=True)
    run_cost: float = attrs.field(default=0.05, validator=_usd, kw_only=True)
    pending: float = attrs.field(default=0.02, validator=seconds_or_never, kw_only=True)
    running: float | Callable[[], float] = attrs.field(
        default=0.08, validator=attrs.validators.or_(attrs.validators.is_callable(), seconds_or_never), kw_only=True
    )
    error_code: str | None = attrs.field(default=None, kw_only=True)
    error_message: str | None = attrs.field(default=None, kw_only=True)
    estimated_seconds: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(finite_seconds), kw_only=True
    )

    @property
    @abstractmethod
    def gives(self) -> Mapping[str, str]:
        """The outputs of a run, id → type as in a run's answer."""

    @abstractmethod
    def reference(self) -> dict[str, Any]:
        """How the answer to a start names it."""


class Times(TypedDict):
    """How long a run takes, in seconds."""

    pending: float
    running: float


def timing(run_seconds: float) -> Times:
    """The times of ready-made work whose runs take `run_seconds` in all."""
    pending = run_seconds * _PENDING_SHARE
    return {"pending": pending, "running": run_seconds - pending}
