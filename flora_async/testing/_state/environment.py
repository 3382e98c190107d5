"""What every operation of the local FLORA knows: the time, the addresses, and how to be looked up."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs

from flora_async._clock import Clock
from flora_async.testing._wire.requests import RecordedRequest

Handler: TypeAlias = Callable[[RecordedRequest], dict[str, Any]]
"""Carries an operation out: the payload in snake_case, or a `RefusedError`."""

Handlers: TypeAlias = Mapping[str, Handler]


@attrs.define
class Environment:
    """Where and when the local FLORA is.

    Attributes:
        clock: What tells the time.
        poll_urls: Whether answers say where a run is polled.
        api: The origin of the API.
        storage: The origin of media and uploads.
    """

    clock: Clock
    poll_urls: bool
    api: str = ""
    storage: str = ""

    def canvas_url(self, project_id: str) -> str:
        """Where people see a canvas."""
        return f"{self.api}/projects/{project_id}"
