"""Bytes to models and models to dictionaries; the only room that imports cattrs.

FLORA spells keys in camelCase, in snake_case, or both in one payload, and adds fields and enum values as it grows.
So keys are matched in either spelling (snake_case wins), `null` counts as missing, what is unknown is kept under
`extra`, and what has the wrong type is refused with the path to it.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar, cast, get_args

from attrs import AttrsInstance, frozen, has
from cattrs import Converter
from cattrs.errors import ClassValidationError, IterableValidationError

from flora_async.errors import DecodeError
from flora_async.models import Page
from flora_async.models._codec.hooks import Case as Case
from flora_async.models._codec.hooks import build_converter, camel
from flora_async.models._codec.scalars import quote

ModelT = TypeVar("ModelT")

_CASES: Final = get_args(Case)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_parse_text = json.JSONDecoder(parse_constant=_refuse_constant).decode


def parse_json(body: bytes, *, request_id: str | None = None) -> Any:  # noqa: ANN401 - any JSON value
    """Read a body as JSON (RFC 8259, so without NaN).

    Raises:
        DecodeError: The body is no JSON; `transient`, since it is likely no answer of FLORA's.
    """
    try:
        return _parse_text(body.decode())
    except (ValueError, RecursionError) as error:
        reason = f"no JSON but {quote(body)}" if body.strip() else "an empty body"
        raise DecodeError("", reason, request_id=request_id, transient=True) from error


def decode(body: bytes, kind: type[ModelT], *, request_id: str | None = None) -> ModelT:
    """Read one model from a body.

    Raises:
        DecodeError: The body is no JSON, a required field is missing, or a value has the wrong type.
    """
    return from_dict(parse_json(body, request_id=request_id), kind, request_id=request_id)


def from_dict(data: object, kind: type[ModelT], *, request_id: str | None = None) -> ModelT:
    """Read one model from what `json.loads` gives.

    Raises:
        DecodeError: A required field is missing, or a value has the wrong type.
    """
    try:
        return _converter().structure(data, kind)
    except _FLAWS as error:
        raise _decode_error(error, "", request_id) from None


def decode_page(body: bytes, kind: type[ModelT], items_key: str, *, request_id: str | None = None) -> Page[ModelT]:
    """Read one page of a list: the items under `items_key` and the cursor under `meta`.

    Raises:
        DecodeError: As `decode`.
    """
    data = parse_json(body, request_id=request_id)
    if not isinstance(data, dict):
        raise DecodeError("", f"an object was expected, not {quote(data)}", request_id=request_id, transient=True)
    items = _first(data, items_key)
    meta = _first(data, "meta")
    if items is None:
        raise DecodeError(items_key, "is missing", request_id=request_id)
    path = items_key
    try:
        converter = _converter()
        many: Any = tuple[kind, ...]  # type: ignore[valid-type]  # a type built at run time
        decoded = converter.structure(items, many)
        path = "meta"
        end = converter.structure({} if meta is None else meta, _Meta)
    except _FLAWS as error:
        raise _decode_error(error, path, request_id) from None
    return Page(decoded, end.next_cursor or None, end.total_estimate)


@frozen
class _Meta:
    """What a page says about the pages after it."""

    next_cursor: str | None = None
    total_estimate: int | None = None


def to_dict(model: AttrsInstance, case: Case = "snake") -> dict[str, Any]:
    """Turn a model into plain data that `json.dumps` takes and FLORA's own names spell.

    Times become ISO 8601 strings in UTC, enum values their text, and `extra` goes back to where it came from. Nothing
    is lost: FLORA could have sent the result, and reading it would give an equal model.

    Args:
        model: A `Run`, `TechniqueRun`, `RunOutput` or any other model of this package.
        case: How to spell the keys: `snake` (`run_id`, the default) or `camel` (`runId`).

    Returns:
        A new dictionary with every field of the model.

    Raises:
        ValueError: `case` is neither.
        TypeError: `model` is no model of this package.

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
    """What a request says of a model: as `to_dict`, without the fields that are None."""
    return cast("dict[str, Any]", _converter("snake", sparse=True).unstructure(model))


@cache
def _converter(case: Case = "snake", *, sparse: bool = False) -> Converter:
    """Build a converter on first use, not on import: that takes longer than importing this package."""
    return build_converter(case, sparse=sparse)


def _first(data: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    """The value under the snake_case name or else the camelCase one."""
    value = data.get(name)
    return data.get(camel(name)) if value is None else value


_FLAWS: Final = (ClassValidationError, IterableValidationError, ValueError)


def _decode_error(error: BaseException, path: str, request_id: str | None) -> DecodeError:
    """Follow cattrs' notes down to the first value that is wrong."""
    while isinstance(error, ClassValidationError | IterableValidationError):
        error, note = error.group_exceptions()[0][0]
        step = getattr(note, "name", None)
        path = f"{path}[{note.index}]" if step is None else f"{path}.{step}".lstrip(".")
    reason = "is missing" if isinstance(error, KeyError) else str(error)
    return DecodeError(path, reason, request_id=request_id, transient=not path)
