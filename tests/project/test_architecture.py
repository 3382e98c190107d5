"""The house rules: imports point down, modules stay small, and what is public is public on purpose."""

import ast
import inspect
import io
import re
import subprocess
import sys
import textwrap
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import flora_async
from flora_async import FloraSession

PACKAGE = Path(flora_async.__file__).parent
ROOT = Path(__file__).parents[2]
MAX_CODE_LINES = 330
# A session is one class, and its calls have a keyword for each decision.
LONGER_MODULES = {"flora_async.session": 450}
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
    "fsspec",
    "upath",
}


def module_name(path: Path) -> str:
    parts = ("flora_async", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(source) for name, source in SOURCES.items()}


def imported(module: str) -> Iterator[str]:
    """Every name that a module imports, in whatever block, dotted and absolute."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def code_lines(module: str) -> int:
    """The lines that hold code: not blank, not comments, not docstrings."""
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(SOURCES[module]).readline)
    lines = {line for token in tokens if token.type not in layout for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=50)  # noqa: S603 - our own code


def test_imports_keep_the_contracts_of_layers_circles_and_libraries() -> None:
    # A process of its own: the linter configures logging.
    done = run_python("from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))")
    broken = done.stdout.partition("Broken contracts")[2] or done.stdout + done.stderr
    assert done.returncode == 0, broken


def test_every_library_is_under_a_contract_and_no_import_hides_from_it() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    libraries = {library for contract in contracts for library in contract.get("protected_modules", ())}
    # Attrs may be used everywhere, and type checkers bring typing_extensions along.
    allowed = libraries | sys.stdlib_module_names | {"attrs", "flora_async", "typing_extensions"}
    names = {module: set(imported(module)) for module in SOURCES}
    assert {m: unknown for m, found in names.items() if (unknown := {n.split(".")[0] for n in found} - allowed)} == {}
    dynamic = re.compile(r"\b(importlib|imp|runpy|__import__|exec|eval)\b")
    hidden = {module for module, found in names.items() if any(map(dynamic.match, found))}
    called = {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and dynamic.fullmatch(node.id)
    }
    assert hidden | called == {"flora_async._lazy"}


def test_a_module_is_short_and_says_what_it_is_for() -> None:
    lengths = {module: code_lines(module) for module in SOURCES}
    assert {m: lines for m, lines in lengths.items() if lines > LONGER_MODULES.get(m, MAX_CODE_LINES)} == {}
    assert [module for module, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_nothing_has_a_vague_name() -> None:
    classes = {
        f"{module}.{node.name}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    words = {name: {word.lower() for word in re.findall("[A-Z]?[a-z]+", name)} for name in {*SOURCES, *classes}}
    assert {name for name, found in words.items() if found & VAGUE} == set()


def test_the_public_names_are_these() -> None:
    assert flora_async.__all__ == [
        *["APIConnectionError", "APIStatusError", "APITimeoutError", "ActionRequest", "AuthenticationError"],
        *["BadRequestError", "Batch", "BatchInterruptedError", "BatchPlan", "BatchResult", "BatchSummary"],
        *["BudgetExceededError", "ClusterLostError", "ConflictError"],
        *["DecodeError", "DownloadError"],
        *["Failure", "FailureHint", "FieldError", "FloraError", "FloraSession", "GenerationRequest", "Hooks"],
        *["IdempotencyError", "InputError"],
        *["InputValue", "Inputs"],
        "InsufficientCreditsError",
        *["InternalServerError", "JournalError", "NotFoundError", "OnUpdate", "OutputType", "Page", "Pager"],
        *[
            "PermissionDeniedError",
            "PollPolicy",
            "RateLimitError",
            "ResponseLimits",
            "RetryPolicy",
            "Run",
            "RunFailedError",
            "RunInput",
        ],
        *["RunOutput", "RunReference", "RunRequest", "RunStatus", "SessionClosedError", "SkippedError"],
        "SubmissionUnknownError",
        *["Technique", "TechniqueInput", "TechniqueOutput", "TechniqueReference", "TechniqueRun"],
        *["UnprocessableEntityError", "UntrustedURLError", "UploadError", "WaitTimeoutError", "Wake"],
        *["WebhookVerificationError", "__version__", "download", "record_responses", "to_dict"],
        *["wait_for_run", "watch_run"],
    ]


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


SESSION = FloraSession("sk_test_1", base_url="http://127.0.0.1:1")
RUNS = SESSION.techniques.runs


def test_the_public_attributes_are_these() -> None:
    pinned = {
        SESSION: (
            "actions assets batch close download feedback generate generations models projects request "
            "resolve run run_all runs save_outputs techniques wait_for_run watch_run with_options workspaces"
        ),
        SESSION.assets: "complete create list retrieve retry upload",
        SESSION.techniques: "list retrieve runs",
        SESSION.batch("x", []): "plan records stop summary",
        RUNS: "create list retrieve",
        RUNS.list(): "pages",
    }
    assert {type(thing): public(thing) for thing in pinned} == {type(t): set(n.split()) for t, n in pinned.items()}


WAIT = "poll: PollPolicy | None=None, timeout: float | EllipsisType | None=..."
TOLD = "on_update: OnUpdate | None=None, raise_on_failure: bool=False, wake: Wake | None=None"
START = "callback_url: str | None=None, idempotency_key: str | None=None"
WHERE = "workspace_id: str | None=None"
BATCH = (
    "concurrency: int=16, start_interval: float=0.0, max_cost: float | None=None, "
    "journal: str | os.PathLike[str] | None=None, name: str | None=None, run_attempts: int=1, watch: 'Watch'='auto', "
    "check: bool=True, "
    "workspace_id: str | None=None, save_to: 'str | os.PathLike[str] | UPath | None'=None, "
    "poll: PollPolicy | None=None, "
    "on_progress: 'OnProgress | None'=None"
)
FILTERS = "workspace_id: str | None=None, project_id: str | None=None, technique_id: str | None=None"


SIGNATURES: list[tuple[Callable[..., Any], str]] = [
    (
        FloraSession.__init__,
        (
            "self, api_key: str | None=None, *, base_url: str | None=None, timeout: float | None=60.0, "
            "retry: RetryPolicy=RetryPolicy(), poll: PollPolicy=PollPolicy(), limits: ResponseLimits=ResponseLimits(), "
            "http_session: ClientSession | None=None, max_connections: int=100, "
            "trace_configs: Sequence[TraceConfig]=(), trusted_origins: Sequence[str]=(), "
            "allow_http: bool=False, workspace_id: str | None=None, headers: Mapping[str, str] | None=None, "
            "query: Mapping[str, ParameterValue] | None=None, hooks: 'Hooks | Sequence[Hooks] | None'=None, "
            "clock: Clock | None=None -> None"
        ),
    ),
    (
        RUNS.create,
        (
            f"self, technique_id: str, *, inputs: Inputs, mode: Mode='async', {START}, check: bool=False, {WHERE}, "
            "adopt: bool=False, wake: Wake | None=None -> Run"
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
            "self, source: 'RunOutput | Asset | str', destination: 'str | os.PathLike[str] | PathT', *, "
            "exists: 'Exists'='keep', overwrite: bool=False, max_bytes: int | None=MAX_FILE_SIZE, "
            "progress: 'Progress | None'=None -> 'PathT'"
        ),
    ),
    (
        SESSION.save_outputs,
        (
            "self, run: Run, directory: 'str | os.PathLike[str] | PathT', *, name: str='{run_id}-{output_id}', "
            "exists: 'Exists'='keep', overwrite: bool=False, max_bytes: int | None=MAX_FILE_SIZE, sidecar: bool=True, "
            "technique_id: str | None=None -> 'tuple[PathT, ...]'"
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
        f"self, technique_id: str, rows: 'Rows', *, {BATCH} -> 'Batch'",
    ),
    (
        SESSION.run_all,
        (f"self, technique_id: str, rows: 'Rows', *, raise_on_failure: bool=False, {BATCH} -> 'list[BatchResult]'"),
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
    (
        SESSION.with_options,
        (
            "self, *, timeout: float | EllipsisType | None=..., retry: RetryPolicy | None=None, "
            "poll: PollPolicy | None=None, headers: Mapping[str, str | None] | None=None, "
            "query: Mapping[str, ParameterValue] | None=None, "
            "hooks: 'Hooks | Sequence[Hooks] | None'=None -> Self"
        ),
    ),
    (flora_async.record_responses, " -> 'Generator[list[ResponseReceived], None, None]'"),
    (flora_async.to_dict, "model: AttrsInstance, case: Case='snake' -> dict[str, Any]"),
]


def written_signature(function: Callable[..., Any]) -> str:
    (written,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(written, ast.FunctionDef | ast.AsyncFunctionDef)
    assert written.returns is not None
    return f"{ast.unparse(written.args)} -> {ast.unparse(written.returns)}"


def test_the_public_signatures_are_these() -> None:
    found = {function.__qualname__: written_signature(function) for function, _ in SIGNATURES}
    assert found == {function.__qualname__: signature for function, signature in SIGNATURES}


PUBLIC = {name: getattr(flora_async, name) for name in flora_async.__all__}
CLASSES = [*(thing for thing in PUBLIC.values() if inspect.isclass(thing)), type(SESSION.techniques), type(RUNS)]
METHODS = {
    f"{kind.__name__}.{name}": member
    for kind in CLASSES
    for name, member in vars(kind).items()
    if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
}
FUNCTIONS = {name: thing for name, thing in PUBLIC.items() if inspect.isfunction(thing)}


def test_all_that_is_public_says_what_it_is_for_and_all_that_is_called_shows_an_example() -> None:
    speaking = {kind.__name__: kind for kind in CLASSES} | METHODS | FUNCTIONS
    # Inherited docstrings, and those that attrs or Enum make up, are not counted.
    written = {name: vars(thing).get("__doc__") or "" for name, thing in speaking.items() if inspect.isclass(thing)}
    written |= {name: thing.__doc__ or "" for name, thing in speaking.items() if not inspect.isclass(thing)}
    made_up = [kind.__name__ for kind in CLASSES if issubclass(kind, Enum)]
    assert [name for name, words in written.items() if not words] == []
    assert [name for name in made_up if written[name].startswith("An enumeration")] == []

    methods = {n for n, f in METHODS.items() if n.startswith(("FloraSession.", "TechniqueRuns.")) and callable(f)}
    called = {*FUNCTIONS, *methods} - {"FloraSession.close"}  # `async with` closes
    example = re.compile(r"^ *Example:\n +>>> ", re.MULTILINE)
    assert [name for name in sorted(called) if not example.search(written[name])] == []


def in_a_new_process(code: str) -> list[str]:
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_the_package_imports_nothing_heavy_besides_its_dependencies() -> None:
    added = in_a_new_process(
        "import sys, aiohttp, attrs, cattrs, tenacity; before = set(sys.modules)\n"
        "import flora_async; print(*(set(sys.modules) - before))"
    )
    assert "flora_async.session" in added
    assert {name for name in added if name.split(".")[0] in HEAVY or name in HEAVY} == set()
    elsewhere = r"flora_async\.(batch\.|hooks|otel|media\.downloads|webhooks|testing|cli|pytest_plugin|__main__)"
    assert not [name for name in added if re.match(elsewhere, name)]
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
