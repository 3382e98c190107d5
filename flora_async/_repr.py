"""Show objects in less than 200 characters, and on one line."""

from collections.abc import Collection, Mapping, Sized
from datetime import datetime
from typing import Any, Final

from attrs import NOTHING, Attribute, Factory, fields

from flora_async._text import MAX_SHOWN, printable

_MAX_VALUE: Final = 60
_MAX_TEXT: Final = 70
_DIGITS: Final = 6
_MAX_ITEMS: Final = 3


class ShortRepr:
    """An attrs class whose repr shows what differs from the defaults, as far as there is room for it.

    A field with a function as its `repr` is shown by it.
    """

    __slots__ = ()

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        cls.__repr__ = _short_repr  # type: ignore[method-assign]  # in place of the one that attrs has written


def as_text(value: object) -> str:
    """A value by its `str`, for `field(repr=as_text)`: that of an event says more in little room than its repr."""
    if value is None:
        return "None"
    name = type(value).__name__
    text = f"{name}: {value}".removesuffix(": ") if isinstance(value, BaseException) else str(value)
    return f"<{name if ' at 0x' in text else printable(text, _MAX_TEXT)}>"


def bounded(text: str, ending: str) -> str:
    """Text and its ending, of which together less than 200 characters are shown."""
    return printable(text, MAX_SHOWN - 1 - len(ending)) + ending


def _short_repr(self: Any) -> str:  # noqa: ANN401 - any attrs class
    known = [a for a in fields(type(self)) if a.repr]
    # Times are long, and matter least.
    known.sort(key=lambda a: isinstance(getattr(self, a.name, None), datetime))
    parts = [f"{a.name}={_shown(a, getattr(self, a.name, NOTHING))}" for a in known if not _is_default(self, a)]
    shown, room = [], MAX_SHOWN - len(type(self).__name__) - len("(, …)")
    for part in parts:
        room -= len(part) + len(", ")
        if room < 0:
            shown.append("…")
            break
        shown.append(part)
    return f"{type(self).__name__}({', '.join(shown)})"


def _shown(attribute: "Attribute[Any]", value: object) -> str:
    return attribute.repr(value) if callable(attribute.repr) else _short(value)


def _is_default(instance: object, attribute: "Attribute[Any]") -> bool:
    default: Any = attribute.default
    if isinstance(default, Factory):  # type: ignore[arg-type]  # for a type checker, it is a function
        if default.takes_self:
            return False
        default = default.factory()
    value = getattr(instance, attribute.name, NOTHING)
    return value is default or (type(value) is type(default) and bool(value == default))


def _short(value: object) -> str:
    """A value on one line, or how much there is of it."""
    if isinstance(value, str | float):
        return repr(printable(value, _MAX_VALUE) if isinstance(value, str) else round(value, _DIGITS))
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, Mapping) and len(value) <= _MAX_ITEMS:
        shown = "{" + ", ".join(f"{_short(key)}: {_short(item)}" for key, item in value.items()) + "}"
        if len(shown) <= _MAX_VALUE:
            return shown
    if isinstance(value, Sized):
        return f"<{len(value)} {_kind_of(value)}>"
    shown = repr(value)
    if isinstance(value, ShortRepr) and len(shown) > _MAX_VALUE:
        shown = shown.partition(", ")[0] + ", …)"  # its first field, which most often identifies it
    if len(shown) <= _MAX_VALUE and " at 0x" not in shown:
        return printable(shown)
    return f"<{getattr(value, '__qualname__', type(value).__name__)}>"


def _kind_of(value: Sized) -> str:
    if isinstance(value, bytes | bytearray):
        return "bytes"
    if isinstance(value, Mapping):
        return "keys"
    kinds = {type(item).__name__ for item in value} if isinstance(value, Collection) else set()
    return kinds.pop() if len(kinds) == 1 else "items"
