"""Read an answer in which some values are malformed.

Strict reading is faster and comes first. If it fails, the answer is read again here: a field with a malformed value
gets its default, and the value is kept in the `extra` of its model, under FLORA's name, and logged. Only a malformed
required field makes its model unreadable.
"""

import logging
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

from attrs import AttrsInstance, has

from flora_async._text import printable
from flora_async.models._codec.fields import (
    check_items,
    check_map,
    default_of,
    fields_of,
    is_flag_or_model,
    is_mapping,
    is_tuple,
    wire_name,
)
from flora_async.models._codec.scalars import expected

Step = str | int
"""A field's name or an item's index; `*` for an entry of a map, whose key is data."""

_logger = logging.getLogger("flora_async")
_MAX_NOTED: Final = 3
_MAX_SHOWN: Final = 100


class UnreadableError(ValueError):
    """A value cannot be read, and is required by the model that contains it.

    Attributes:
        steps: Where it is.
        reason: What is wrong with it.
    """

    def __init__(self, steps: tuple[Step, ...], reason: str) -> None:
        super().__init__(reason)
        self.steps = steps
        self.reason = reason


def path_of(steps: tuple[Step, ...]) -> str:
    """Write a position as `outputs[0].url`."""
    return "".join(f".{step}" if isinstance(step, str) and step != "*" else f"[{step}]" for step in steps).lstrip(".")


class LenientReader:
    """Reads one answer.

    Args:
        structure: Reads a single value of a given type strictly.
    """

    def __init__(self, structure: Callable[[Any, Any], Any]) -> None:
        self._structure = structure
        self._steps: list[Step] = []
        self._noted: list[str] = []
        self._count = 0

    def item(self, kind: type[AttrsInstance], data: Any, *steps: Step) -> Any:  # noqa: ANN401 - any JSON value in, any model out
        """Read a model at a position of the answer.

        Raises:
            UnreadableError: It is not an object, or a required field is missing or malformed.
        """
        self._steps = list(steps)
        return self._model(kind, data)

    def field(self, kind: type[AttrsInstance], name: str, value: Any) -> Any:  # noqa: ANN401 - any JSON value in, a field out
        """Read one field of a model, or return its default."""
        try:
            return self._field(kind, name, value)[0]
        except UnreadableError:
            return default_of(fields_of(kind).attributes[name])

    def note(self, steps: tuple[Step, ...], reason: str) -> None:
        """Remember a problem for the log."""
        self._count += 1
        if self._count <= _MAX_NOTED:
            self._noted.append(f"{path_of(steps) or 'top level'}: {reason}")

    def log(self, request_id: str | None) -> None:
        """Log all problems of the answer in one warning."""
        if self._count:
            more = f"; and {self._count - len(self._noted)} more" if self._count > len(self._noted) else ""
            about = "" if request_id is None else f" (request id {printable(request_id, 36)})"
            shown = printable("; ".join(self._noted), _MAX_SHOWN - len(more)) + more
            _logger.warning("FLORA's answer%s has values that were left out: %s", about, shown)

    def _error(self, reason: object, *steps: Step) -> UnreadableError:
        return UnreadableError((*self._steps, *steps), str(reason))

    def _model(self, kind: type[AttrsInstance], data: Any) -> Any:  # noqa: ANN401 - any JSON value in, any model out
        if type(data) is not dict:
            raise self._error(expected("an object", data))
        about = fields_of(kind)
        known, extra = about.sort(data)
        for name in about.required:
            if name not in known:
                raise self._error("is missing", wire_name(about.attributes[name]))
        values: dict[str, Any] = {}
        for name, value in known.items():
            self._steps.append(wire_name(about.attributes[name]))
            try:
                values[name], is_complete = self._field(kind, name, value)
            except UnreadableError as error:
                if name in about.required or not about.keeps_extra:
                    raise
                self.note(error.steps, error.reason)
                is_complete = False
            finally:
                self._steps.pop()
            if not is_complete:
                extra[_key_of(name, value, data, about.names)] = value
        return kind(**values, **({"extra": extra} if about.keeps_extra else {}))

    def _field(self, kind: type[AttrsInstance], name: str, value: Any) -> tuple[Any, bool]:  # noqa: ANN401 - as above
        """Read a field, and say whether all of its value could be read."""
        about = fields_of(kind)
        hook = about.hooks.get(name)
        if hook is None:
            return self._value(about.attributes[name].type, value)
        try:
            return hook(value, float), True
        except ValueError as error:
            raise self._error(error) from None

    def _value(self, kind: Any, value: Any) -> tuple[Any, bool]:  # noqa: ANN401 - any type and JSON value
        kind = _alternative(kind, value)
        if has(kind):
            return self._model(kind, value), True
        try:
            # Lists of numbers are coordinates, which mean nothing if one is missing.
            if is_tuple(kind) and get_args(kind)[0] is not float:
                check_items(value)
                return self._items(get_args(kind)[0], value)
            if is_mapping(kind):
                check_map(value, kind)
                return self._entries(get_args(kind)[1], value)
            return self._structure(value, kind), True
        except UnreadableError:
            raise
        except ValueError as error:
            raise self._error(error) from None

    def _items(self, kind: Any, values: list[Any]) -> tuple[tuple[Any, ...], bool]:  # noqa: ANN401 - any type
        items: list[Any] = []
        for index, value in enumerate(values):
            self._steps.append(index)
            try:
                items.append(self._value(kind, value)[0])
            except UnreadableError as error:
                self.note(error.steps, error.reason)
            finally:
                self._steps.pop()
        return tuple(items), len(items) == len(values)

    def _entries(self, kind: Any, values: dict[str, Any]) -> tuple[dict[str, Any], bool]:  # noqa: ANN401 - any type
        if kind is Any:
            return dict(values), True
        entries: dict[str, Any] = {}
        self._steps.append("*")
        for key, value in values.items():
            try:
                entries[key] = self._value(kind, value)[0]
            except UnreadableError as error:
                self.note(error.steps, error.reason)
        self._steps.pop()
        return entries, len(entries) == len(values)


def _alternative(kind: Any, value: Any) -> Any:  # noqa: ANN401 - any type and JSON value
    """Choose the type of a value where a type allows None, or a flag instead of a model; null never gets here."""
    if get_origin(kind) in {Union, UnionType} and NoneType in get_args(kind):
        kind = Union[tuple(arg for arg in get_args(kind) if arg is not NoneType)]  # noqa: UP007 - built at run time
    return get_args(kind)[1] if is_flag_or_model(kind) and type(value) is not bool else kind


def _key_of(name: str, value: Any, data: Mapping[str, Any], names: Mapping[str, str]) -> str:  # noqa: ANN401 - any JSON value
    """Return the key under which FLORA sent a value."""
    return next(key for key, meant in names.items() if meant == name and data.get(key) is value)
