"""A local FLORA for tests and demos: a real server on loopback, and a clock whose sleeps return at once."""

from typing import TYPE_CHECKING

from flora_async._lazy import lazy_names

if TYPE_CHECKING:
    from flora_async.testing._faults.connections import Cut, Drop, Oversize, Slow, Truncate
    from flora_async.testing._faults.queue import Fault
    from flora_async.testing._faults.responses import (
        EventStream,
        ForeignPollUrl,
        Garbage,
        Headers,
        ProxyPage,
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
    from flora_async.testing._wire.rate_limit import RateLimit
    from flora_async.testing._wire.requests import RecordedRequest
    from flora_async.testing.clock import VirtualClock
else:
    # The server needs aiohttp.web, which takes a noticeable part of a second to import.
    __getattr__ = lazy_names(
        __name__,
        {
            "_faults.connections": "Cut Drop Oversize Slow Truncate",
            "_faults.queue": "Fault",
            "_faults.responses": (
                "EventStream ForeignPollUrl Garbage Headers ProxyPage Redirect Replace RetryAfter Status"
            ),
            "_server.deliveries": "FakeDelivery",
            "_server.server": "FakeFlora",
            "_state.asset": "FakeAsset",
            "_state.models": "FakeAction FakeModel",
            "_state.runs": "FakeRun",
            "_state.techniques": "FakeTechnique",
            "_wire.rate_limit": "RateLimit",
            "_wire.requests": "RecordedRequest",
            "clock": "VirtualClock",
        },
    )

__all__ = [
    "Cut",
    "Drop",
    "EventStream",
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
    "ProxyPage",
    "RateLimit",
    "RecordedRequest",
    "Redirect",
    "Replace",
    "RetryAfter",
    "Slow",
    "Status",
    "Truncate",
    "VirtualClock",
]
