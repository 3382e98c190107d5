"""What objects show of themselves: less than 200 characters on one line, without an address in memory or a key."""

import inspect
import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum
from importlib import import_module
from typing import Any, Final

import attrs
import pytest
from sweep import Sweep

import flora_async
from flora_async import (
    BatchResult,
    FieldError,
    FloraError,
    FloraSession,
    Pager,
    Run,
    RunRequest,
    hooks,
    models,
    testing,
    webhooks,
)
from flora_async.models._model import Model
from flora_async.testing import FakeFlora, VirtualClock
from flora_async.webhooks import WebhookReceiver

SECRET: Final = "whsec_0123456789abcdef"
HOSTILE: Final = "\x1b[31m\u202e<b>\n" * 100
VALUES: Final = [
    HOSTILE,
    None,
    1e300,
    datetime(2026, 1, 1, tzinfo=UTC),
    b"\x00" * 1000,
    (object(),) * 1000,
    {HOSTILE: object()},
    {number: number for number in range(1000)},
    object(),
    lambda: None,
    ValueError(HOSTILE),
    [Run(run_id=HOSTILE, status=HOSTILE)],
    Run(run_id=HOSTILE, status=HOSTILE),
]
PUBLIC: Final = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (flora_async, hooks, models, testing, webhooks)
    for name in module.__all__
}
CLASSES: Final = {
    name: kind for name, kind in PUBLIC.items() if inspect.isclass(kind) and not getattr(kind, "_is_protocol", False)
}
# Their repr is what a test's id shows; whoever makes one decides how long it is.
FAULTS: Final = {kind for name, kind in CLASSES.items() if kind.__module__.startswith("flora_async.testing._faults")}


def filled(kind: type[Any], value: object) -> Any:
    """An instance with a value in every field, which its constructor might refuse."""
    instance = object.__new__(kind)
    for attribute in attrs.fields(kind):
        object.__setattr__(instance, attribute.name, value)
    return instance


def instances(kind: type[Any]) -> Iterator[Any]:
    if issubclass(kind, Enum):
        yield from kind
    elif issubclass(kind, FieldError):
        yield FieldError(HOSTILE, HOSTILE)
    elif issubclass(kind, FloraError):
        error = kind.__new__(kind)
        error.args, error.request_id = (HOSTILE,), HOSTILE
        yield error
    elif attrs.has(kind):
        yield from (filled(kind, value) for value in VALUES)


async def reachable(fake: FakeFlora, flora: FloraSession) -> dict[str, Any]:
    """What a program gets hold of that is not a model."""
    run = await flora.run("caption", {"prompt": HOSTILE}, callback_url="https://example.com/hook")
    async with flora.batch(HOSTILE.encode().hex(), [{"prompt": "x"}]) as rows:
        pass
    found = {"fake": fake, "request": fake.requests[0], "fake run": fake.runs[0], "clock": VirtualClock()}
    found |= {"batch": rows, "new batch": flora.batch("caption", iter(())), "session": flora, "run": run}
    found |= {"pager": flora.techniques.list(), "later pager": flora.techniques.runs.list(cursor=HOSTILE)}
    found |= {"receiver": WebhookReceiver(SECRET), "technique": fake.add_technique(testing.FakeTechnique("x"))}
    nouns = [flora]
    while nouns:
        noun = nouns.pop()
        for name in (name for name in dir(noun) if not name.startswith("_")):
            part = getattr(noun, name)
            if not callable(part):
                found[f"{type(noun).__name__}.{name}"] = part
                nouns.append(part)
    return found


def is_plain(shown: str) -> bool:
    return len(shown) < 200 and shown.isprintable() and " at 0x" not in shown and "<object object" not in shown


async def test_a_repr_is_short_on_one_line_and_shows_neither_an_address_nor_a_key(
    fake: FakeFlora, flora: FloraSession
) -> None:
    found = await reachable(fake, flora)
    with Sweep() as sweep:
        for name, kind in CLASSES.items():
            for number, instance in enumerate(instances(kind) if kind not in FAULTS else ()):
                with sweep.row(name, number):
                    assert is_plain(repr(instance)), repr(instance)
        for kind in {*CLASSES.values(), *map(type, found.values())} - FAULTS - {Pager}:
            if not issubclass(kind, str | tuple):
                with sweep.row(kind.__name__, "while it is built"):  # as in the traceback of a crash reporter
                    assert is_plain(repr(kind.__new__(kind)))
        for name, instance in found.items():
            with sweep.row(name):
                assert is_plain(repr(instance)), repr(instance)
                assert is_plain(str(instance)), str(instance)
                assert not any(key in repr(instance) + str(instance) for key in (fake.api_key, SECRET))
    shown = {type(instance) for instance in found.values()}
    shown |= {kind for kind in CLASSES.values() if next(instances(kind), None) is not None}
    assert {name for name, kind in CLASSES.items() if kind not in shown} == set()
    assert len(found) > 25


def test_a_repr_shows_what_differs_from_the_defaults() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    run = Run(run_id="run_1", status="running", created_at=now, charged_cost=0.05, extra={"a": [1, 2]})
    assert repr(run) == (
        "Run(run_id='run_1', status='running', charged_cost=0.05, extra={'a': <2 int>}, "
        "created_at=2026-01-02 03:04:05+00:00)"
    )
    request = RunRequest({"photo": b"\x89PNG" * 1000}, key="57")
    assert repr(request) == "RunRequest(inputs={'photo': <4000 bytes>}, key='57')"
    result = BatchResult(index=0, key="57", run=attrs.evolve(run, error_message="x" * 500))
    assert repr(result) == "BatchResult(index=0, key='57', run=Run(run_id='run_1', …))"


def test_a_run_as_text_says_what_came_of_it() -> None:
    began, ended = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 23, tzinfo=UTC)
    run = Run(run_id="run_1", status="completed", started_at=began, completed_at=ended)
    output = models.RunOutput("image", "imageUrl", "https://media.flora.ai/a.png")
    runs = {
        Run(run_id="run_1", status="pending", charged_cost=0.05): "run_1 pending",
        Run(run_id="run_1", status="running", progress=40.0): "run_1 running: 40 %",
        attrs.evolve(run, charged_cost=0.05, outputs=(output,)): ("run_1 completed in 23.0 s for 0.05 USD: 1 output"),
        attrs.evolve(run, status="failed", error_code="safety_blocked", error_message="No."): (
            "run_1 failed in 23.0 s: safety_blocked: No."
        ),
    }
    assert {str(run): text for run, text in runs.items()} == {text: text for text in runs.values()}


MODELS: Final = {name: kind for name, kind in CLASSES.items() if issubclass(kind, Model)}


@pytest.mark.parametrize("case", ["snake", "camel"])
def test_every_model_becomes_plain_data_by_its_method(case: Any) -> None:
    assert {PUBLIC[f"flora_async.models.{name}"] for name in models.__all__} - set(MODELS.values()) == {
        kind for kind in CLASSES.values() if kind.__module__.startswith("flora_async.models") and issubclass(kind, Enum)
    }
    run = Run(run_id="run_1", status="completed", extra={"new": [1]})
    assert run.to_dict(case) == flora_async.to_dict(run, case)
    with pytest.raises(ValueError, match="case must be one of"):
        run.to_dict("kebab")  # type: ignore[arg-type]  # the mistake


def test_what_checks_its_values_can_be_shown_while_it_refuses_them() -> None:
    checking = [
        kind
        for info in pkgutil.walk_packages(flora_async.__path__, "flora_async.")
        if not info.name.endswith("__main__")
        for kind in vars(import_module(info.name)).values()
        if inspect.isclass(kind) and attrs.has(kind) and kind.__module__ == info.name and kind not in FAULTS
        if hasattr(kind, "__attrs_post_init__") or any(a.validator or a.converter for a in attrs.fields(kind))
    ]
    with Sweep() as sweep:
        for kind in checking:
            with sweep.row(kind.__qualname__):
                if not inspect.isabstract(kind):
                    assert kind.__name__.lstrip("_") in repr(kind.__new__(kind))
