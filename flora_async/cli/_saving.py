"""Saving the outputs of one run to files. URLs and names come from the server, so neither is trusted."""

import asyncio
import mimetypes
import re
import shutil
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


async def save_outputs(run: Run, directory: Path) -> list[Path]:
    """Save every output as `<run id>-<output id>.<ending>` and return the paths.

    Raises:
        OSError: An output cannot be fetched or written.
    """
    return [await asyncio.to_thread(_save, output, directory / _stem(run, output)) for output in run.outputs]


def _stem(run: Run, output: RunOutput) -> str:
    return "-".join(_NOT_IN_NAMES.sub("_", name)[:_LONGEST_NAME] for name in (run.run_id, output.output_id))


def _save(output: RunOutput, stem: Path) -> Path:
    stem.parent.mkdir(parents=True, exist_ok=True)
    if output.text is not None:
        path = stem.with_suffix(".txt")
        path.write_text(output.text, encoding="utf-8")
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
    part.replace(path)
    return path


def _ending(content_type: str, url: str) -> str:
    by_url = Path(urlsplit(url).path).suffix.lower()
    by_type = mimetypes.guess_extension(content_type)
    return by_url if by_url in mimetypes.guess_all_extensions(content_type) else by_type or ".bin"
