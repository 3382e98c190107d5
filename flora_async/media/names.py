"""Name files. Ids, URLs and types come from servers, so nothing in them may lead out of the directory."""

import hashlib
import mimetypes
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from string import Formatter
from typing import Final
from urllib.parse import unquote, urlsplit

from attrs import frozen

from flora_async.media.content import CONTENT_TYPES
from flora_async.models import Run

TEXT_EXTENSION: Final = ".txt"
_OTHER_EXTENSION: Final = ".bin"
_EXTENSIONS: Final = {kind: extension for kind, (_, extension) in CONTENT_TYPES.items()} | {
    "text/plain": TEXT_EXTENSION
}
KNOWN_EXTENSIONS: Final = (*_EXTENSIONS.values(), ".jpeg", _OTHER_EXTENSION)
# The types that hosts send for a file whose type they do not know.
_UNKNOWN_TYPES: Final = {"", "application/octet-stream", "binary/octet-stream"}
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME: Final = 80
_DEVICES: Final = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}


@frozen
class Destination:
    """Where a file is saved.

    Attributes:
        path: The path.
        is_complete: Whether the path has its extension; if not, the extension comes from the content's type.
        reserved: A path that the extension must not lead to.
    """

    path: Path
    is_complete: bool
    reserved: Path | None = None

    def with_extension(self, extension: str) -> Path:
        """The whole path of a file; an extension that it has already is not added twice."""
        if self.is_complete or self.path.name.lower().endswith(extension):
            return self.path
        path = self.path.with_name(self.path.name + extension)
        return path if path != self.reserved else self.path.with_name(self.path.name + _OTHER_EXTENSION)


def safe_name(text: str, default: str) -> str:
    """Turn any text into a file name, without extension, that is valid on every system.

    Args:
        text: The text.
        default: The name to use if nothing is left of the text.
    """
    name = _clean(text, _MAX_NAME) or default
    return f"{name}_" if name.upper() in _DEVICES else name


def distinct_prefix(text: str, max_length: int) -> str:
    """Turn any text into the beginning of a file name; altered text gets a hash, so that no two are the same."""
    name = _clean(text, max_length)
    return name if name == text else f"{name}-{short_hash(text)}"


def _clean(text: str, max_length: int) -> str:
    return _NOT_IN_NAMES.sub("_", text)[:max_length]


def short_hash(text: str) -> str:
    """Return eight hexadecimal digits that distinguish a text from others."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


def name_in_url(url: str) -> str:
    """Return the last segment of a URL's path, without a known extension."""
    try:
        return without_extension(unquote(urlsplit(url).path.rpartition("/")[2]))
    except ValueError:  # malformed; the request reports it
        return ""


def without_extension(name: str) -> str:
    """Remove a known extension from a file name; the `.2` of `v1.2` is part of the name."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in KNOWN_EXTENSIONS else name


def extension_for(content_type: str, url: str) -> str:
    """Choose the extension for a content type. This may read the machine's table of types.

    Args:
        content_type: The `Content-Type` header; empty if there is none.
        url: Where the file comes from, which decides if the type is unknown.
    """
    kind = content_type.partition(";")[0].strip().lower()
    extension = _EXTENSIONS.get(kind)
    if extension is None and kind not in _UNKNOWN_TYPES:
        extension = mimetypes.guess_extension(kind, strict=False)
    if extension is None:
        in_url = PurePosixPath(urlsplit(url).path).suffix.lower()
        extension = in_url if in_url in KNOWN_EXTENSIONS else _OTHER_EXTENSION
    return extension


def run_name(argument: str, template: str, run: Run, technique_id: str | None) -> str:
    """The name of a file about a whole run, without its extension, from `{run_id}` and `{technique_id}`.

    Raises:
        TypeError: The template is not text.
        ValueError: It has an unknown field, or leads out of the directory.
    """
    fields = _fields_of(run, technique_id)
    _check_template(argument, template, fields)
    return _filled(argument, template, fields)


def output_names(template: str, run: Run, technique_id: str | None) -> list[str]:
    """The names of a run's outputs, without extensions; no two are the same, also where case does not matter.

    Raises:
        TypeError: The template is not text.
        ValueError: It has an unknown field, or leads out of the directory.
    """
    fields = _fields_of(run, technique_id)
    _check_template("name", template, {**fields, "output_id": "", "number": 0})
    return _numbered(
        _filled("name", template, {**fields, "output_id": safe_name(output.output_id, "output"), "number": number})
        for number, output in enumerate(run.outputs, 1)
    )


def names_the_run(template: str, run: Run) -> bool:
    """Whether a template's names are unique to one run, because they contain its unaltered id."""
    is_unaltered = safe_name(run.run_id, "run") == run.run_id
    return is_unaltered and any(
        name == "run_id" and not spec and not conversion for _, name, spec, conversion in Formatter().parse(template)
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
        raise ValueError(f"{argument} {template!r:.60} is not a template: {error}; '{{{{' stands for a brace") from None
    for field in wanted:
        if field not in fields:
            raise ValueError(f"{argument} {template!r:.60} has the field {field!r:.40}; there are {', '.join(fields)}")
        if fields[field] is None:
            raise ValueError(f"{argument} {template!r:.60} has {field}, which is not known for this run: pass {field}")


def _filled(argument: str, template: str, fields: Mapping[str, object]) -> str:
    try:
        name = template.format_map(fields)
    except (ValueError, LookupError) as error:
        raise ValueError(f"{argument} {template!r:.60} cannot be filled in: {error}") from None
    path = PureWindowsPath(name)  # on every system, as it recognizes drives and both slashes
    if path.anchor or ".." in path.parts or not path.name or name.endswith(("/", "\\")) or "\0" in name:
        raise ValueError(f"{argument} {name!r:.60} must name a file below the directory, without '..' or a root")
    return name


def _numbered(names: Iterable[str]) -> list[str]:
    """Make names unique by adding a number to each repeated one."""
    used: set[str] = set()
    numbered = []
    for name in names:
        candidate, number = name, 1
        while candidate.casefold() in used:
            number += 1
            candidate = f"{name}-{number}"
        used.add(candidate.casefold())
        numbered.append(candidate)
    return numbered
