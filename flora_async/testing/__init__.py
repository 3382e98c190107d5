"""A local FLORA for tests and demos: a real server on loopback, and a clock whose sleeps return at once."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flora_async.testing._faults.connections import Cut, Drop, Oversize, Slow, Truncate
    from flora_async.testing._faults.queue import Fault
    from flora_async.testing._faults.responses import (
        ForeignPollUrl,
        Garbage,
        Headers,
        Redirect,
        Replace,
        RetryAfter,
        Status,
    )
    from flora_async.testing._server.deliveries import FakeDelivery
    from flora_async.testing._server.server import FakeFlora
    from flora_async.testing._state.asset import FakeAsset
    from flora_async.testing._state.models import FakeAction, FakeModel
    from flora_async.testing._state.runs import FakeRun
    from flora_async.testing._state.techniques import FakeTechnique
    from flora_async.testing._wire.requests import RecordedRequest
    from flora_async.testing.clock import VirtualClock
else:
    _MODULES = {
        **dict.fromkeys(("Cut", "Drop", "Oversize", "Slow", "Truncate"), "_faults.connections"),
        **dict.fromkeys(("ForeignPollUrl", "Garbage", "Headers"), "_faults.responses"),
        **dict.fromkeys(("Redirect", "Replace", "RetryAfter", "Status"), "_faults.responses"),
        "FakeAction": "_state.models",
        "FakeAsset": "_state.asset",
        "FakeDelivery": "_server.deliveries",
        "FakeFlora": "_server.server",
        "FakeModel": "_state.models",
        "FakeRun": "_state.runs",
        "FakeTechnique": "_state.techniques",
        "Fault": "_faults.queue",
        "RecordedRequest": "_wire.requests",
        "VirtualClock": "clock",
    }

    def __getattr__(name: str) -> object:
        # The server needs aiohttp.web, which costs a noticeable part of a second to import.
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


__all__ = [
    "Cut",
    "Drop",
    "FakeAction",
    "FakeAsset",
    "FakeDelivery",
    "FakeFlora",
    "FakeModel",
    "FakeRun",
    "FakeTechnique",
    "Fault",
    "ForeignPollUrl",
    "Garbage",
    "Headers",
    "Oversize",
    "RecordedRequest",
    "Redirect",
    "Replace",
    "RetryAfter",
    "Slow",
    "Status",
    "Truncate",
    "VirtualClock",
]
