"""How each kind of field is read and written: models, lists, maps and choices."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum, EnumType
from functools import lru_cache
from typing import Any, Literal, cast, get_args, get_origin

from attrs import NOTHING, Attribute, AttrsInstance, fields, has
from cattrs import Converter
from cattrs.cols import list_structure_factory, mapping_structure_factory
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from flora_async.models._codec.scalars import as_it_is, expected, integer, moment, number, text, truth

Case = Literal["snake", "camel"]


@lru_cache(maxsize=1024)
def camel(name: str) -> str:
    """`charged_cost` as `chargedCost`."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def build_converter(case: Case, *, sparse: bool) -> Converter:
    """Build a converter: every one reads both spellings; `case` says which one it writes, `sparse` leaves None out."""
    converter = Converter(detailed_validation=True)
    for kind, hook in ((str, text), (bool, truth), (int, integer), (float, number), (datetime, moment)):
        converter.register_structure_hook(kind, hook)
        converter.register_structure_hook(kind | None, hook)  # null never gets here: it counts as missing
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook_factory(_is_open_enum, _open_enum)
    converter.register_unstructure_hook_func(_is_open_enum, str)
    converter.register_structure_hook_factory(_is_flag_or_model, _flag_or_model)
    converter.register_structure_hook_factory(_is_tuple, _tuple_hook)
    converter.register_structure_hook_factory(_is_mapping, _mapping_hook)
    converter.register_unstructure_hook_func(_is_free_form, dict)
    converter.register_structure_hook_factory(has, _model_hook)
    converter.register_unstructure_hook_factory(has, _model_unhook(case, sparse=sparse))
    return converter


def _wire_name(attribute: "Attribute[Any]") -> str:
    """What FLORA calls a field, in snake_case: some of its names are keywords of Python's."""
    return str(attribute.metadata.get("name", attribute.name))


def _model_hook(kind: type[AttrsInstance], converter: Converter) -> Callable[[Any, Any], Any]:
    attributes = [attribute for attribute in fields(kind) if attribute.name != "extra"]
    keeps_extra = len(attributes) < len(fields(kind))
    names = {spelling: a.name for a in attributes for spelling in (camel(_wire_name(a)), _wire_name(a))}
    required = [a.name for a in attributes if a.default is NOTHING]
    aliases = [(a.name, alias) for a in attributes for alias in a.metadata.get("aliases", ())]
    build = make_dict_structure_fn(kind, converter, extra=override(struct_hook=as_it_is))

    def structure(data: Any, _: Any) -> Any:  # noqa: ANN401 - any JSON value in, any model out
        if type(data) is not dict:
            raise expected("an object", data)
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


def _model_unhook(
    case: Case, *, sparse: bool
) -> Callable[[type[AttrsInstance], Converter], Callable[[Any], dict[str, Any]]]:
    spell: Callable[[str], str] = camel if case == "camel" else str

    def factory(kind: type[AttrsInstance], converter: Converter) -> Callable[[Any], dict[str, Any]]:
        renames = {a.name: override(rename=spell(_wire_name(a)), omit=a.name == "extra") for a in fields(kind)}
        build = make_dict_unstructure_fn(kind, converter, **cast("dict[str, Any]", renames))
        nulls = {spell(_wire_name(a)) for a in fields(kind) if a.metadata.get("null")}

        def unstructure(model: Any) -> dict[str, Any]:  # noqa: ANN401 - any model
            return {**getattr(model, "extra", {}), **build(model)}

        def unstructure_sparsely(model: Any) -> dict[str, Any]:  # noqa: ANN401 - any model
            known = {name: value for name, value in build(model).items() if value is not None or name in nulls}
            return {**getattr(model, "extra", {}), **known}

        return unstructure_sparsely if sparse else unstructure

    return factory


def _is_tuple(kind: Any) -> bool:  # noqa: ANN401 - whatever cattrs asks about
    return get_origin(kind) is tuple


def _tuple_hook(kind: Any, converter: Converter) -> Callable[[Any, Any], tuple[Any, ...]]:  # noqa: ANN401 - as above
    items: Any = list[get_args(kind)[0]]  # type: ignore[misc]  # a type built at run time
    build = list_structure_factory(items, converter)

    def structure(data: Any, _: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any JSON value
        if type(data) is not list:
            raise expected("a list", data)
        return tuple(build(data, items))

    return structure


def _is_mapping(kind: Any) -> bool:  # noqa: ANN401 - as above
    return get_origin(kind) is Mapping


def _is_free_form(kind: Any) -> bool:  # noqa: ANN401 - as above
    return _is_mapping(kind) and get_args(kind)[1] is Any


def _mapping_hook(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:  # noqa: ANN401 - as above
    """The keys are somebody's data: they stay as they are."""
    plain: Any = dict[get_args(kind)]  # type: ignore[misc]  # a type built at run time
    build = mapping_structure_factory(plain, converter)

    def structure(data: Any, _: Any) -> Any:  # noqa: ANN401 - any JSON value
        if type(data) is not dict:
            raise expected("an object", data)
        return build(data, plain)

    return structure


def _is_open_enum(kind: Any) -> bool:  # noqa: ANN401 - as above
    first, *others = get_args(kind) or (None,)
    return others == [str] and isinstance(first, EnumType)


def _open_enum(kind: Any) -> Callable[[Any, Any], Any]:  # noqa: ANN401 - as above
    known: dict[str, Enum] = {member.value: member for member in get_args(kind)[0]}

    def structure(value: Any, _: Any) -> Any:  # noqa: ANN401 - any JSON value in, member or str out
        return known.get(text(value, str), value)

    return structure


def _is_flag_or_model(kind: Any) -> bool:  # noqa: ANN401 - as above
    first, *others = get_args(kind) or (None,)
    return first is bool and len(others) == 1 and has(others[0])


def _flag_or_model(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:  # noqa: ANN401 - as above
    model = get_args(kind)[1]

    def structure(value: Any, _: Any) -> Any:  # noqa: ANN401 - any JSON value in, a flag or a model out
        return value if type(value) is bool else converter.structure(value, model)

    return structure
