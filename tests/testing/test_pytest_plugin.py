"""The fixtures `fake_flora` and `flora_session`."""

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from plain_client import Client

from flora_async import pytest_plugin
from flora_async.testing import FakeFlora

TESTS_OF_A_USER = """
import pytest

async def test_a_run(flora_session, fake_flora):
    assert (await flora_session.run("caption", {"prompt": "x"})).is_completed
    assert len(fake_flora.runs) == 1

@pytest.mark.asyncio(loop_scope="module")
async def test_a_run_on_the_loop_of_the_module(flora_session):
    assert (await flora_session.run("caption", {"prompt": "x"})).is_completed
"""


def run_pytest(folder: Path, tests: str, **settings: str) -> tuple[int, str]:
    """Run the tests of a user in a process of their own; return its exit code and what it printed."""
    (folder / "test_user.py").write_text(tests)
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "test_user.py"]
    done = subprocess.run(command, cwd=folder, timeout=50, capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter
    return done.returncode, done.stdout + done.stderr


def test_loading_the_plugin_does_not_load_the_server() -> None:
    code = "import sys, flora_async.pytest_plugin; sys.exit('aiohttp.web' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)  # noqa: S603 - our own interpreter


def test_the_plugin_loads_without_pytest_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytest_asyncio", None)
    names = runpy.run_path(pytest_plugin.__file__)
    assert {"fake_flora", "flora_session", "_flora_session_on_None_loop"} <= names.keys()


async def test_the_fake_flora_fixture_is_a_started_server(fake_flora: FakeFlora, http: aiohttp.ClientSession) -> None:
    response, _ = await Client(fake_flora, http).start()
    assert response.status == 201


async def test_the_flora_session_fixture_runs_a_technique_on_it(flora_session: Any, fake_flora: FakeFlora) -> None:
    run = await flora_session.run("caption", {"prompt": "a cat"})
    assert (run.is_completed, run.outputs[0].text) == (True, "Caption: a cat")
    assert [run.run_id] == [run.run_id for run in fake_flora.runs]


@pytest.mark.parametrize("tests_on", ["function", "session"])
@pytest.mark.parametrize("fixtures_on", ["function", "session"])
def test_the_fixtures_are_on_the_loop_of_the_test_whatever_the_defaults(
    tmp_path: Path, fixtures_on: str, tests_on: str
) -> None:
    code, printed = run_pytest(
        tmp_path,
        TESTS_OF_A_USER,
        asyncio_mode="auto",
        asyncio_default_fixture_loop_scope=fixtures_on,
        asyncio_default_test_loop_scope=tests_on,
    )
    assert (code, "2 passed" in printed) == (0, True), printed


@pytest.mark.parametrize("plugins", ["strict", "auto", "no:asyncio"])
def test_the_session_is_on_the_loop_of_a_test_that_anyio_runs(tmp_path: Path, plugins: str) -> None:
    pytest.importorskip("anyio")
    tests = """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_a_run(flora_session):
    assert (await flora_session.run("caption", {"prompt": "x"})).is_completed
"""
    code, printed = run_pytest(
        tmp_path,
        tests,
        **({"addopts": "-p no:asyncio"} if plugins == "no:asyncio" else {"asyncio_mode": plugins}),
    )
    assert (code, "1 passed" in printed) == (0, True), printed


def test_a_test_without_an_event_loop_has_a_server_and_is_told_what_the_session_needs(tmp_path: Path) -> None:
    tests = """
import urllib.request

def test_server(fake_flora):
    headers = {"Authorization": f"Bearer {fake_flora.api_key}"}
    request = urllib.request.Request(f"{fake_flora.base_url}/techniques", headers=headers)
    assert urllib.request.urlopen(request, timeout=5).status == 200

def test_session(flora_session):
    pass
"""
    code, printed = run_pytest(tmp_path, tests, asyncio_mode="auto")
    assert (code, "1 passed, 1 error" in printed) == (1, True), printed
    assert "flora_session needs an asynchronous test that pytest-asyncio runs: mark test_session with" in printed


FAILING_TESTS_OF_A_USER = """
async def test_an_error_of_flora(flora_session):
    await flora_session.run("missing", {"prompt": "x"})

async def test_an_error_of_another_kind(flora_session):
    await flora_session.run("caption", {"prompt": 5})
"""


def test_the_traceback_of_an_error_of_flora_ends_at_the_caller_unless_all_of_it_is_wanted(tmp_path: Path) -> None:
    frame = str(Path("flora_async", "session.py"))
    settings = {"asyncio_mode": "auto", "asyncio_default_fixture_loop_scope": "function"}
    for full in ("false", "true"):
        _, printed = run_pytest(tmp_path, FAILING_TESTS_OF_A_USER, **settings, flora_full_traceback=full)
        first, _, second = printed.partition("_ test_an_error_of_another_kind _")
        assert 'await flora_session.run("missing"' in first
        assert "NotFoundError" in first
        assert (frame in first) is (full == "true")
        assert frame in second
        assert "TypeError" in second
