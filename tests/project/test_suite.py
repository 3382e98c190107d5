"""The suite itself: its ids, its steps in CI, and that it passes where a script has started it."""

import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_no_id_holds_an_address(request: pytest.FixtureRequest) -> None:
    assert [item.nodeid for item in request.session.items if re.search(r"\b0x[0-9a-f]{6,}", item.nodeid)] == []


def test_a_child_process_can_be_interrupted_where_the_suite_inherited_sigint_ignored() -> None:
    command = 'trap "" INT; exec "$0" -m pytest -q -p no:cacheprovider tests/cli/test_cli.py -k interrupting'
    done = subprocess.run(  # noqa: S603 - our own command
        ["/bin/sh", "-c", command, sys.executable], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_workflow_runs_steps_that_exist_on_every_python_that_is_promised() -> None:
    steps = re.findall(r"\{ step: ([^,]+),", (ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    functions = set(re.findall(r"^(\w+)\(\) \{$", (ROOT / ".ci/run").read_text("utf-8"), re.MULTILINE))
    assert {step.split()[0] for step in steps} <= functions
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    promised = {version for text in project["classifiers"] if (version := text.rpartition(" ")[2]).startswith("3.")}
    assert {step.split()[1] for step in steps if step.startswith("suite")} == promised
