"""What files are called. Ids, URLs and types come from servers: whatever they say, no file leaves its directory."""

import mimetypes
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from string import Formatter
from typing import Final
from urllib.parse import unquote, urlsplit

from attrs import frozen

from flora_async.media.content import CONTENT_TYPES
from flora_async.models import Run

TEXT_ENDING: Final = ".txt"
_OTHER_ENDING: Final = ".bin"
_ENDINGS: Final = {kind: ending for kind, (_, ending) in CONTENT_TYPES.items()} | {"text/plain": TEXT_ENDING}
KNOWN_ENDINGS: Final = (*_ENDINGS.values(), ".jpeg", _OTHER_ENDING)
# What a host says of a file that it knows nothing about.
_UNKNOWN_TYPES: Final = {"", "application/octet-stream", "binary/octet-stream"}
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME: Final = 80
_DEVICES: Final = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}


@frozen
class Place:
    """Where a file goes.

    Attributes:
        path: The path.
        is_whole: Whether that is all of it; if not, the ending comes from what is in the file.
        reserved: A path that the ending must not make of it.
    """

    path: Path
    is_whole: bool
    reserved: Path | None = None

    def named(self, ending: str) -> Path:
        """The whole path of a file with this ending; one that it has already is not given twice."""
        if self.is_whole or self.path.name.lower().endswith(ending):
            return self.path
        named = self.path.with_name(self.path.name + ending)
        return named if named != self.reserved else self.path.with_name(self.path.name + _OTHER_ENDING)


def place_for(destination: str, name: str) -> Place:
    """Where a download goes that was sent to `destination`, be it a file or a directory. It looks at the disk.

    Args:
        destination: The file, with its ending or without, or the directory.
        name: What to call it in a directory, without an ending.
    """
    path = Path(destination)
    if destination.endswith(tuple(filter(None, (os.sep, os.altsep)))) or path.is_dir():
        return Place(path / name, is_whole=False)
    return Place(path, is_whole=path.suffix != "")


def path_text(argument: str, value: object) -> str:
    """A path as text.

    Raises:
        TypeError: It is no path.
        ValueError: It is empty, or holds a NUL.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str):
        raise TypeError(f"{argument} must be a path, as text or pathlib.Path, not {value!r:.60}")
    if not text or "\0" in text:
        raise ValueError(f"{argument} {text!r:.60} is no path: name a file or a directory ('.' is the current one)")
    return text


def safe_name(text: str, otherwise: str) -> str:
    """A text that anybody may have chosen, as a part of a file name that means the same on every system.

    Args:
        text: The text.
        otherwise: What to use where nothing is left of it.
    """
    name = _NOT_IN_NAMES.sub("_", text)[:_LONGEST_NAME] or otherwise
    return f"{name}_" if name.upper() in _DEVICES else name


def name_in_url(url: str) -> str:
    """The last part of a URL's path, without a known ending."""
    try:
        return without_ending(unquote(urlsplit(url).path.rpartition("/")[2]))
    except ValueError:  # a URL that is none; who fetches it says so
        return ""


def without_ending(name: str) -> str:
    """A file's name without a known ending; what follows the dot of `v1.2` is a part of the name."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in KNOWN_ENDINGS else name


def ending_for(content_type: str, url: str) -> str:
    """The ending for what a host says is in a file. It may look at the disk, for the machine's table of types.

    Args:
        content_type: The `Content-Type` header; empty when there is none.
        url: Where the file came from, which is asked where the type tells nothing.
    """
    kind = content_type.partition(";")[0].strip().lower()
    ending = _ENDINGS.get(kind)
    if ending is None and kind not in _UNKNOWN_TYPES:
        ending = mimetypes.guess_extension(kind, strict=False)
    if ending is None:
        in_url = PurePosixPath(urlsplit(url).path).suffix.lower()
        ending = in_url if in_url in KNOWN_ENDINGS else _OTHER_ENDING
    return ending


def run_name(argument: str, template: str, run: Run, technique_id: str | None) -> str:
    """The name of a file about a run as a whole, without its ending, from `{run_id}` and `{technique_id}`.

    Raises:
        TypeError: The template is no text.
        ValueError: It asks for what there is not, or leads out of the directory.
    """
    fields = _fields_of(run, technique_id)
    _check_template(argument, template, fields)
    return _filled(argument, template, fields)


def output_names(template: str, run: Run, technique_id: str | None) -> list[str]:
    """What to call the outputs of a run, without endings; no two are the same, upper and lower case aside.

    Raises:
        TypeError: The template is no text.
        ValueError: It asks for what there is not, or leads out of the directory.
    """
    fields = _fields_of(run, technique_id)
    _check_template("name", template, {**fields, "output_id": "", "number": 0})
    return _all_different(
        _filled("name", template, {**fields, "output_id": safe_name(output.output_id, "output"), "number": number})
        for number, output in enumerate(run.outputs, 1)
    )


def _fields_of(run: Run, technique_id: str | None) -> dict[str, object]:
    return {
        "run_id": safe_name(run.run_id, "run"),
        "technique_id": None if technique_id is None else safe_name(technique_id, "technique"),
    }


def _check_template(argument: str, template: object, fields: Mapping[str, object]) -> None:
    if not isinstance(template, str):
        raise TypeError(f"{argument} must be text such as '{{run_id}}', not {template!r:.60}")
    try:
        wanted = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise ValueError(f"{argument} {template!r:.60} is no template: {error}; '{{{{' is a brace itself") from None
    for field in wanted:
        if field not in fields:
            raise ValueError(f"{argument} {template!r:.60} asks for {field!r:.40}; there is {', '.join(fields)}")
        if fields[field] is None:
            raise ValueError(f"{argument} {template!r:.60} asks for {field}, which the run does not tell: pass {field}")


def _filled(argument: str, template: str, fields: Mapping[str, object]) -> str:
    try:
        name = template.format_map(fields)
    except (ValueError, LookupError) as error:
        raise ValueError(f"{argument} {template!r:.60} cannot be filled in: {error}") from None
    path = PureWindowsPath(name)  # on every system, as it knows of drives and both slashes
    if path.anchor or ".." in path.parts or not path.name or name.endswith(("/", "\\")) or "\0" in name:
        raise ValueError(f"{argument} {name!r:.60} must name a file below the directory: no '..', nothing absolute")
    return name


def _all_different(names: Iterable[str]) -> list[str]:
    """The names, and a number behind each that is there already."""
    taken: set[str] = set()
    different = []
    for name in names:
        candidate, number = name, 1
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{name}-{number}"
        taken.add(candidate.casefold())
        different.append(candidate)
    return different
