"""Saving the outputs of one run to files. URLs and names come from the server, so neither is trusted."""

import asyncio
import mimetypes
import re
import shutil
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    Request,
)

from flora_async import Run, RunOutput

_SECONDS: Final = 60.0
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME: Final = 80


async def save_output(run: Run, number: int, directory: Path) -> tuple[Path, int]:
    """Save one output as `<run id>-<output id>.<ending>`, with its number between where an earlier one has that name.

    Returns:
        The path and the size in bytes.

    Raises:
        OSError: It cannot be fetched whole, or not written.
    """
    names = [_safe(output.output_id) for output in run.outputs]
    is_taken = names[number] in names[:number]
    stem = f"{_safe(run.run_id)}-{f'{number + 1}-' if is_taken else ''}{names[number]}"
    try:
        path = await asyncio.to_thread(_save, run.outputs[number], directory / stem)
    except (HTTPException, ValueError) as error:  # a URL that cannot be one, or an answer that is none
        raise OSError(f"{type(error).__name__}: {error}") from error
    return path, path.stat().st_size


def _safe(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)[:_LONGEST_NAME]


def _save(output: RunOutput, stem: Path) -> Path:
    stem.parent.mkdir(parents=True, exist_ok=True)
    if output.text is not None:
        path = stem.with_suffix(".txt")
        path.write_text(output.text, encoding="utf-8", errors="backslashreplace")
        return path
    # An opener of our own: the usual one also opens file: and ftp:, and the server chooses this URL.
    opener = OpenerDirector()
    for handler in (
        HTTPHandler,
        HTTPSHandler,
        HTTPRedirectHandler,
        HTTPErrorProcessor,
        HTTPDefaultErrorHandler,
    ):
        opener.add_handler(handler())
    if urlsplit(output.url).scheme not in {"http", "https"}:
        raise OSError(f"output {output.output_id!r} has no http(s) URL but {output.url!r:.60}")
    with opener.open(Request(output.url), timeout=_SECONDS) as answer:  # noqa: S310 - scheme and handlers are limited
        path = stem.with_suffix(_ending(answer.headers.get_content_type(), output.url))
        part = path.with_name(f"{path.name}.part")
        with part.open("wb") as file:
            shutil.copyfileobj(answer, file)
        announced = answer.headers.get("Content-Length")
    size = part.stat().st_size
    if announced is not None and announced != str(size):
        part.unlink()
        raise OSError(f"only {size} of {announced} bytes arrived")
    part.replace(path)
    return path


def _ending(content_type: str, url: str) -> str:
    by_url = Path(urlsplit(url).path).suffix.lower()
    by_type = mimetypes.guess_extension(content_type)
    return by_url if by_url in mimetypes.guess_all_extensions(content_type) else by_type or ".bin"
