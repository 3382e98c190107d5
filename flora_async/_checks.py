"""Validation of arguments: each check returns the value, or raises an error that names it and the remedy."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any, Final, TypeVar

CheckedT = TypeVar("CheckedT")

# FLORA answers any other id with a 500, which leaves a start in doubt.
PUBLIC_IDS: Final[Mapping[str, str]] = {"workspace_id": "ws_", "project_id": "prj_"}
"""How the ids begin whose form FLORA checks, by the names of the arguments."""
_PUBLIC_ID: Final = re.compile(r"[A-Za-z]+_[A-Za-z0-9_-]+")
_NOT_IN_IDS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_HALF_CHARACTER: Final = re.compile(r"[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")
_EXCERPT: Final = 20

_MAX_PAGE_SIZE: Final = 100

_MAX_KEY_LENGTH: Final = 255

PRINTABLE: Final = re.compile(r"[!-~]+")
"""ASCII without spaces or control characters: what fits into a header."""


def check_number(name: str, value: object, *, minimum: float = 0.0, exclusive: bool = False) -> None:
    """Refuse anything but a finite number of at least `minimum`; a bool is not a number here."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r:.60}")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        finite = False
    if not finite or value < minimum or (exclusive and value == minimum):
        bound = "more than" if exclusive else "at least"
        raise ValueError(f"{name} must be a finite number of {bound} {minimum:g}, not {value!r:.60}")


def check_count(name: str, value: object) -> None:
    """Refuse anything but a whole number of at least 1; a bool is not a number here."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, not {value!r:.60}")


def check_flag(name: str, value: object) -> None:
    """Refuse anything but True and False: text such as "no" would count as True."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r:.60}")


def check_progress(progress: object) -> None:
    """Refuse a `progress` that cannot be called with two numbers at once, as a coroutine function cannot."""
    if progress is not None and (not callable(progress) or iscoroutinefunction(progress)):
        raise TypeError(f"progress must be a plain function of two numbers, not {progress!r:.60}")


def non_blank(name: str, value: object) -> str:
    """Text that is not blank, such as a prompt or a name.

    Raises:
        TypeError: It is not text.
        ValueError: It is blank, or is not text that can be meant.
    """
    text = _text(name, value)
    check_text(name, text)
    return text


def identifier(name: str, value: object) -> str:
    """An id or slug; a workspace's or a project's has the form that FLORA gives it.

    Raises:
        TypeError: It is not text.
        ValueError: It is blank, holds what no id does, such as a line break, or is not such an id.
    """
    text = _text(name, value)
    prefix = PUBLIC_IDS.get(name)
    if prefix is not None and not (text.startswith(prefix) and _PUBLIC_ID.fullmatch(text)):
        raise ValueError(f"{name} must be an id as FLORA lists it ({prefix}…), not {text!r:.60}")
    if text != text.strip() or _NOT_IN_IDS.search(text):
        raise ValueError(
            f"{name} {text!r:.60} must not have blanks around it, line breaks or control characters: strip it, or pass "
            "it as FLORA lists it"
        )
    return text


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, not {value!r:.60}")
    if not value.strip():
        raise ValueError(f"{name} must not be blank: leave it out, or say what it is")
    return value


def check_text(name: str, text: str) -> None:
    """Refuse text that cannot be meant, and comes from bytes that were decoded wrongly.

    JSON can write both as escapes, but half of a surrogate pair is not a character (RFC 8259, 8.2), and neither the
    RFC nor FLORA gives NUL a meaning, while databases refuse it, which leaves a start in doubt.

    Raises:
        ValueError: It holds half of a surrogate pair, or a NUL character.
    """
    check_characters(name, text)
    if "\0" in text:
        raise ValueError(f"{name} holds a NUL character, {_around(text, text.index(chr(0)))}: remove it")


def check_characters(name: str, text: str) -> None:
    """Refuse text that no UTF-8 can write.

    Raises:
        ValueError: It holds half of a surrogate pair.
    """
    half = None if text.isascii() else _HALF_CHARACTER.search(text)
    if half is not None:
        raise ValueError(
            f"{name} holds half of a character, {_around(text, half.start())}, which UTF-8 cannot write: "
            "decode the text again from its source, or remove it"
        )


def _around(text: str, at: int) -> str:
    return repr(text[max(at - _EXCERPT, 0) : at + _EXCERPT])


def optional(check: Callable[[str, object], CheckedT], name: str, value: object) -> CheckedT | None:
    """Return the result of `check`; None stays None, and is not sent."""
    return None if value is None else check(name, value)


def one_of(name: str, value: object, choices: Sequence[str]) -> str:
    """Check that a value is one of FLORA's own.

    Raises:
        ValueError: It is not one of them.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r:.60}")
    return str(value)


def page_size(limit: object) -> int | None:
    """The number of items on a page; None = FLORA's default.

    Raises:
        ValueError: It is not a whole number from 1 to 100.
    """
    if limit is not None and (type(limit) is not int or not 1 <= limit <= _MAX_PAGE_SIZE):
        raise ValueError(f"limit must be a whole number from 1 to {_MAX_PAGE_SIZE}, not {limit!r:.60}")
    return limit


def free_form(name: str, value: object) -> dict[str, Any]:
    """Copy a mapping whose keys and values are the caller's own; it is sent unchanged.

    Raises:
        TypeError: It is not a mapping, or a key is not text.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping, not {value!r:.60}")
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"{name} must have text for keys, not {key!r:.60}")
    return dict(value)


def items(name: str, value: object) -> Sequence[Any]:
    """A sequence that is not text or bytes.

    Raises:
        TypeError: It is not a sequence, or it is text or bytes.
    """
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise TypeError(f"{name} must be a sequence, not {value!r:.60}")
    return value


def check_idempotency_key(key: object, name: str = "idempotency_key") -> str:
    """An idempotency key, or a part of one, that fits into a header.

    Raises:
        TypeError: It is not text.
        ValueError: It is empty, longer than 255 characters, or not printable ASCII without spaces.
    """
    if not isinstance(key, str):
        raise TypeError(f"{name} must be text, not {key!r:.60}")
    if len(key) > _MAX_KEY_LENGTH:
        raise ValueError(f"{name} has {len(key)} characters; at most {_MAX_KEY_LENGTH} are allowed: hash it")
    if not PRINTABLE.fullmatch(key):
        raise ValueError(f"{name} {key!r:.300} must be printable ASCII without spaces, such as a UUID")
    return key


def check_api_key(key: str) -> None:
    """Refuse text that cannot be one of FLORA's API keys. No message here shows any part of it.

    Raises:
        ValueError: It is missing, or malformed in a way that FLORA would answer with 401.
    """
    if not key:
        raise ValueError(
            "No API key: pass FloraSession(api_key='sk_live_…') or set the environment variable FLORA_API_KEY"
        )
    if key.lower().startswith("bearer"):
        raise ValueError("The API key starts with 'Bearer': pass the bare key (sk_live_…), the prefix is added here")
    if not PRINTABLE.fullmatch(key):
        raise ValueError("The API key contains white space, a line break or a non-ASCII character: copy it again")


def other_loop_error() -> RuntimeError:
    """Build the error for a session that is used on two event loops at once."""
    return RuntimeError(
        "This FloraSession is in use on another event loop: close it there first, or make one session for each loop"
    )
