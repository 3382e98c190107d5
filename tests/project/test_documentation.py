"""The documentation, executed: every example runs as it is printed, and every page and link is there."""

import ast
import asyncio
import builtins
import doctest
import inspect
import io
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from enum import Enum
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import FunctionType
from typing import Any, Final, NamedTuple

import pytest
from sweep import Sweep

import flora_async
from flora_async import FloraSession, dask, errors, hooks, models, otel, testing, webhooks
from flora_async._http.routes import ROUTES
from flora_async.testing import FakeFlora

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

FENCE: Final = re.compile(r"^(?P<mark>`{3,}|:{3,}|~{3,})(?P<info>.*)\n(?P<body>(?s:.*?))^(?P=mark)$", re.MULTILINE)
DEFINES_TESTS: Final = re.compile(r"^ *(async )?def test_", re.MULTILINE)
RUNS_APART: Final = re.compile(r"asyncio\.run\(|sys\.stdin|threading\.")
NAMES_ITS_FILE: Final = re.compile(r"# (\w+\.py)\n")
TARGET: Final = re.compile(r"""\]\(<?([^)>\s]+)|^\[[^\]]+\]:\s+(\S+)|\b(?:src|href)="([^"]+)""", re.MULTILINE)
AUTODOC: Final = re.compile(r"^\.\. (?:auto\w+|py:data):: ([\w.]+)", re.MULTILINE)
BUILT_BY_USERS: Final = re.compile(r"^\.\. auto(?:class|function):: ([\w.]+)(\(\))?$", re.MULTILINE)
# What a fake has seen: its methods serve the server, and nothing is passed to them in a test.
FOR_READERS: Final = {"flora_async.testing.FakeRun", "flora_async.testing.FakeAsset"}
OPTIONS: Final = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


class Block(NamedTuple):
    """A fenced block: what stands behind its fence, what is in it, and the line of the page that it follows."""

    info: str
    body: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(fence["info"].strip(), fence["body"], text.count("\n", 0, fence.start("body")))
        for fence in FENCE.finditer(text)
    ]


def docstrings() -> list[doctest.DocTest]:
    """The docstrings with examples of every module here, its classes, functions, methods and properties."""
    names = [info.name for info in pkgutil.walk_packages(flora_async.__path__, "flora_async.")]
    modules = [import_module(name) for name in ["flora_async", *names] if not name.endswith("__main__")]
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [found for module in modules for found in finder.find(module) if found.examples]


async def execute(source: str, namespace: dict[str, Any], *, mode: str = "exec", name: str = "<example>") -> None:
    """Run code in which `await` may stand at the top level, as in `python -m asyncio`."""
    if "Client(processes=False" in source and asyncio.get_running_loop().get_task_factory() is not None:
        pytest.skip("Dask's own clusters do not always close on a loop with eager tasks")
    flags, namespace["__builtins__"] = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, builtins
    program = FunctionType(compile(source, name, mode, flags=flags, dont_inherit=True), namespace)
    if "asyncio.run(" in source:  # it wants a loop of its own, and so a thread
        await asyncio.to_thread(program)
    elif inspect.iscoroutine(result := program()):
        await result


async def execute_apart(*arguments: str, cwd: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=cwd,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def run_example(example: doctest.Example, namespace: dict[str, Any]) -> str:
    """What an example prints, or the last line of the traceback it was said to end with."""
    with redirect_stdout(io.StringIO()) as printed:
        try:
            await execute(example.source, namespace, mode="single")
        except Exception as error:
            if example.exc_msg is None:
                raise
            return traceback.format_exception_only(error)[-1]
    return printed.getvalue()


@pytest.fixture(autouse=True)
def _fake_is_the_flora_of_the_environment(fake: FakeFlora, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLORA_API_KEY", fake.api_key)
    monkeypatch.setenv("FLORA_BASE_URL", fake.base_url)
    monkeypatch.chdir(tmp_path)


@every_page
async def test_the_python_of_a_page_runs_from_top_to_bottom(page: Path, flora: FloraSession, tmp_path: Path) -> None:
    namespace: dict[str, Any] = {"__name__": page.stem}
    tests = []
    for number, block in enumerate(block for block in blocks(page) if block.info == "python"):
        named = NAMES_ITS_FILE.match(block.body)
        file = tmp_path / (named[1] if named else f"test_block_{number}.py")
        file.write_text(block.body, encoding="utf-8")
        if DEFINES_TESTS.search(block.body):
            tests.append(str(file))
        elif RUNS_APART.search(block.body):
            await execute_apart(str(file), cwd=tmp_path)
        else:
            # A page may take an open session for granted; one that it opened itself ended with its block.
            namespace["flora"] = flora
            await execute("\n" * block.line + block.body, namespace, name=str(page))
    if tests:
        settings = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), "-p", "no:cacheprovider")
        await execute_apart("-m", "pytest", "-q", *settings, *tests, cwd=tmp_path)


def needed_names(body: str) -> set[str]:
    """The names that a block takes from those before it."""
    nodes = list(ast.walk(ast.parse(body)))
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    stored |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    stored |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    stored |= {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    stored |= {alias.asname or alias.name.partition(".")[0] for node in imports for alias in node.names}
    loaded = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return loaded - stored - set(dir(builtins)) - {"flora"}


@every_page
async def test_a_block_that_takes_no_name_from_those_before_it_runs_alone(
    page: Path, flora: FloraSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, block in enumerate(block for block in blocks(page) if block.info == "python"):
        apart = DEFINES_TESTS.search(block.body) or RUNS_APART.search(block.body)
        if apart or needed_names(block.body):
            continue
        directory = tmp_path / f"block-{number}"
        directory.mkdir()
        (directory / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")  # a picture is all that a reader has
        monkeypatch.chdir(directory)
        namespace: dict[str, Any] = {"__name__": page.stem, "flora": flora}
        await execute("\n" * block.line + block.body, namespace, name=str(page))
        for session in (
            value for value in namespace.values() if isinstance(value, FloraSession) and value is not flora
        ):
            await session.close()  # a notebook does so in its last cell


@every_page
def test_no_python_of_a_page_is_left_out(page: Path) -> None:
    infos = {block.info for block in blocks(page)}
    assert not {info for info in infos if info.lower().startswith(("py", "{code")) and info != "python"}
    assert page.read_text(encoding="utf-8").count("```python") == sum(b.info == "python" for b in blocks(page))


@pytest.mark.parametrize("documented", docstrings(), ids=lambda documented: documented.name)
async def test_an_example_in_a_docstring_gives_what_it_says(
    documented: doctest.DocTest, fake: FakeFlora, flora: FloraSession
) -> None:
    public = {name: getattr(flora_async, name) for name in flora_async.__all__}
    namespace: dict[str, Any] = {**public, "__name__": "example", "flora": flora, "fake": fake}
    # Whatever else it needs it has to import, as its reader has to; only what it documents is there already.
    own = documented.name.removeprefix(str(documented.globs["__name__"])).lstrip(".").partition(".")[0]
    namespace |= {own: documented.globs[own]} if own else {}
    checker = doctest.OutputChecker()
    for example in documented.examples:
        got = await run_example(example, namespace)
        want = example.want if example.exc_msg is None else example.exc_msg
        if not checker.check_output(want, got, OPTIONS):
            where = f"{documented.filename}:{(documented.lineno or 0) + example.lineno + 1}"
            pytest.fail(f"{where}\n{example.source}{checker.output_difference(example, got, OPTIONS)}", pytrace=False)


def test_the_docstrings_that_users_meet_first_have_examples() -> None:
    names = {documented.name for documented in docstrings()}
    assert names >= {
        "flora_async",
        "flora_async.session.FloraSession",
        "flora_async.session.FloraSession.run",
        "flora_async.resources.runs.TechniqueRuns.create",
        "flora_async.polling._waiting.wait_for_run",
        "flora_async.polling._waiting.watch_run",
        "flora_async.testing._server.server.FakeFlora",
    }


def test_every_page_can_be_reached_from_the_index() -> None:
    trees = [block.body for block in blocks(DOCS / "index.md") if block.info == "{toctree}"]
    entries = {line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")}
    assert entries == {page.stem for page in DOCS.glob("*.md")} - {"index"}


def test_everything_public_is_in_the_reference() -> None:
    described = set(AUTODOC.findall((DOCS / "reference.md").read_text(encoding="utf-8")))
    for module in (flora_async, dask, hooks, otel, testing, webhooks, models):
        names = set(module.__all__) - set(flora_async.__all__ if module is not flora_async else ())
        names -= set(webhooks.__all__ if module is models else ())
        assert {f"{module.__name__}.{name}" for name in names} <= described


def test_pages_are_plain_markdown_that_a_repository_shows() -> None:
    # What only Sphinx makes has a page of its own, and the tree of pages is beside links to them.
    allowed = {("index.md", "{toctree}"), ("reference.md", "{eval-rst}")}
    used = {(page.name, block.info.split()[0]) for page in PAGES for block in blocks(page) if block.info[:1] == "{"}
    assert used <= allowed
    for page in PAGES:
        assert not re.findall(r"(?:^|\s)\{[\w:-]+\}`", FENCE.sub("", page.read_text("utf-8"))), page.name


def test_what_pages_include_is_beside_a_link_to_it() -> None:
    found = 0
    for page in PAGES:
        text = page.read_text("utf-8")
        for path, first, end in re.findall(r'<!-- include (\S+) from "([^"]+)"(?: to "([^"]+)")? -->', text):
            found += 1
            assert f"({path})" in text
            assert first in (source := (page.parent / path).read_text("utf-8"))
            assert end in source
    assert found >= 6
    assert sum(page.read_text("utf-8").count("<!-- include ") for page in PAGES) == found


def documented_calls() -> Iterator[tuple[str, Callable[..., Any], str]]:
    """Each function, constructor and method of the reference with the text that describes its parameters."""
    for path, made_here in BUILT_BY_USERS.findall((DOCS / "reference.md").read_text(encoding="utf-8")):
        described = resolve_name(path)
        if inspect.isfunction(described):
            yield path, described, described.__doc__ or ""
            continue
        if issubclass(described, Enum) or path in FOR_READERS or hasattr(described, "serve"):
            continue
        bases = "\n".join(base.__doc__ or "" for base in described.__mro__[:-1])
        if not made_here:
            yield path, described, bases
        for name, member in inspect.getmembers(
            described, lambda member: inspect.isfunction(member) or inspect.ismethod(member)
        ):
            if name[0] != "_" and str(getattr(member, "__module__", "")).startswith("flora_async"):
                # A method of a session that is also a function of the package leaves the details to it.
                twin = getattr(getattr(flora_async, name, None), "__doc__", None) or ""
                yield f"{path}.{name}", member, f"{inspect.getdoc(member) or ''}\n{twin}"


def test_every_parameter_and_method_of_the_reference_is_described() -> None:
    seen = set()
    with Sweep() as sweep:
        for path, call, text in documented_calls():
            with sweep.row(path):
                seen.add(path.removeprefix("flora_async.FloraSession."))
                assert text.strip(), "it has no docstring, so Sphinx leaves it out"
                names = [name for name in inspect.signature(call).parameters if name != "self" and name[0] != "_"]
                line = r"^ *\*{{0,2}}{0}(?: \(.*?\))?:|`{0}`"
                missing = [name for name in names if not re.search(line.format(name), text, re.MULTILINE)]
                # Where there is only one, the sentence about the call is about it.
                assert missing == [] or len(names) == 1
    assert len(seen) > 150
    assert seen >= {"batch", "run_all", "download", "save_outputs", "close", "wait_for_run", "generate", "resolve"}


def test_every_option_of_a_batch_is_in_its_table() -> None:
    table = re.split("^## Options$", (DOCS / "batches.md").read_text("utf-8"), flags=re.MULTILINE)[1].split("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    taken = inspect.signature(FloraSession.batch).parameters.values()
    assert sorted(listed) == sorted(option.name for option in taken if option.kind is option.KEYWORD_ONLY)


def test_every_operation_is_listed_with_its_request() -> None:
    listed = re.findall(r"^\| `([\w.]+)` \| `([A-Z]+ /\S+)` \|", (DOCS / "flora.md").read_text("utf-8"), re.MULTILINE)
    assert dict(listed) == {name: f"{route.method} {route.template}" for name, route in ROUTES.items()}
    assert len(listed) == len(ROUTES)
    quoted = set(re.findall("`[^`]+`", FENCE.sub("", (DOCS / "operations.md").read_text("utf-8"))))
    assert [name for name in ROUTES if not quoted & {f"`{name}`", f"`.{name.rpartition('.')[2]}`"}] == []


def test_the_tree_of_errors_is_that_of_their_docstring() -> None:
    (tree,) = (block.body for block in blocks(DOCS / "errors.md") if block.info == "text")
    assert tree in (errors.__doc__ or "")


def test_floras_pages_are_linked_in_one_place_and_cited_by_their_titles() -> None:
    sources = {path: path.read_text("utf-8") for path in [*PAGES, *(ROOT / "flora_async").rglob("*.py")]}
    titles = set(re.findall(r"\[([^\]]+)\]\(https://developer\.flora\.ai", sources[DOCS / "flora.md"]))
    cited = {title for text in sources.values() for title in re.findall(r'\bpage\s+"([^"]+)"', text)}
    assert cited <= titles
    assert [path for path, text in sources.items() if "developer.flora.ai" in text] == [DOCS / "flora.md"]


def anchors(page: Path) -> set[str]:
    """What GitHub and MyST call the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_every_file_of_the_tests_that_a_page_names_exists() -> None:
    named = {
        name for page in PAGES for name in re.findall(r"`(tests/[\w/.-]+\.py)(?:::\w+)?`", page.read_text("utf-8"))
    }
    assert "tests/http/test_key_secrecy.py" in named
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_test_that_a_page_names_exists_and_every_promise_of_security_names_one() -> None:
    named = {name for page in PAGES for name in re.findall(r"`(tests/[\w/.-]+\.py::\w+)`", page.read_text("utf-8"))}
    defined = {
        f"{file.relative_to(ROOT).as_posix()}::{name}"
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)
    }
    assert sorted(named - defined) == []
    promises = re.split(r"^## The API key$", (DOCS / "security.md").read_text("utf-8"), flags=re.MULTILINE)[1]
    items = re.split(r"^- ", promises, flags=re.MULTILINE)[1:]
    assert len(items) > 10
    assert [item for item in items if "  - `tests/" not in item] == []


@every_page
def test_a_relative_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = {next(filter(None, groups)) for groups in TARGET.findall(prose)}
    with Sweep() as sweep:
        for target in {"#" + next(iter(anchors(page)))} | {t for t in targets if not re.match(r"[a-z]+:", t)}:
            with sweep.row(target):
                path, _, anchor = target.partition("#")
                linked = page.parent / path if path else page
                assert linked.exists()
                assert not anchor or anchor in anchors(linked)
