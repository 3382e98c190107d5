"""The house rules: imports point down, modules stay small, and what is public is public on purpose."""

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

import flora_async
from flora_async import FloraSession

PACKAGE = Path(flora_async.__file__).parent

# From the ground up: a room may import from itself and from those before it.
FLOORS: Sequence[str] = """_version _clock _lazy _checks _cache errors models config _http webhooks polling media
resources batch session __init__""".split()  # noqa: SIM905 - in the order of the design, on a few lines
# What stands on the roof sees the public API alone, and these.
ROOF = {
    "testing": {"_clock", "_http", "_lazy", "webhooks"},
    "pytest_plugin": {"__init__", "testing"},
    "cli": {"__init__", "testing"},
    "__main__": {"__init__", "cli"},
}
# attrs may be used in every room; anything else from outside the standard library has its place.
LIBRARIES: dict[str, set[str]] = {
    "attrs": {*FLOORS, *ROOF},
    "cattrs": {"models"},
    "aiohttp": {"_http", "testing", "webhooks"},
    "yarl": {"_http"},
    "multidict": {"testing"},
    "tenacity": {"_http"},
    "aiosqlite": {"batch"},
    "puremagic": {"media"},
    "pytest": {"pytest_plugin"},
    "pytest_asyncio": {"pytest_plugin"},
}
LONGEST_MODULE = 560
VAGUE = {"util", "utils", "helper", "helpers", "manager", "base"}
# Slow to import or of no use to a program that only talks to FLORA.
HEAVY = {"argparse", "unittest", "pytest", "_pytest", "hypothesis", "sphinx", "docutils", "doctest", "pydoc", "pdb"}
HEAVY |= {
    "aiohttp.web",
    "aiohttp.test_utils",
    "multiprocessing",
    "concurrent.futures.process",
    "sqlite3",
    "xml",
    "tkinter",
}


def module_name(path: Path) -> str:
    parts = ("flora_async", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(source) for name, source in SOURCES.items()}
MODULES = list(SOURCES)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imported(module: str) -> Iterator[str]:
    """Every name that a module imports, in whatever block, dotted and absolute."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# An error is typed by the model that it carries; at run time it knows nothing of it.
FOR_TYPES_ALONE = {
    ("flora_async.errors.requests", "flora_async.models.Run"),
    ("flora_async.errors.runs", "flora_async.models.Run"),
    ("flora_async.errors.runs", "flora_async.models.Asset"),
}


def own(module: str) -> set[str]:
    """The modules of this package that a module imports."""
    found = set()
    for name in imported(module):
        if (module, name) in FOR_TYPES_ALONE:
            continue
        target = name
        while target and target not in SOURCES:
            target = target.rpartition(".")[0]
        found |= {target} & SOURCES.keys()
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_its_place(module: str) -> None:
    assert room(module) in {*FLOORS, *ROOF}


def test_every_place_has_its_module() -> None:
    assert {room(module) for module in MODULES} == {*FLOORS, *ROOF}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    here = room(module)
    below = ROOF[here] if here in ROOF else set(FLOORS[: FLOORS.index(here)])
    assert {target for target in own(module) if room(target) not in below | {here}} == set()


@pytest.mark.parametrize("module", MODULES)
def test_each_library_is_imported_in_its_rooms_only(module: str) -> None:
    outside = {name.split(".")[0] for name in imported(module)} - sys.stdlib_module_names - {"flora_async"}
    assert {library for library in outside if room(module) not in LIBRARIES.get(library, ())} == set()


@pytest.mark.parametrize("module", MODULES)
def test_no_import_hides_from_these_rules(module: str) -> None:
    hidden = {name for name in imported(module) if name.split(".")[0] in {"importlib", "imp", "runpy"}}
    named = {node.id for node in ast.walk(TREES[module]) if isinstance(node, ast.Name)}
    lazy = {"importlib.import_module"} if module == "flora_async._lazy" else set()
    assert hidden | named & {"__import__", "exec", "eval"} == lazy


def test_no_imports_go_in_a_circle() -> None:
    TopologicalSorter({module: own(module) - {module} for module in MODULES}).prepare()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short_and_says_what_it_is_for(module: str) -> None:
    assert len(SOURCES[module].splitlines()) <= LONGEST_MODULE
    assert ast.get_docstring(TREES[module])


@pytest.mark.parametrize("module", MODULES)
def test_nothing_has_a_vague_name(module: str) -> None:
    defined = {node.name for node in ast.walk(TREES[module]) if isinstance(node, ast.ClassDef)} | {*module.split(".")}
    words = {word.lower() for name in defined for word in re.findall("[A-Z]?[a-z]+", name)}
    assert words & VAGUE == set()


def test_the_public_names_are_these() -> None:
    assert flora_async.__all__ == [
        *["APIConnectionError", "APIStatusError", "APITimeoutError", "AuthenticationError", "BadRequestError", "Batch"],
        *["BatchResult", "BatchSummary", "BudgetExceededError", "ConflictError", "DecodeError", "DownloadError"],
        *["FieldError", "FloraError", "FloraSession", "IdempotencyError", "InputError", "InputValue", "Inputs"],
        "InsufficientCreditsError",
        *["InternalServerError", "JournalError", "NotFoundError", "OnUpdate", "OutputType", "Page", "Pager"],
        *["PermissionDeniedError", "PollPolicy", "RateLimitError", "RetryPolicy", "Run", "RunFailedError", "RunInput"],
        *["RunOutput", "RunReference", "RunRequest", "RunStatus", "SkippedError", "SubmissionUnknownError"],
        *["Technique", "TechniqueInput", "TechniqueOutput", "TechniqueReference", "TechniqueRun"],
        *["UnprocessableEntityError", "UntrustedURLError", "UploadError", "WaitTimeoutError", "Wake"],
        *["WebhookVerificationError", "__version__", "download", "to_dict"],
        *["wait_for_run", "watch_run"],
    ]


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


SESSION = FloraSession("sk_test_1", base_url="http://127.0.0.1:1")
RUNS = SESSION.techniques.runs


@pytest.mark.parametrize(
    ("thing", "names"),
    [
        (
            SESSION,
            (
                "actions assets batch close download feedback generations models projects request "
                "run run_all runs save_outputs techniques wait_for_run watch_run workspaces"
            ),
        ),
        (SESSION.assets, "complete create list retrieve retry upload"),
        (SESSION.techniques, "list retrieve runs"),
        (SESSION.batch("x", []), "summary"),
        (RUNS, "create list retrieve"),
        (RUNS.list(), "pages"),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_the_public_attributes_are_these(thing: object, names: str) -> None:
    assert public(thing) == set(names.split())


WAIT = "poll: PollPolicy | None=None, timeout: float | EllipsisType | None=..."
TOLD = "on_update: OnUpdate | None=None, raise_on_failure: bool=False, wake: Wake | None=None"
START = "callback_url: str | None=None, idempotency_key: str | None=None"
WHERE = "workspace_id: str | None=None"
FILTERS = "workspace_id: str | None=None, project_id: str | None=None, technique_id: str | None=None"


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (
            FloraSession.__init__,
            (
                "self, api_key: str | None=None, *, base_url: str | None=None, timeout: float | None=60.0, "
                "retry: RetryPolicy=RetryPolicy(), poll: PollPolicy=PollPolicy(), "
                "http_session: ClientSession | None=None, max_connections: int=100, "
                "trace_configs: Sequence[TraceConfig]=(), trusted_origins: Sequence[str]=(), "
                "allow_http: bool=False, workspace_id: str | None=None, clock: Clock | None=None -> None"
            ),
        ),
        (
            RUNS.create,
            (
                f"self, technique_id: str, *, inputs: Inputs, mode: Mode='async', {START}, check: bool=False, "
                f"{WHERE} -> Run"
            ),
        ),
        (RUNS.retrieve, "self, run_id: str, *, technique_id: str -> Run"),
        (
            RUNS.list,
            (
                f"self, *, {FILTERS}, status: RunStatus | str | None=None, limit: int | None=None, "
                "cursor: str | None=None -> Pager[TechniqueRun]"
            ),
        ),
        (
            SESSION.run,
            (f"self, technique_id: str, inputs: Inputs, *, {START}, check: bool=True, {WHERE}, {WAIT}, {TOLD} -> Run"),
        ),
        (
            SESSION.download,
            (
                "self, source: 'RunOutput | Asset | str', destination: str | os.PathLike[str], *, "
                "overwrite: bool=False, max_bytes: int | None=MAX_FILE_SIZE, progress: 'Progress | None'=None -> Path"
            ),
        ),
        (
            SESSION.save_outputs,
            (
                "self, run: Run, directory: str | os.PathLike[str], *, name: str='{run_id}-{output_id}', "
                "overwrite: bool=False, max_bytes: int | None=MAX_FILE_SIZE, sidecar: bool=True, "
                "technique_id: str | None=None -> tuple[Path, ...]"
            ),
        ),
        (
            SESSION.assets.upload,
            (
                f"self, source: UploadSource, *, {WHERE}, content_type: str | None=None, file_name: str | None=None, "
                "folder: str | None=None, project_id: str | None=None, progress: Progress | None=None, "
                "timeout: float | None=300.0 -> 'models.Asset'"
            ),
        ),
        (
            SESSION.request,
            (
                "self, method: str, path: str, *, params: Mapping[str, ParameterValue] | None=None, json: Any=None, "
                "idempotency_key: str | None=None -> Any"
            ),
        ),
        (
            SESSION.batch,
            "self, technique_id: str, rows: 'Rows', **options: 'Unpack[BatchOptions]' -> 'Batch'",
        ),
        (
            SESSION.run_all,
            (
                "self, technique_id: str, rows: 'Rows', *, raise_on_failure: bool=False, "
                "**options: 'Unpack[BatchOptions]' -> 'list[BatchResult]'"
            ),
        ),
        (SESSION.techniques.retrieve, "self, technique_id: str -> Technique"),
        (SESSION.wait_for_run, f"self, run: RunReference, *, {WAIT}, {TOLD} -> Run"),
        (
            SESSION.watch_run,
            f"self, run: RunReference, *, {WAIT}, wake: Wake | None=None -> AsyncGenerator[Run, None]",
        ),
        (flora_async.wait_for_run, f"session: RunSource, run: RunReference, *, {WAIT}, {TOLD} -> Run"),
        (
            flora_async.watch_run,
            (f"session: RunSource, run: RunReference, *, {WAIT}, wake: Wake | None=None -> AsyncGenerator[Run, None]"),
        ),
        (flora_async.to_dict, "model: AttrsInstance, case: Case='snake' -> dict[str, Any]"),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_the_public_signatures_are_these(function: Callable[..., Any], signature: str) -> None:
    (written,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(written, ast.FunctionDef | ast.AsyncFunctionDef)
    assert written.returns is not None
    assert f"{ast.unparse(written.args)} -> {ast.unparse(written.returns)}" == signature


PUBLIC = {name: getattr(flora_async, name) for name in flora_async.__all__}
CLASSES = [*(thing for thing in PUBLIC.values() if inspect.isclass(thing)), type(SESSION.techniques), type(RUNS)]
METHODS = {
    f"{kind.__name__}.{name}": member
    for kind in CLASSES
    for name, member in vars(kind).items()
    if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
}
FUNCTIONS = {name: thing for name, thing in PUBLIC.items() if inspect.isfunction(thing)}


SPEAKING = {kind.__name__: kind for kind in CLASSES} | METHODS | FUNCTIONS


@pytest.mark.parametrize("thing", SPEAKING.values(), ids=SPEAKING)
def test_all_that_is_public_says_what_it_is_for(thing: object) -> None:
    # Inherited docstrings and those that attrs or Enum make up are none.
    own_words = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    assert own_words
    assert not (isinstance(thing, type) and issubclass(thing, Enum) and own_words.startswith("An enumeration"))


# What nobody calls by itself: `async with` closes, and `wait_for_run` looks.
SELF_EVIDENT = {"FloraSession.close"}
CALLED = [n for n, f in METHODS.items() if n.startswith(("FloraSession.", "TechniqueRuns.")) and inspect.isfunction(f)]


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, *CALLED} - SELF_EVIDENT))
def test_all_that_is_called_shows_an_example(name: str) -> None:
    words = (FUNCTIONS | METHODS)[name].__doc__ or ""
    assert re.search(r"^ *Example:\n +>>> ", words, re.MULTILINE)


def in_a_new_process(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603 - our own code
    return done.stdout.split()


def test_importing_the_package_imports_nothing_heavy_besides_its_dependencies() -> None:
    added = in_a_new_process(
        "import sys, aiohttp, attrs, cattrs, tenacity; before = set(sys.modules)\n"
        "import flora_async; print(*(set(sys.modules) - before))"
    )
    assert "flora_async.session" in added
    assert {name for name in added if name.split(".")[0] in HEAVY or name in HEAVY} == set()
    assert {name for name in added if room(name) in ROOF and name.startswith("flora_async.")} == set()
    assert {name.split(".")[0] for name in added} <= {
        "flora_async",
        "aiohttp",
        "cattrs",
        "tenacity",
    } | sys.stdlib_module_names


def test_importing_the_package_builds_no_converter() -> None:
    code = "import flora_async; print(flora_async.models._codec._converter.cache_info().currsize)"
    assert in_a_new_process(code) == ["0"]
    assert in_a_new_process(code.replace("; ", "; flora_async.to_dict(flora_async.Page(items=())); ", 1)) == ["1"]
