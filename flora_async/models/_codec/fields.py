"""Describe models and their fields for the codec."""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, Final, get_args, get_origin

from attrs import NOTHING, Attribute, AttrsInstance, fields, frozen, has

from flora_async.models._codec.scalars import cost, expected

Hook = Callable[[Any, Any], Any]

MAX_ITEMS: Final = 10_000
"""The length of a list or map above which it is not read."""


@lru_cache(maxsize=1024)
def camel(name: str) -> str:
    """`charged_cost` as `chargedCost`."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


@frozen
class ModelFields:
    """The description of a model.

    Attributes:
        attributes: The fields by name, without `extra`.
        names: The field that each of FLORA's spellings means.
        required: The fields without which the model cannot be read.
        identifying: The required fields that must not be empty: ids and statuses.
        aliases: Other names that FLORA uses for a field.
        hooks: How to read the fields whose type alone does not determine it.
        keeps_extra: Whether the model has a field `extra`.
    """

    attributes: Mapping[str, "Attribute[Any]"]
    names: Mapping[str, str]
    required: tuple[str, ...]
    identifying: tuple[str, ...]
    aliases: tuple[tuple[str, str], ...]
    hooks: Mapping[str, Hook]
    keeps_extra: bool

    def sort(self, data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Separate the known values, under our names, from the rest; null counts as missing, and snake_case wins."""
        names = self.names
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
        for name in self.identifying:
            if known.get(name) == "":
                del known[name]
        for name, alias in self.aliases:
            if name not in known and extra.get(alias) not in (None, ""):
                known[name] = extra.pop(alias)
        return known, extra


@cache
def fields_of(kind: type[AttrsInstance]) -> ModelFields:
    """Describe a model."""
    attributes = {a.name: a for a in fields(kind) if a.name != "extra"}
    required = [n for n, a in attributes.items() if a.default is NOTHING or a.metadata.get("required")]
    return ModelFields(
        attributes=attributes,
        names={spelling: n for n, a in attributes.items() for spelling in (camel(wire_name(a)), wire_name(a))},
        required=tuple(required),
        identifying=tuple(n for n in required if n in {"id", "status"} or n.endswith("_id")),
        aliases=tuple((n, alias) for n, a in attributes.items() for alias in a.metadata.get("aliases", ())),
        hooks={n: cost for n in attributes if n.endswith("_cost")},
        keeps_extra=len(attributes) < len(fields(kind)),
    )


def wire_name(attribute: "Attribute[Any]") -> str:
    """Return FLORA's name of a field, in snake_case, which differs where it is a Python keyword."""
    return str(attribute.metadata.get("name", attribute.name))


def default_of(attribute: "Attribute[Any]") -> Any:  # noqa: ANN401 - of any field
    """The value of a field that is left out."""
    factory = getattr(attribute.default, "factory", None)
    return attribute.default if factory is None else factory()


def is_tuple(kind: Any) -> bool:  # noqa: ANN401 - whatever cattrs asks about
    """Whether a type is a list of FLORA's."""
    return get_origin(kind) is tuple


def check_items(data: Any) -> None:  # noqa: ANN401 - any JSON value
    """Refuse what is not a list, or too long."""
    if type(data) is not list:
        raise expected("a list", data)
    if len(data) > MAX_ITEMS:
        raise ValueError(f"the list is longer than {MAX_ITEMS}")


def is_mapping(kind: Any) -> bool:  # noqa: ANN401 - as above
    """Whether a type is a map, whose keys are data and stay as they are."""
    return get_origin(kind) is Mapping


def is_free_form(kind: Any) -> bool:  # noqa: ANN401 - as above
    """Whether a type is a map of any values."""
    return is_mapping(kind) and get_args(kind)[1] is Any


def is_flag_or_model(kind: Any) -> bool:  # noqa: ANN401 - as above
    """Whether a type is a flag or else a model."""
    first, *others = get_args(kind) or (None,)
    return first is bool and len(others) == 1 and has(others[0])


def check_map(data: Any, kind: Any) -> None:  # noqa: ANN401 - any JSON value, as above
    """Refuse what is not an object, or too large to build models of."""
    if type(data) is not dict:
        raise expected("an object", data)
    if len(data) > MAX_ITEMS and not is_free_form(kind):
        raise ValueError(f"the object is larger than {MAX_ITEMS}")
