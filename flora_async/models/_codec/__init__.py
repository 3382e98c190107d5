"""Decode bytes to models, and encode models to dictionaries; the only importer of cattrs.

FLORA spells keys in camelCase, in snake_case, or both in one payload, and adds fields and enum values over time. So
keys are matched in either spelling (snake_case wins) and `null` counts as missing. Unknown fields are kept in `extra`,
and so are values of the wrong type, whose field then has its default. Only what identifies a model is required.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar, cast, get_args

from attrs import AttrsInstance, has
from cattrs import Converter

from flora_async.errors import DecodeError
from flora_async.models import ItemProblem, Page, Run
from flora_async.models._codec.fields import MAX_ITEMS, Hook, camel, fields_of
from flora_async.models._codec.hooks import Case as Case
from flora_async.models._codec.hooks import build_converter
from flora_async.models._codec.lenient import LenientReader, UnreadableError, path_of
from flora_async.models._codec.parsing import parse_json as parse_json
from flora_async.models._codec.scalars import expected, integer, text

ModelT = TypeVar("ModelT")

_CASES: Final = get_args(Case)
_STRICT_ERRORS: Final = (ValueError, KeyError)
"""What strict reading raises for a value of the wrong type, and for a missing required one."""


def decode(body: bytes, kind: type[ModelT], *, request_id: str | None = None) -> ModelT:
    """Read one model from a body, and log which parts of it could not be read.

    Args:
        body: The JSON text.
        kind: The model.
        request_id: FLORA's id of the request, for errors and the log.

    Raises:
        DecodeError: The body is not JSON, or a required field is missing or has the wrong type.
    """
    data = parse_json(body, request_id=request_id)
    try:
        return _converter().structure(data, kind)
    except _STRICT_ERRORS:
        return _read_leniently(data, kind, request_id=request_id, warn=True)


def from_dict(data: object, kind: type[ModelT]) -> ModelT:
    """Read one model from what `json.loads` gives; a journal's answers have been logged before.

    Raises:
        DecodeError: A required field is missing or has the wrong type.
    """
    try:
        return _converter().structure(data, kind)
    except _STRICT_ERRORS:
        return _read_leniently(data, kind, request_id=None, warn=False)


def _read_leniently(data: object, kind: type[ModelT], *, request_id: str | None, warn: bool) -> ModelT:
    """Read a model whose values are not all as they should be.

    Raises:
        DecodeError: A required field is missing or has the wrong type.
    """
    reader = LenientReader(_converter().structure)
    try:
        model: ModelT = reader.item(cast("type[AttrsInstance]", kind), data)
    except UnreadableError as error:
        path = path_of(error.steps)
        failure = DecodeError(path, error.reason, request_id=request_id, transient=not path)
        failure.run = _named_run(data, kind)
        raise failure from None
    if warn:
        reader.log(request_id)
    return model


def decode_page(body: bytes, kind: type[ModelT], items_key: str, *, request_id: str | None = None) -> Page[ModelT]:
    """Read one page of a list: the items under `items_key` and the cursor under `meta`.

    Items that cannot be read are reported in `Page.problems`.

    Raises:
        DecodeError: The body is not JSON, or has no list of at most 10,000 items under `items_key`.
    """
    data = parse_json(body, request_id=request_id)
    if type(data) is not dict:
        raise DecodeError("", str(expected("an object", data)), request_id=request_id, transient=True)
    values = _first(data, items_key)
    if type(values) is not list or len(values) > MAX_ITEMS:
        reason = "is missing" if values is None else f"a list of at most {MAX_ITEMS} items was expected"
        raise DecodeError(items_key, reason, request_id=request_id)
    converter = _converter()
    hook, reader = converter.get_structure_hook(kind), LenientReader(converter.structure)
    items: list[ModelT] = []
    problems: list[ItemProblem] = []
    for index, value in enumerate(values):
        try:
            items.append(hook(value, kind))
        except _STRICT_ERRORS:
            try:
                items.append(reader.item(cast("type[AttrsInstance]", kind), value, items_key, index))
            except UnreadableError as error:
                reader.note(error.steps, error.reason)
                problems.append(ItemProblem(index, path_of(error.steps[2:]), error.reason))
    meta = _first(data, "meta")
    cursor, total = None, None
    try:
        cursor = _part(meta, "next_cursor", text)
    except ValueError as error:
        # Without this, the page would look like the last one.
        problems.append(ItemProblem(None, "meta.next_cursor", str(error)))
        reader.note(("meta", "next_cursor"), str(error))
    try:
        total = _part(meta, "total_estimate", integer)
    except ValueError as error:
        reader.note(("meta", "total_estimate"), str(error))
    reader.log(request_id)
    return Page(tuple(items), cursor or None, total, tuple(problems))


def to_dict(model: AttrsInstance, case: Case = "snake") -> dict[str, Any]:
    """Turn a model into plain data that `json.dumps` accepts, under FLORA's own names.

    Times become ISO 8601 strings in UTC, enum values their text, and `extra` is merged back. Nothing is lost: reading
    the result gives an equal model.

    Args:
        model: A `Run`, `TechniqueRun`, `RunOutput` or any other model of this package.
        case: The spelling of the keys: `snake` (`run_id`, the default) or `camel` (`runId`).

    Returns:
        A new dictionary with every field of the model.

    Raises:
        ValueError: `case` is neither.
        TypeError: `model` is not a model of this package.

    Example:
        >>> to_dict(RunOutput(output_id="o", type=OutputType.IMAGE, url="https://media.flora.ai/o.png"), case="camel")
        {'outputId': 'o', 'type': 'imageUrl', 'url': 'https://media.flora.ai/o.png'}
    """
    if case not in _CASES:
        raise ValueError(f"case must be one of {', '.join(_CASES)}, not {case!r}")
    if isinstance(model, type) or not has(type(model)):
        raise TypeError(f"to_dict takes a model such as a Run, not {model!r:.60}")
    return cast("dict[str, Any]", _converter(case).unstructure(model))


def to_body(model: AttrsInstance) -> dict[str, Any]:
    """Turn a model into a part of a request: as `to_dict`, without the fields that are None."""
    return cast("dict[str, Any]", _converter("snake", sparse=True).unstructure(model))


@cache
def _converter(case: Case = "snake", *, sparse: bool = False) -> Converter:
    """Build a converter on first use: that takes longer than importing this package."""
    return build_converter(case, sparse=sparse)


def _named_run(data: object, kind: type) -> Run | None:
    """Return the run that an unreadable answer names, so that its id is not lost."""
    if not issubclass(kind, Run) or type(data) is not dict:
        return None
    run_id = fields_of(cast("type[AttrsInstance]", kind)).sort(data)[0].get("run_id")
    return Run(run_id=run_id, status="unknown") if isinstance(run_id, str) else None


def _first(data: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value under the snake_case name, or else under the camelCase one."""
    value = data.get(name)
    return data.get(camel(name)) if value is None else value


def _part(meta: Any, name: str, hook: Hook) -> Any:  # noqa: ANN401 - any JSON value
    """Read a value of a page's `meta`; null counts as missing.

    Raises:
        ValueError: It has the wrong type, or `meta` has.
    """
    if meta is not None and type(meta) is not dict:
        raise expected("an object", meta)
    value = None if meta is None else _first(meta, name)
    return None if value is None else hook(value, None)
