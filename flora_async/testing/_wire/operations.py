"""FLORA's operations, and how requests are matched to them."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

API: Final = "/api/v1"

Origin: TypeAlias = Literal["flora", "media"]

_CREATED = 201


class Operation(NamedTuple):
    """One operation: its method, its path template and the status of a successful answer."""

    method: str
    path: str
    status: int = 200

    @property
    def mutates(self) -> bool:
        """Whether it can change anything, so that its idempotency key is remembered."""
        return self.method != "GET"


_PROJECT = "/workspaces/{workspace_id}/projects/{project_id}"
_LIBRARY = "/workspaces/{workspace_id}/library/folders"

OPERATIONS: Final = {
    "techniques.retrieve": Operation("GET", "/techniques/{technique_id}"),
    "techniques.list": Operation("GET", "/techniques"),
    "techniques.runs.create": Operation("POST", "/techniques/{technique_id}/runs", _CREATED),
    "techniques.runs.list": Operation("GET", "/technique-runs"),
    "techniques.runs.retrieve": Operation("GET", "/techniques/{technique_id}/runs/{run_id}"),
    "assets.create": Operation("POST", "/assets", _CREATED),
    "assets.complete": Operation("POST", "/assets/{asset_id}/complete"),
    "assets.retry": Operation("POST", "/assets/{asset_id}/retry"),
    "assets.list": Operation("GET", "/assets"),
    "assets.retrieve": Operation("GET", "/assets/{asset_id}"),
    "workspaces.list": Operation("GET", "/workspaces"),
    "workspaces.projects.create": Operation("POST", "/workspaces/{workspace_id}/projects", _CREATED),
    "workspaces.projects.graph": Operation("GET", f"{_PROJECT}/graph"),
    "workspaces.projects.run_nodes": Operation("POST", f"{_PROJECT}/nodes/run"),
    "workspaces.projects.canvas.apply_changeset": Operation("POST", f"{_PROJECT}/canvas/changeset"),
    "workspaces.projects.canvas.retrieve_definition": Operation("GET", f"{_PROJECT}/canvas/definition"),
    "workspaces.projects.canvas.replace_definition": Operation("PUT", f"{_PROJECT}/canvas/definition"),
    "workspaces.folders.create_project": Operation(
        "POST", "/workspaces/{workspace_id}/folders/{folder_id}/projects", _CREATED
    ),
    "workspaces.library.folders.create": Operation("POST", _LIBRARY, _CREATED),
    "workspaces.library.folders.delete": Operation("DELETE", f"{_LIBRARY}/{{folder_id}}"),
    "workspaces.library.folders.add_item": Operation("POST", f"{_LIBRARY}/{{folder_id}}/items", _CREATED),
    "projects.create": Operation("POST", "/projects", _CREATED),
    "projects.retrieve": Operation("GET", "/projects/{project_id}"),
    "projects.list": Operation("GET", "/projects"),
    "projects.list_nodes": Operation("GET", "/projects/{project_id}/nodes"),
    "projects.assets.attach": Operation("POST", "/projects/{project_id}/assets/{asset_id}/attach", _CREATED),
    "projects.canvas.retrieve": Operation("GET", "/projects/{project_id}/canvas"),
    "projects.canvas.update": Operation("PATCH", "/projects/{project_id}/canvas"),
    "projects.actions.create": Operation("POST", "/projects/{project_id}/actions", _CREATED),
    "projects.actions.run": Operation("POST", "/projects/{project_id}/actions/{node_id}/run", _CREATED),
    "actions.list": Operation("GET", "/actions"),
    "actions.retrieve": Operation("GET", "/actions/{action_id}"),
    "actions.run": Operation("POST", "/runs/action", _CREATED),
    "models.list": Operation("GET", "/models"),
    "generations.create": Operation("POST", "/generate", _CREATED),
    "generations.retrieve": Operation("GET", "/runs/{run_id}"),
    "generations.list": Operation("GET", "/generations"),
    "runs.start_generation": Operation("POST", "/runs/generation", _CREATED),
    "runs.start_technique": Operation("POST", "/runs/technique", _CREATED),
    "feedback.record": Operation("POST", "/feedback", _CREATED),
}

# Short names for the operations that most tests are about.
_ALIASES: Final = {
    "techniques.runs.create": "start",
    "techniques.runs.retrieve": "poll",
    "generations.retrieve": "poll",
    "techniques.runs.list": "history",
    "techniques.retrieve": "technique",
}

TARGETS: Final = (*sorted({*_ALIASES.values(), "media", "upload", "asset", "other"}), "any", *OPERATIONS)
"""Everything that a fault can be injected on."""


class Route(NamedTuple):
    """The operation that a request was matched to.

    Attributes:
        operation: The name under which the request is recorded.
        name: The name in the table of operations, empty for a request that is not in it.
        path_params: The percent-decoded parameters in the path.
        targets: The fault targets that include this request, apart from `any`.
    """

    operation: str
    name: str
    path_params: Mapping[str, str]
    targets: frozenset[str]


class _Pattern(NamedTuple):
    """An operation as the router matches it; a segment is (parameter, "") or (None, literal)."""

    name: str
    segments: tuple[tuple[str | None, str], ...]
    operation: str
    targets: frozenset[str]


def _pattern(name: str, operation: Operation) -> _Pattern:
    alias = _ALIASES.get(name)
    targets = {name, alias or "other"} | ({"asset"} if "assets" in name.split(".") else set())
    segments = tuple(
        (part[1:-1], "") if part.startswith("{") else (None, part) for part in operation.path.split("/")[1:]
    )
    return _Pattern(name, segments, alias or name, frozenset(targets))


def _index_patterns() -> dict[tuple[str, str, int], list[_Pattern]]:
    """Index the operations by method, first segment and number of segments."""
    index: dict[tuple[str, str, int], list[_Pattern]] = {}
    for name, operation in OPERATIONS.items():
        pattern = _pattern(name, operation)
        index.setdefault((operation.method, pattern.segments[0][1], len(pattern.segments)), []).append(pattern)
    return index


_PATTERNS: Final = _index_patterns()
_UNMATCHED: Final = Route("other", "", {}, frozenset({"other"}))
_MEDIA: Final = frozenset({"media"})
_UPLOAD: Final = frozenset({"upload"})


def match_route(origin: Origin, method: str, path: str) -> Route:
    """Match a path as it was sent. It is split before it is decoded, so `%2F` belongs to a parameter."""
    return _match_api(method, path) if origin == "flora" else _match_storage(method, path)


def _match_api(method: str, path: str) -> Route:
    if not path.startswith(f"{API}/"):
        return _UNMATCHED
    parts = path[len(API) + 1 :].split("/")
    if "%" in path:
        parts = [unquote(part) for part in parts]
    for pattern in _PATTERNS.get((method, parts[0], len(parts)), ()):
        params = {}
        for (parameter, literal), part in zip(pattern.segments, parts, strict=True):
            if parameter is not None:
                params[parameter] = part
            elif literal != part:
                break
        else:
            return Route(pattern.operation, pattern.name, params, pattern.targets)
    return _UNMATCHED


def _match_storage(method: str, path: str) -> Route:
    directory, _, rest = path.removeprefix("/").partition("/")
    if rest and (method, directory) == ("GET", "media"):
        return Route("media", "", {"name": unquote(rest)}, _MEDIA)
    if rest and (method, directory) == ("POST", "upload"):
        return Route("upload", "", {"reservation": unquote(rest)}, _UPLOAD)
    return _UNMATCHED
