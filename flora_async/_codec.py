"""Bytes to models and models to dictionaries; the only importer of cattrs.

FLORA spells keys in camelCase, in snake_case, or both in one payload, and adds fields and enum values as it grows.
So keys are matched in either spelling (snake_case wins), `null` counts as missing, what is unknown is kept under
`extra`, and what has the wrong type is refused with the path to it.
"""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache, lru_cache
from typing import Any, Final, Literal, TypeVar, cast, get_args

from attrs import NOTHING, AttrsInstance, fields, frozen, has
from cattrs import Converter
from cattrs.cols import list_structure_factory
from cattrs.errors import ClassValidationError, IterableValidationError
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from flora_async.errors import DecodeError
from flora_async.models import OutputType, Page, RunStatus

ModelT = TypeVar("ModelT")

Case = Literal["snake", "camel"]

_CASES: Final = get_args(Case)
# FLORA does not write the unit of its times: below this a number can only be seconds, above it only milliseconds.
_FIRST_MILLISECONDS: Final = 1e11
_LONGEST_QUOTE: Final = 40


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
        reason = f"no JSON but {_quote(body)}" if body.strip() else "an empty body"
        raise DecodeError("", reason, request_id=request_id, transient=True) from error


def decode(body: bytes, kind: type[ModelT], *, request_id: str | None = None) -> ModelT:
    """Read one model from a body.

    Raises:
        DecodeError: The body is no JSON, a required field is missing, or a value has the wrong type.
    """
    data = parse_json(body, request_id=request_id)
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
        raise DecodeError("", f"an object was expected, not {_quote(data)}", request_id=request_id, transient=True)
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


@lru_cache(maxsize=1024)
def camel(name: str) -> str:
    """`charged_cost` as `chargedCost`."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


@cache
def _converter(case: Case = "snake") -> Converter:
    """Build a converter: every one reads both spellings; `case` says which one it writes.

    Built on first use, not on import: compiling its functions takes longer than importing this package.
    """
    converter = Converter(detailed_validation=True)
    for kind, hook in ((str, _text), (bool, _truth), (int, _integer), (float, _number), (datetime, _moment)):
        converter.register_structure_hook(kind, hook)
        converter.register_structure_hook(kind | None, hook)  # null never gets here: it counts as missing
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    for enum in (RunStatus, OutputType):
        converter.register_structure_hook(enum | str, _open_enum(enum))
        converter.register_unstructure_hook(enum | str, str)
    converter.register_structure_hook_factory(_is_tuple, _tuple_hook)
    converter.register_structure_hook_factory(has, _model_hook)
    converter.register_unstructure_hook_factory(has, _model_unhook(case))
    return converter


def _model_hook(kind: type[AttrsInstance], converter: Converter) -> Callable[[Any, Any], Any]:
    attributes = [attribute for attribute in fields(kind) if attribute.name != "extra"]
    keeps_extra = len(attributes) < len(fields(kind))
    names = {spelling: a.name for a in attributes for spelling in (camel(a.name), a.name)}
    required = [a.name for a in attributes if a.default is NOTHING]
    aliases = [(a.name, alias) for a in attributes for alias in a.metadata.get("aliases", ())]
    build = make_dict_structure_fn(kind, converter, extra=override(struct_hook=_as_it_is))

    def structure(data: Any, _: Any) -> Any:  # noqa: ANN401 - any JSON value in, any model out
        if type(data) is not dict:
            raise _expected("an object", data)
        known, extra = _sort(data, names)
        for name, alias in aliases:
            if name not in known and extra.get(alias) is not None:
                known[name] = extra.pop(alias)
        for name in required:
            if known.get(name) == "":
                del known[name]
        if keeps_extra:
            known["extra"] = extra
        return build(known, kind)

    return structure


def _sort(data: dict[str, Any], names: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is known, under its own names, and the rest; null counts as missing, and snake_case wins."""
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in data.items():
        name = names.get(key)
        if name is None:
            extra[key] = value
        elif value is not None:
            if key == name:
                known[name] = value
            else:
                known.setdefault(name, value)
    return known, extra


def _model_unhook(case: Case) -> Callable[[type[AttrsInstance], Converter], Callable[[Any], dict[str, Any]]]:
    spell: Callable[[str], str] = camel if case == "camel" else str

    def factory(kind: type[AttrsInstance], converter: Converter) -> Callable[[Any], dict[str, Any]]:
        renames = {a.name: override(rename=spell(a.name), omit=a.name == "extra") for a in fields(kind)}
        build = make_dict_unstructure_fn(kind, converter, **cast("dict[str, Any]", renames))

        def unstructure(model: Any) -> dict[str, Any]:  # noqa: ANN401 - any model
            return {**getattr(model, "extra", {}), **build(model)}

        return unstructure

    return factory


def _is_tuple(kind: Any) -> bool:  # noqa: ANN401 - whatever cattrs asks about
    return getattr(kind, "__origin__", None) is tuple


def _tuple_hook(kind: Any, converter: Converter) -> Callable[[Any, Any], tuple[Any, ...]]:  # noqa: ANN401 - as above
    items: Any = list[get_args(kind)[0]]  # type: ignore[misc]  # a type built at run time
    build = list_structure_factory(items, converter)

    def structure(data: Any, _: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any JSON value
        if type(data) is not list:
            raise _expected("a list", data)
        return tuple(build(data, items))

    return structure


def _open_enum(enum: type[Enum]) -> Callable[[Any, Any], Any]:
    known: dict[str, Enum] = {member.value: member for member in enum}

    def structure(value: Any, _: Any) -> Any:  # noqa: ANN401 - any JSON value in, member or str out
        return known.get(_text(value, str), value)

    return structure


def _as_it_is(value: Any, _: Any) -> Any:  # noqa: ANN401 - free-form maps keep what they hold
    return value


def _text(value: Any, _: Any) -> str:  # noqa: ANN401 - any JSON value
    if type(value) is not str:
        raise _expected("text", value)
    return value


def _truth(value: Any, _: Any) -> bool:  # noqa: ANN401 - any JSON value
    if type(value) is not bool:
        raise _expected("true or false", value)
    return value


def _integer(value: Any, _: Any) -> int:  # noqa: ANN401 - any JSON value
    if type(value) is not int:
        raise _expected("a whole number", value)
    return value


def _number(value: Any, _: Any) -> float:  # noqa: ANN401 - any JSON value
    if type(value) is not float and type(value) is not int:
        raise _expected("a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _expected("a finite number", value)
    return number


def _moment(value: Any, _: Any) -> datetime:  # noqa: ANN401 - any JSON value
    try:
        if type(value) is str:
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = _number(value, float)
        return datetime.fromtimestamp(seconds if abs(seconds) < _FIRST_MILLISECONDS else seconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise _expected("a time (Unix seconds, milliseconds or ISO 8601)", value) from None


def _expected(what: str, value: object) -> ValueError:
    return ValueError(f"{what} was expected, not {_quote(value)}")


def _quote(value: object) -> str:
    """What was there instead, short; containers are named only, as they can be deeper than `repr` can go."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value[:_LONGEST_QUOTE]) if isinstance(value, str | bytes) else repr(value)
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"


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
