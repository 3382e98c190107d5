"""Inputs on their way to a paid start: checked against the technique, then their files uploaded."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import PurePosixPath
from typing import Final, Protocol
from urllib.parse import urlsplit

from flora_async._files import Content, input_type_by_ending
from flora_async._urls import check_https
from flora_async.errors import FieldError, FloraError, InputError
from flora_async.models import RunInput, Technique, TechniqueInput
from flora_async.resources._inputs import Draft

Find = Callable[..., Awaitable[Technique | None]]
"""Finds a technique by its slug or id: `Catalog.find`, or one who gives None where FLORA does not tell."""

_MEDIA: Final = {"imageUrl": "an image", "videoUrl": "a video", "audioUrl": "a sound", "documentUrl": "a document"}


class FileKeeper(Protocol):
    """One who brings files to FLORA."""

    async def url_of(self, content: Content, workspace_id: str | None) -> str:
        """The URL under which FLORA has a file."""
        ...


class Intake:
    """Takes inputs as far as they can be sent.

    Args:
        find: Finds techniques.
        files: Gives the one who uploads files, when there is a file.
        now: Tells the time that `find` measures by, in seconds.
    """

    def __init__(self, find: Find, files: Callable[[], FileKeeper], now: Callable[[], float]) -> None:
        self._find = find
        self._files = files
        self._now = now

    def finding(self, find: Find) -> "Intake":
        """The same intake with other means of finding techniques."""
        return Intake(find, self._files, self._now)

    async def take(
        self, technique_id: str, drafts: Sequence[Draft], *, check: bool, workspace_id: str | None
    ) -> tuple[RunInput, ...]:
        """Inputs that can be sent: right for the technique, as far as that is asked for, and uploaded.

        Raises:
            InputError: The technique does not take them; nothing was uploaded.
            FloraError: The technique could not be read, or a file not be uploaded.
            ValueError: Nobody says which workspace a file belongs to.
        """
        declared = await self._declared(technique_id, drafts) if check else {}
        return tuple(
            [
                RunInput(
                    draft.id,
                    declared.get(draft.id) or draft.likely_type,
                    draft.value
                    if isinstance(draft.value, str)
                    else await self._files().url_of(draft.value, workspace_id),
                )
                for draft in drafts
            ]
        )

    async def _declared(self, technique_id: str, drafts: Sequence[Draft]) -> dict[str, str]:
        """The types that the technique gives its inputs, once the drafts are right for it."""
        began = self._now()
        try:
            technique = await self._find(technique_id)
            flaws = flaws_of(drafts, technique)
            if flaws:  # the technique may have been edited since it was read
                technique = await self._find(technique_id, since=began)
                flaws = flaws_of(drafts, technique)
        except FloraError as error:
            error.add_note("raised while the technique was read to check its inputs; nothing was started")
            raise
        if flaws:
            raise InputError(technique_id, flaws)
        return {} if technique is None else {item.id: item.type for item in technique.inputs}


def flaws_of(drafts: Sequence[Draft], technique: Technique | None) -> list[FieldError]:
    """What is wrong with inputs for a technique; nothing where FLORA does not tell what it takes."""
    if technique is None or not technique.inputs:
        return []
    known = {item.id: item for item in technique.inputs}
    flaws = []
    for draft in drafts:
        item = known.get(draft.id)
        why = _unknown(draft.id, known) if item is None else _wrong_kind(draft, item)
        if why is not None:
            flaws.append(FieldError(draft.id, why))
    given = {draft.id for draft in drafts}
    flaws += [FieldError(name, "is missing") for name, item in known.items() if not item.optional and name not in given]
    return flaws


def _unknown(name: str, known: dict[str, TechniqueInput]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - for mistakes alone

    near = get_close_matches(name, known, n=1)
    return f"is unknown: did you mean {near[0]!r}?" if near else f"is unknown: it takes {', '.join(known) or 'none'}"


def _wrong_kind(draft: Draft, item: TechniqueInput) -> str | None:
    """Why a draft is of another kind than the technique takes; None = it is not, or this version cannot tell."""
    value, kind = draft.value, item.type
    if draft.type is not None and draft.type != kind:
        return f"is of type {kind}, not {draft.type}"
    if kind == "text" and not isinstance(value, str):
        return "takes text, not a file: pass what is in it"
    if kind not in _MEDIA:
        return None
    if isinstance(value, str):
        return None if item.accepts_element and "://" not in value else _wrong_url(value, kind)
    return None if value.input_type == kind else f"takes {_MEDIA[kind]}, not {value.content_type}"


def _wrong_url(value: str, kind: str) -> str | None:
    """Why a text is no URL of a medium of this kind, going by its ending."""
    if not _is_url(value):
        return f"takes {_MEDIA[kind]} (an https URL, or a file as pathlib.Path), not the text {value!r:.40}"
    ending = PurePosixPath(urlsplit(value).path).suffix.lower()
    return None if input_type_by_ending(ending) in {None, kind} else f"takes {_MEDIA[kind]}, not a {ending} file"


def _is_url(value: str) -> bool:
    try:
        check_https("value", value)
    except ValueError:
        return False
    return True
