"""Build the converter: how models, lists, maps and enums are read and written."""

from collections.abc import Callable
from datetime import datetime
from enum import Enum, EnumType
from typing import Any, Literal, cast, get_args

from attrs import NOTHING, AttrsInstance, fields, has
from cattrs import Converter
from cattrs.cols import list_structure_factory, mapping_structure_factory
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from flora_async.models._codec.fields import (
    Hook,
    camel,
    check_items,
    check_map,
    fields_of,
    is_flag_or_model,
    is_free_form,
    is_mapping,
    is_tuple,
    wire_name,
)
from flora_async.models._codec.lenient import LenientReader
from flora_async.models._codec.scalars import expected, integer, moment, number, text, truth, unchanged

Case = Literal["snake", "camel"]


def build_converter(case: Case, *, sparse: bool) -> Converter:
    """Build a converter that reads both spellings, strictly, and writes one.

    Args:
        case: The spelling to write.
        sparse: Whether to leave out None.
    """
    converter = Converter(detailed_validation=False)
    for kind, hook in ((str, text), (bool, truth), (int, integer), (float, number), (datetime, moment)):
        converter.register_structure_hook(kind, hook)
        converter.register_structure_hook(kind | None, hook)  # null never gets here: it counts as missing
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook_factory(_is_open_enum, _open_enum)
    converter.register_unstructure_hook_func(_is_open_enum, str)
    converter.register_structure_hook_factory(is_flag_or_model, _flag_or_model)
    converter.register_structure_hook_factory(is_tuple, _tuple_hook)
    converter.register_structure_hook_factory(is_mapping, _mapping_hook)
    converter.register_unstructure_hook_func(is_free_form, dict)
    converter.register_structure_hook_factory(has, _model_hook)
    converter.register_unstructure_hook_factory(has, _model_unstructure_hook(case, sparse=sparse))
    return converter


def _model_hook(kind: type[AttrsInstance], converter: Converter) -> Hook:
    about = fields_of(kind)
    overrides: dict[str, Any] = {name: override(struct_hook=hook) for name, hook in about.hooks.items()}
    build = make_dict_structure_fn(kind, converter, **overrides, extra=override(struct_hook=unchanged))
    marked = tuple(name for name in about.required if about.attributes[name].default is not NOTHING)
    sort, keeps_extra = about.sort, about.keeps_extra

    def structure(data: Any, _: Any) -> Any:  # noqa: ANN401 - any JSON value in, any model out
        if type(data) is not dict:
            raise expected("an object", data)
        known, extra = sort(data)
        for name in marked:
            known[name]
        if keeps_extra:
            known["extra"] = extra
        return build(known, kind)

    return structure


def _model_unstructure_hook(
    case: Case, *, sparse: bool
) -> Callable[[type[AttrsInstance], Converter], Callable[[Any], dict[str, Any]]]:
    spell: Callable[[str], str] = camel if case == "camel" else str

    def factory(kind: type[AttrsInstance], converter: Converter) -> Callable[[Any], dict[str, Any]]:
        written = {a.name: spell(wire_name(a)) for a in fields(kind)}
        renames = {name: override(rename=key, omit=name == "extra") for name, key in written.items()}
        build = make_dict_unstructure_fn(kind, converter, **cast("dict[str, Any]", renames))
        nulls = {spell(wire_name(a)) for a in fields(kind) if a.metadata.get("null")}
        names = fields_of(kind).names

        def unstructure(model: Any) -> dict[str, Any]:  # noqa: ANN401 - any model
            known = build(model)
            if sparse:
                known = {name: value for name, value in known.items() if value is not None or name in nulls}
            extra = getattr(model, "extra", None)
            if not extra:
                return known
            for key in extra.keys() & names.keys():
                # A value that could not be read is written as it was, unless its field has been set since.
                name = names[key]
                if LenientReader(converter.structure).field(kind, name, extra[key]) == getattr(model, name):
                    known.pop(written[name], None)
                else:
                    extra = {other: value for other, value in extra.items() if other != key}
            return {**extra, **known}

        return unstructure

    return factory


def _tuple_hook(kind: Any, converter: Converter) -> Callable[[Any, Any], tuple[Any, ...]]:  # noqa: ANN401 - as above
    items: Any = list[get_args(kind)[0]]  # type: ignore[misc]  # a type built at run time
    build = list_structure_factory(items, converter)

    def structure(data: Any, _: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any JSON value
        check_items(data)
        return tuple(build(data, items))

    return structure


def _mapping_hook(kind: Any, converter: Converter) -> Hook:  # noqa: ANN401 - as above
    plain: Any = dict[get_args(kind)]  # type: ignore[misc]  # a type built at run time
    # Before cattrs 25.1, the factory does not ask the converter.
    build = mapping_structure_factory(plain, converter, detailed_validation=converter.detailed_validation)

    def structure(data: Any, _: Any) -> Any:  # noqa: ANN401 - any JSON value
        check_map(data, kind)
        return build(data, plain)

    return structure


def _is_open_enum(kind: Any) -> bool:  # noqa: ANN401 - as above
    first, *others = get_args(kind) or (None,)
    return others == [str] and isinstance(first, EnumType)


def _open_enum(kind: Any) -> Hook:  # noqa: ANN401 - as above
    known: dict[str, Enum] = {member.value: member for member in get_args(kind)[0]}

    def structure(value: Any, _: Any) -> Any:  # noqa: ANN401 - any JSON value in, member or str out
        if type(value) is not str:
            raise expected("text", value)
        return known.get(value, value)

    return structure


def _flag_or_model(kind: Any, converter: Converter) -> Hook:  # noqa: ANN401 - as above
    model = get_args(kind)[1]

    def structure(value: Any, _: Any) -> Any:  # noqa: ANN401 - any JSON value in, a flag or a model out
        return value if type(value) is bool else converter.structure(value, model)

    return structure
