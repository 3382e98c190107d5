"""`FLORA_LOG` shows the log on stderr, and has no other effect on a program."""

import os
import subprocess
import sys

import pytest

RUN = """
import asyncio, logging
{before}
import flora_async
{after}
from flora_async import FloraSession
from flora_async.testing import FakeFlora

async def main() -> None:
    async with FakeFlora() as fake, FloraSession(fake.api_key, base_url=fake.base_url) as flora:
        await flora.run("caption", {{"prompt": "a red bicycle"}})

asyncio.run(main())
root = logging.getLogger()
print(len(logging.getLogger("flora_async").handlers), root.level, len(root.handlers))
"""


def run(level: str | None, *, before: str = "", after: str = "") -> tuple[list[str], list[str]]:
    """What a program prints to stdout and stderr with this `FLORA_LOG`."""
    environment = {name: value for name, value in os.environ.items() if name != "FLORA_LOG"}
    if level is not None:
        environment["FLORA_LOG"] = level
    program = RUN.format(before=before, after=after)
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=50)  # noqa: S603 - our own
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr.splitlines()


def test_without_a_level_nothing_is_shown_or_set_up() -> None:
    assert run(None) == run("") == (["0 30 0"], [])


def test_info_shows_the_start_and_the_end_of_a_run_and_leaves_the_root_logger_alone() -> None:
    printed, shown = run(" Info ")
    assert printed == ["1 30 0"]
    assert [line.split(" INFO flora_async: Run ")[1].split()[1] for line in shown] == ["of", "ended:"]


def test_debug_shows_requests_and_never_the_key() -> None:
    _, shown = run("debug")
    assert any("DEBUG flora_async: POST /api/v1/techniques/caption/runs -> 201" in line for line in shown)
    assert not [line for line in shown if "sk_test_local" in line]


@pytest.mark.parametrize("before", [True, False])
def test_no_line_is_shown_twice_where_the_program_logs_to_stderr_itself(*, before: bool) -> None:
    setup = "logging.basicConfig(format='mine %(message)s')"
    again = "\nimport importlib; importlib.reload(flora_async)"
    printed, shown = run("info", before=setup if before else "", after=(setup if not before else "") + again)
    assert printed == ["1 30 1"]
    assert [line.split()[:2] for line in shown] == [["mine", "Run"], ["mine", "Run"]]


def test_lines_are_shown_where_the_programs_own_log_goes_elsewhere_or_is_less_verbose() -> None:
    _, shown = run("info", before="import sys; logging.basicConfig(stream=sys.stdout, format='mine %(message)s')")
    assert len(shown) == 2
    _, shown = run(
        "info",
        before="logging.basicConfig(format='mine %(message)s'); logging.getLogger().handlers[0].setLevel('ERROR')",
    )
    assert len(shown) == 2


def test_a_value_that_is_not_a_level_is_named_in_a_warning_with_the_choices() -> None:
    printed, shown = run("loud")
    assert printed == ["0 30 0"]
    assert shown == ["FLORA_LOG=loud has no effect: set it to debug, info, warning or error"]
