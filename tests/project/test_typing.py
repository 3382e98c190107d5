"""Users' programs are typed as promised: what mypy and pyright say of the programs in `tests/typing`."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parents[1] / "typing"
# What pyright is to find, beside types: an `ignore` without a mistake, and nothing is excused by mypy's comments.
PYRIGHT = {
    "typeCheckingMode": "strict",
    "reportUnnecessaryTypeIgnoreComment": "error",
    "enableTypeIgnoreComments": False,
    "pythonVersion": "3.11",
}
COMMANDS = {
    "mypy": ["--strict", "--no-incremental", "--python-version", "3.11", "."],
    "pyright": ["--pythonpath", sys.executable],
}


@pytest.mark.parametrize(
    "checker",
    [
        pytest.param(name, marks=pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is in the extra dev"))
        for name in COMMANDS
    ],
)
@pytest.mark.timeout(300)
def test_a_type_checker_agrees_with_every_users_program(checker: str, tmp_path: Path) -> None:
    # Away from this checkout and its settings, as a user has the package: installed.
    for program in PROGRAMS.glob("*.py"):
        shutil.copy(program, tmp_path)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(PYRIGHT), encoding="utf-8")
    command = [sys.executable, "-m", checker, *COMMANDS[checker]]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)  # noqa: S603 - our own
    assert done.returncode == 0, done.stdout + done.stderr
