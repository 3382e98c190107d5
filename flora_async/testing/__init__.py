"""A local FLORA for tests and demos: a real server on loopback, and a clock whose sleeps take no time."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flora_async.testing._cuts import Cut, Drop, Oversize, Slow, Truncate
    from flora_async.testing._deliveries import FakeDelivery
    from flora_async.testing._fake_asset import FakeAsset
    from flora_async.testing._faults import (
        Fault,
        ForeignPollUrl,
        Garbage,
        Headers,
        Redirect,
        Replace,
        RetryAfter,
        Status,
    )
    from flora_async.testing._models import FakeAction, FakeModel
    from flora_async.testing._requests import RecordedRequest
    from flora_async.testing._runs import FakeRun
    from flora_async.testing._server import FakeFlora
    from flora_async.testing._techniques import FakeTechnique
    from flora_async.testing.clock import VirtualClock
else:
    _ROOMS = {
        **dict.fromkeys(("Cut", "Drop", "Oversize", "Slow", "Truncate"), "_cuts"),
        "FakeAction": "_models",
        "FakeAsset": "_fake_asset",
        "FakeDelivery": "_deliveries",
        "FakeFlora": "_server",
        "FakeModel": "_models",
        "FakeRun": "_runs",
        "FakeTechnique": "_techniques",
        "RecordedRequest": "_requests",
        "VirtualClock": "clock",
    }

    def __getattr__(name: str) -> object:
        # The pytest plugin lives in this package, so every pytest run of every user imports it: the server must
        # not come along until somebody asks for it.
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{__name__}.{_ROOMS.get(name, '_faults')}"), name)
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
