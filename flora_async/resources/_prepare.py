"""Prepare inputs for a paid start: drafted from what callers pass, checked against the technique, files uploaded."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final, Protocol
from urllib.parse import urlsplit

from attrs import frozen

from flora_async._http.urls import check_https, is_video_url
from flora_async.errors import FieldError, FloraError, InputError
from flora_async.media.content import Content, FileSource, input_type_by_ending, is_file_source, read_content
from flora_async.models import RunInput, Technique, TechniqueInput

InputValue = str | FileSource
"""A text, the https URL of a medium, or a file: a path, bytes, or a file open for reading bytes."""

Inputs = Mapping[str, InputValue] | Sequence[RunInput]
"""Values by input id, or a sequence of `RunInput` that says each type."""

_REMEDY: Final = "pass a mapping {input_id: value} or a sequence of RunInput"


@frozen
class Draft:
    """An input whose type or URL may still have to be found out.

    Attributes:
        id: The input's id in the technique.
        type: What the caller says it is; None = not said.
        value: The text or URL, or a file that has to be uploaded first.
    """

    id: str
    type: str | None
    value: str | Content

    @property
    def likely_type(self) -> str:
        """Its type as far as it can be told without the technique."""
        if self.type is not None:
            return self.type
        return _type_of(self.value) if isinstance(self.value, str) else self.value.input_type


async def draft_inputs(inputs: object) -> tuple[Draft, ...]:
    """Take inputs as people write them, and look at the files among them.

    Raises:
        TypeError: `inputs` is no mapping or sequence of `RunInput`, or a value is neither text nor file.
        ValueError: There are none, an id is blank or given twice, or a file cannot be uploaded.
        OSError: A file cannot be read.
    """
    given: tuple[tuple[str, str | None, object], ...]
    if isinstance(inputs, Mapping):
        given = tuple((name, None, value) for name, value in inputs.items())
    elif isinstance(inputs, Sequence) and all(isinstance(item, RunInput) for item in inputs) and inputs != "":
        given = tuple((item.id, item.type, item.value) for item in inputs)
    else:
        raise TypeError(f"inputs must not be {inputs!r:.60}: {_REMEDY}")
    if not given:
        raise ValueError(f"inputs must not be empty: {_REMEDY}")
    met: set[str] = set()
    for name, kind, value in given:
        for part, text in (("id", name), ("type", "text" if kind is None else kind)):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"inputs: the {part} of an input must be text and not blank, not {text!r:.60}")
        if not isinstance(value, str) and not is_file_source(value):
            raise TypeError(
                f"inputs[{name!r}] must be text, the https URL of a medium, or a file (a path, bytes, or open for "
                f"reading bytes), not {value!r:.60}"
            )
        if name in met:
            raise ValueError(f"inputs: {name!r} is given twice; FLORA takes one value for each input")
        met.add(name)
    return tuple([Draft(name, kind, await _looked_at(name, value)) for name, kind, value in given])


async def _looked_at(name: str, value: object) -> str | Content:
    if isinstance(value, str):
        return value
    try:
        return await asyncio.to_thread(read_content, value)
    except (OSError, ValueError, TypeError) as error:
        error.add_note(f"raised by the file that was given for inputs[{name!r}]; nothing was sent")
        raise


def _type_of(value: str) -> str:
    """Until the technique's schema is read, the value alone tells its type."""
    try:
        check_https("value", value)
    except ValueError:
        return "text"
    return "videoUrl" if is_video_url(value) else "imageUrl"


Find = Callable[..., Awaitable[Technique | None]]
"""Finds a technique by its slug or id: `TechniqueCache.find`, or one who gives None where FLORA does not tell."""

_MEDIA: Final = {"imageUrl": "an image", "videoUrl": "a video", "audioUrl": "a sound", "documentUrl": "a document"}


class FileKeeper(Protocol):
    """One who brings files to FLORA."""

    async def url_of(self, content: Content, workspace_id: str | None) -> str:
        """The URL under which FLORA has a file."""
        ...


class InputPreparer:
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

    def finding(self, find: Find) -> "InputPreparer":
        """The same preparer with other means of finding techniques."""
        return InputPreparer(find, self._files, self._now)

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
