"""FLORA's operations, and how requests are matched to them."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

from flora_async._http.routes import ROUTES

API: Final = "/api/v1"

Origin: TypeAlias = Literal["flora", "media"]

_CREATED: Final = {
    *("actions.run", "assets.create", "feedback.record", "generations.create", "projects.actions.create"),
    *("projects.actions.run", "projects.assets.attach", "projects.create", "runs.start_generation"),
    *("runs.start_technique", "techniques.runs.create", "workspaces.folders.create_project"),
    *("workspaces.library.folders.add_item", "workspaces.library.folders.create", "workspaces.projects.create"),
}


class Operation(NamedTuple):
    """One operation: its method, its path template and the status of a successful answer."""

    method: str
    path: str
    status: int

    @property
    def mutates(self) -> bool:
        """Whether it can change anything, so that its idempotency key is remembered."""
        return self.method != "GET"


OPERATIONS: Final = {
    name: Operation(route.method, route.template, 201 if name in _CREATED else 200) for name, route in ROUTES.items()
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
    if rest and method in {"POST", "PUT"} and directory == "upload":
        return Route("upload", "", {"reservation": unquote(rest)}, _UPLOAD)
    return _UNMATCHED
