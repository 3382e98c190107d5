"""Prepare inputs for a paid start: read the files among them, check them against the technique, upload the files."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit

from attrs import evolve, frozen

from flora_async._checks import check_text, identifier, optional
from flora_async._http.urls import check_https, is_video_url
from flora_async._threads import off_loop
from flora_async.errors import FieldError, FloraError, InputError
from flora_async.media.content import Content, FileSource, input_type_by_ending, is_file_source, read_content
from flora_async.media.store_urls import STORE_REMEDY, is_store_url, shown_url
from flora_async.models import RunInput, Technique, TechniqueInput
from flora_async.resources._hints import did_you_mean

FoundT = TypeVar("FoundT")

InputValue = str | FileSource
"""A text, the https URL of a medium, or a file: a path, bytes, a file open for reading bytes, or one in a store."""

Inputs = Mapping[str, InputValue] | Sequence[RunInput]
"""Values by input id, or a sequence of `RunInput` that gives each type."""

_REMEDY: Final = "pass a mapping {input_id: value} or a sequence of RunInput"
_SEVERAL: Final = "takes one value a run, not a list: start one run for each, or all with flora.runs.start_technique"


@frozen
class RawInput:
    """An input as the caller gave it; its type and its URL may be missing.

    Attributes:
        id: The input's id in the technique.
        type: The type that the caller gave; None = not given.
        value: The text or URL, or a file that is not uploaded yet.
    """

    id: str
    type: str | None
    value: str | Content

    @property
    def likely_type(self) -> str:
        """The type that was given, or else the one that its value suggests."""
        if self.type is not None:
            return self.type
        return _type_of(self.value) if isinstance(self.value, str) else self.value.input_type


async def read_inputs(inputs: object, technique_id: str = "") -> tuple[RawInput, ...]:
    """Read inputs as callers write them, and the files among them.

    Args:
        inputs: As `Inputs`.
        technique_id: The technique, for the error.

    Raises:
        TypeError: `inputs` is not a mapping or a sequence of `RunInput`, or a value is neither text nor a file.
        ValueError: An id is blank or given twice, a text cannot be meant, or a file cannot be uploaded.
        InputError: A value is a list.
        OSError: A file cannot be read.
    """
    given: tuple[tuple[str, str | None, object], ...]
    if isinstance(inputs, Mapping):
        given = tuple((name, None, value) for name, value in inputs.items())
    elif isinstance(inputs, Sequence) and all(isinstance(item, RunInput) for item in inputs) and inputs != "":
        given = tuple((item.id, item.type, item.value) for item in inputs)
    else:
        raise TypeError(f"inputs must not be {inputs!r:.60}: {_REMEDY}")
    seen: set[str] = set()
    for name, kind, value in given:
        for part, text in (("id", name), ("type", "text" if kind is None else kind)):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"inputs: the {part} of an input must be text and not blank, not {text!r:.60}")
            check_text(f"inputs: the {part} of an input", text)
        if isinstance(value, list | tuple):
            raise InputError(technique_id, [FieldError(name, _SEVERAL)])
        if not isinstance(value, str) and not is_file_source(value):
            raise TypeError(
                f"inputs[{name!r}] must be text, the https URL of a medium, or a file (a path, bytes, or open for "
                f"reading bytes), not {value!r:.60}"
            )
        if name in seen:
            raise ValueError(f"inputs: {name!r} is given twice; FLORA takes one value for each input")
        seen.add(name)
    return tuple([RawInput(name, kind, await read_value(f"inputs[{name!r}]", value)) for name, kind, value in given])


async def read_value(name: str, value: object) -> str | Content:
    """Return text unchanged, and read a file as content that can be uploaded.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file cannot be uploaded, or the text cannot be meant.
        TypeError: The value is neither text nor a file.
    """
    if isinstance(value, str):
        check_text(name, value)
        return value
    try:
        return await off_loop(read_content, value)
    except (OSError, ValueError, TypeError) as error:
        error.add_note(f"raised by the file that was given for {name}; nothing was sent")
        raise


def _type_of(value: str) -> str:
    """Guess a type without the technique's description."""
    if not is_https(value):
        return "text"
    return "videoUrl" if is_video_url(value) else "imageUrl"


Find = Callable[..., Awaitable[Technique | None]]
"""Finds a technique by its slug or id, as `TechniqueCache.find` does; None = it could not be read."""

MEDIA: Final = {"imageUrl": "an image", "videoUrl": "a video", "audioUrl": "a sound", "documentUrl": "a document"}


class FileUploader(Protocol):
    """Uploads files to FLORA."""

    async def url_of(self, content: Content, workspace_id: str | None) -> str:
        """The URL under which FLORA has a file."""
        ...


class InputPreparer:
    """Turns the inputs that callers give into inputs that can be sent.

    Args:
        find: Finds techniques.
        uploader: Returns what uploads files; it is called when there is a file.
        now: The time that `find` measures by, in monotonic seconds.
    """

    def __init__(self, find: Find, uploader: Callable[[], FileUploader], now: Callable[[], float]) -> None:
        self._find = find
        self._uploader = uploader
        self._now = now

    def finding(self, find: Find) -> "InputPreparer":
        """The same preparer with another way to find techniques."""
        return InputPreparer(find, self._uploader, self._now)

    async def prepare(
        self, technique_id: str, raw_inputs: Sequence[RawInput], *, check: bool, workspace_id: str | None
    ) -> tuple[RunInput, ...]:
        """Check inputs, if asked to, upload the files among them, and leave out optional texts that are empty.

        Raises:
            InputError: The technique does not take them, or there are none and no check; nothing was uploaded.
            FloraError: The technique could not be read, or a file could not be uploaded.
            ValueError: No workspace is known for a file, or its id is malformed.
            TypeError: The workspace's id is not text.
        """
        optional(identifier, "workspace_id", workspace_id)
        sent = await self.to_send(technique_id, raw_inputs, check=check)
        return await self.upload(sent, workspace_id)

    async def to_send(self, technique_id: str, raw_inputs: Sequence[RawInput], *, check: bool) -> Sequence[RawInput]:
        """The inputs to send, checked if asked to; nothing is uploaded.

        Raises:
            InputError: The technique does not take them, or there are none and no check.
            FloraError: The technique could not be read.
        """
        if not check and not raw_inputs:
            raise InputError(technique_id, [FieldError("inputs", f"must not be empty: {_REMEDY}, or check=True")])
        return await self.check(technique_id, raw_inputs) if check else raw_inputs

    async def upload(self, raw_inputs: Sequence[RawInput], workspace_id: str | None) -> tuple[RunInput, ...]:
        """Upload the files among inputs.

        Raises:
            FloraError: A file could not be uploaded.
            ValueError: No workspace is known for a file.
        """
        return tuple(
            [
                RunInput(raw_input.id, raw_input.likely_type, await self.sendable(raw_input.value, workspace_id))
                for raw_input in raw_inputs
            ]
        )

    async def sendable(self, value: str | Content, workspace_id: str | None) -> str:
        """Return text unchanged, and the URL of a file once it is uploaded."""
        return value if isinstance(value, str) else await self._uploader().url_of(value, workspace_id)

    async def check(
        self, technique_id: str, raw_inputs: Sequence[RawInput], *, several: bool = False
    ) -> list[RawInput]:
        """Refuse inputs that a technique does not take.

        Args:
            technique_id: The technique's slug or id.
            raw_inputs: The inputs.
            several: Whether an input may have several values, where the technique allows it.

        Returns:
            The inputs to send: with the technique's own types, and without optional texts that are empty.

        Raises:
            InputError: The technique does not take them.
            FloraError: The technique could not be read.
        """
        technique = await check_against(
            technique_id,
            partial(self._find, technique_id),
            lambda found: problems_of(raw_inputs, found, several=several),
            asked_at=self._now(),
        )
        known = {item.id: item for item in technique.inputs} if technique is not None else {}
        return [
            evolve(raw_input, type=known[raw_input.id].type or raw_input.type) if raw_input.id in known else raw_input
            for raw_input in raw_inputs
            if not (raw_input.id in known and _is_left_out(raw_input, known[raw_input.id]))
        ]


async def check_against(
    name: str,
    find: Callable[..., Awaitable[FoundT]],
    problems_of: Callable[[FoundT], list[FieldError]],
    asked_at: float,
) -> FoundT:
    """Refuse arguments that do not fit what FLORA describes.

    Args:
        name: The technique, model or action, for the error.
        find: Finds its description: one read a short time ago, or not before `since`.
        problems_of: Compares the arguments with the description.
        asked_at: The time of the call, in the monotonic seconds of `find`.

    Returns:
        The description.

    Raises:
        InputError: The arguments do not fit.
        FloraError: The description could not be read.
    """
    try:
        found = await find()
        problems = problems_of(found)
        if problems:  # it may have been edited since it was read
            found = await find(since=asked_at)
            problems = problems_of(found)
    except FloraError as error:
        error.add_note(f"raised while {name!r:.60} was looked up to check what it takes; nothing was started")
        raise
    if problems:
        raise InputError(name, problems)
    return found


def problems_of(
    raw_inputs: Sequence[RawInput], technique: Technique | None, *, several: bool = False
) -> list[FieldError]:
    """List the problems of inputs for a technique; none where FLORA does not say what it takes."""
    if technique is None or not technique.inputs:
        return []
    known = {item.id: item for item in technique.inputs}
    problems, given = [], set[str]()
    for raw_input in raw_inputs:
        item = known.get(raw_input.id)
        why = f"is unknown: {did_you_mean(raw_input.id, known)}" if item is None else _problem_of(raw_input, item)
        if item is not None and raw_input.id in given and not (several and item.allow_multiple):
            why = "takes one value, not several: start one run for each"
        given.add(raw_input.id)
        if why is not None:
            problems.append(FieldError(raw_input.id, why))
    missing = [name for name, item in known.items() if not item.optional and name not in given]
    return problems + [FieldError(name, "is missing") for name in missing]


def _is_left_out(raw_input: RawInput, item: TechniqueInput) -> bool:
    """Whether it is an empty text for an optional input, which FLORA refuses."""
    return raw_input.value == "" and item.type == "text" and item.optional


def _problem_of(raw_input: RawInput, item: TechniqueInput) -> str | None:
    """Why a value does not fit an input; None = it does, or this version cannot tell."""
    value, kind = raw_input.value, item.type
    if raw_input.type is not None and raw_input.type != kind:
        return f"is of type {kind}, not {raw_input.type}"
    if kind == "text":
        if not isinstance(value, str):
            return "takes text, not a file: pass what is in it"
        return None if value or item.optional else "is required and must not be empty"
    if kind not in MEDIA:
        return None
    if isinstance(value, str) and item.accepts_element and value and "://" not in value:
        return None  # the id of an element
    return medium_problem(value, kind)


def medium_problem(value: str | Content, kind: str) -> str | None:
    """Why a value is not a medium of a kind, going by its ending or its content; None = it may be one."""
    if not isinstance(value, str):
        return None if value.input_type == kind else f"takes {MEDIA[kind]}, not {value.content_type}"
    if is_store_url(value):
        return f"takes {MEDIA[kind]}, not the text {shown_url(value)!r:.80}: {STORE_REMEDY}"
    if not is_https(value):
        return f"takes {MEDIA[kind]} (an https URL, or a file as pathlib.Path), not the text {value!r:.40}"
    ending = PurePosixPath(urlsplit(value).path).suffix.lower()
    return None if input_type_by_ending(ending) in {None, kind} else f"takes {MEDIA[kind]}, not a {ending} file"


def is_https(value: object) -> bool:
    """Whether a value is an absolute https URL."""
    try:
        check_https("value", value)
    except (TypeError, ValueError):
        return False
    return True
