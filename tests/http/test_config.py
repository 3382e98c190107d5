"""The two policies: a mistake in one fails where it is written."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from attrs import asdict, evolve
from attrs.exceptions import FrozenInstanceError
from sweep import Sweep

from flora_async import FloraSession, PollPolicy, ResponseLimits, RetryPolicy
from flora_async._checks import check_number
from flora_async.testing import FakeFlora

Policy = PollPolicy | RetryPolicy
Job = Callable[[Any], Any]

NUMBERS: list[tuple[type[Policy], str]] = [
    *[(RetryPolicy, name) for name in ("initial", "maximum", "settle", "rate_limit_pause")],
    *[(PollPolicy, name) for name in ("initial", "multiplier", "maximum", "jitter", "timeout", "outage")],
]
UNLIMITED: list[tuple[type[Policy], str]] = [
    *[(RetryPolicy, name) for name in ("attempts", "maximum", "settle", "outage")],
    *[(PollPolicy, name) for name in ("maximum", "timeout", "outage")],
]
EVERY: list[tuple[type[Policy], str]] = [(RetryPolicy, "attempts"), *NUMBERS]


def build(kind: type[Policy], name: str, value: object) -> Policy:
    values: dict[str, Any] = {name: value}
    return kind(**values)


def test_the_defaults_are_the_documented_ones() -> None:
    assert asdict(RetryPolicy()) == {
        "attempts": 4,
        "initial": 0.5,
        "maximum": 30.0,
        "settle": 30.0,
        "resolve": True,
        "outage": 120.0,
        "rate_limit_pause": 5.0,
    }
    assert asdict(PollPolicy()) == {
        "initial": 0.5,
        "multiplier": 1.5,
        "maximum": 5.0,
        "jitter": 0.1,
        "timeout": 1800.0,
        "outage": 120.0,
        "schedule": "learned",
        "learn": "auto",
    }


def test_a_number_that_is_not_finite_or_negative_is_refused_by_name() -> None:
    with Sweep() as sweep:
        for value in [math.nan, math.inf, -math.inf, -1, -0.001]:
            for kind, name in NUMBERS:
                with (
                    sweep.row(kind.__name__, name, value),
                    pytest.raises(ValueError, match=rf"^{kind.__name__}\.{name} must be a finite number"),
                ):
                    build(kind, name, value)


def test_a_number_too_large_for_a_float_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^PollPolicy\.timeout must be a finite number"):
        PollPolicy(timeout=10**400)


def test_what_is_no_number_is_refused_by_name() -> None:
    with Sweep() as sweep:
        for value in [True, False, "5", "", b"5", [5], 1j, Decimal(5), object()]:
            for kind, name in EVERY:
                with (
                    sweep.row(kind.__name__, name, value),
                    pytest.raises(TypeError, match=rf"^{kind.__name__}\.{name} must be a"),
                ):
                    build(kind, name, value)


def test_none_means_no_limit_where_there_is_one() -> None:
    with Sweep() as sweep:
        for kind, name in UNLIMITED:
            with sweep.row(kind.__name__, name):
                assert getattr(build(kind, name, None), name) is None


@pytest.mark.parametrize(("kind", "name"), [field for field in EVERY if field not in UNLIMITED])
def test_none_is_refused_where_there_is_no_limit(kind: type[Policy], name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{kind.__name__}\.{name} must be a number, not None"):
        build(kind, name, None)


def test_one_is_a_value_of_every_field_and_is_kept() -> None:
    with Sweep() as sweep:
        for kind, name in EVERY:
            with sweep.row(kind.__name__, name):
                assert getattr(build(kind, name, 1), name) == 1


NOT_ZERO = {(PollPolicy, "multiplier"), (PollPolicy, "maximum")}  # no pause at all would ask without end


def test_zero_is_a_time_and_a_fraction() -> None:
    with Sweep() as sweep:
        for kind, name in [field for field in NUMBERS if field not in NOT_ZERO]:
            with sweep.row(kind.__name__, name):
                assert getattr(build(kind, name, 0), name) == 0


@pytest.mark.parametrize("value", [0, -1])
def test_fewer_attempts_than_one_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match=r"^RetryPolicy\.attempts must be at least 1"):
        RetryPolicy(attempts=value)


@pytest.mark.parametrize("value", [1.0, 2.5, math.nan, math.inf])
def test_attempts_are_whole(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^RetryPolicy\.attempts must be a whole number"):
        RetryPolicy(attempts=value)


@pytest.mark.parametrize("value", [0, 0.999])
def test_pauses_never_shrink(value: float) -> None:
    with pytest.raises(ValueError, match=r"^PollPolicy\.multiplier must be a finite number of at least 1"):
        PollPolicy(multiplier=value)


@pytest.mark.parametrize("value", [1.001, 10, 100.0])
def test_jitter_is_a_fraction(value: float) -> None:
    with pytest.raises(ValueError, match=r"^PollPolicy\.jitter must be at most 1"):
        PollPolicy(jitter=value)


def test_a_policy_is_frozen_and_checked_again_when_evolved() -> None:
    with Sweep() as sweep:
        for kind, name in EVERY:
            with sweep.row(kind.__name__, name):
                policy = kind()
                with pytest.raises(FrozenInstanceError):
                    setattr(policy, name, 1)
                change: dict[str, Any] = {name: -1}
                with pytest.raises(ValueError, match=name):
                    evolve(policy, **change)
                assert policy == kind()
                assert hash(policy) == hash(kind())


@pytest.mark.parametrize("kind", [PollPolicy, RetryPolicy])
def test_a_policy_takes_names_only(kind: Any) -> None:
    with pytest.raises(TypeError, match="positional argument"):
        kind(1)
    with pytest.raises(TypeError, match="retries"):
        kind(retries=1)


def test_a_bound_can_be_exclusive() -> None:
    check_number("timeout", 0.001, exclusive=True)
    with pytest.raises(ValueError, match="timeout must be a finite number of more than 0, not 0"):
        check_number("timeout", 0, exclusive=True)


def test_a_longest_pause_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^PollPolicy\.maximum must be a finite number of more than 0"):
        PollPolicy(maximum=0)


def test_a_limit_on_answers_is_a_number_of_bytes_that_ordinary_ones_fit_in() -> None:
    assert asdict(ResponseLimits()) == {"run": 2**20, "page": 2**23}
    with Sweep() as sweep:
        for name in ("run", "page"):
            for value in (0, -1, 64 * 1024 - 1):
                with (
                    sweep.row(name, value),
                    pytest.raises(ValueError, match=rf"^ResponseLimits\.{name} must be at least 65,536 bytes"),
                ):
                    ResponseLimits(**{name: value})
            for wrong in (1e6, True, None, "1 MiB"):
                with (
                    sweep.row(name, wrong),
                    pytest.raises(TypeError, match=rf"^ResponseLimits\.{name} must be a whole number"),
                ):
                    ResponseLimits(**{name: wrong})  # type: ignore[arg-type]  # that is the point


async def test_a_flag_that_is_neither_true_nor_false_is_refused_before_anything_is_sent(
    fake: FakeFlora, flora: FloraSession
) -> None:
    """Text such as "no" would count as True."""
    ticket: dict[str, Any] = {"technique_id": "tech_caption", "inputs": {"prompt": "x"}, "workspace_id": "ws_local"}
    jobs: dict[str, Job] = {
        "check": lambda flag: flora.run("caption", {"prompt": "x"}, check=flag),
        "raise_on_failure": lambda flag: flora.run("caption", {"prompt": "x"}, raise_on_failure=flag),
        "adopt": lambda flag: flora.techniques.runs.create("caption", inputs={"prompt": "x"}, adopt=flag),
        "check ": lambda flag: flora.runs.start_technique(**ticket, check=flag),
        "check  ": lambda flag: flora.generate("x", type="image", project_id="prj_local", check=flag),
        "adopt ": lambda flag: flora.generations.create(prompt="x", type="image", project_id="prj_local", adopt=flag),
        "check   ": lambda flag: flora.run_all("caption", [{"prompt": "x"}], check=flag),
        "raise_on_failure ": lambda flag: flora.run_all("caption", [{"prompt": "x"}], raise_on_failure=flag),
        "raise_on_failure  ": lambda flag: flora.wait_for_run("run_1", raise_on_failure=flag),
    }
    with Sweep() as sweep:
        for name, job in jobs.items():
            for flag in ("no", "False", 1, 0, None, math.nan):
                with (
                    sweep.row(name, repr(flag)),
                    pytest.raises(TypeError, match=f"{name.strip()} must be True or False, not {flag!r}"),
                ):
                    await job(flag)
    assert not fake.requests


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"allow_http": "no"}, TypeError, "allow_http must be True or False, not 'no'"),
        ({"trace_configs": 5}, TypeError, "trace_configs must be a sequence of TraceConfig, not 5"),
        ({"trace_configs": [5]}, TypeError, "trace_configs must be of type TraceConfig, not 5"),
        ({"trusted_origins": 5}, TypeError, "trusted_origins must be a sequence of URLs, not 5"),
        ({"trusted_origins": "https://example.com"}, TypeError, "trusted_origins must be a sequence of URLs"),
        ({"clock": 5}, TypeError, "clock must have the methods monotonic, time, random, sleep"),
        ({"query": {"a": "\ud800"}}, ValueError, "UTF-8 cannot write"),
        ({"query": {"a": math.inf}}, ValueError, "'a' must be finite, not inf"),
    ],
    ids=repr,
)
def test_an_argument_that_no_session_can_use_is_refused_by_name(
    options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        FloraSession("sk_test_1", **options)
