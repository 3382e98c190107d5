"""A report of a batch for people: one HTML file with everything in it."""

import base64
import hashlib
import json
import math
import os
import pkgutil
import re
import statistics
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final
from urllib.parse import quote

from flora_async._checks import check_number
from flora_async._text import printable
from flora_async._threads import in_thread
from flora_async.batch.results import BatchResult, BatchSummary, Tally
from flora_async.media.destinations import local_path, write_file
from flora_async.media.store_urls import shown_url

_PICTURES: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
)
_MAX_TEXT: Final = 2000  # characters of an output that is a text
_KB: Final = 1024


async def write_report(  # noqa: PLR0913 - where, what, and how large
    results: Iterable[BatchResult],
    path: str | os.PathLike[str],
    *,
    summary: BatchSummary | None = None,
    title: str = "Batch report",
    max_thumbnail_kb: float = 256,
    max_total_mb: float = 64,
) -> Path:
    """Write a report of a batch: one HTML file that needs no network, and shows everything from servers as mere text.

    It has the outputs by row, with status, time and cost, the totals, a histogram of run times, and the failures with
    their codes, hints and request ids. Rows can be filtered, sorted and searched, also when there are thousands.

    Args:
        results: The results, such as those of `run_all`, or those that were collected from a batch.
        path: The file, on this machine; one that exists is replaced, and missing directories are created.
        summary: `batch.summary`, for the totals; None = they are computed from the results.
        title: The title of the report.
        max_thumbnail_kb: Saved pictures (`save_to`) of at most this size are part of the file; larger ones, and those
            that were not saved, are linked. In KB. Default 256.
        max_total_mb: How much all pictures in the file may take, in MB; the others are linked. Default 64.

    Returns:
        The path.

    Raises:
        OSError: The file cannot be written.
        ValueError: The path is in a store.
        TypeError: One of the results is not that of a batch.

    Example:
        >>> from flora_async.batch import write_report
        >>> results = await flora.run_all("caption", [{"prompt": "a red bicycle"}, {"prompt": "a blue boat"}])
        >>> (await write_report(results, "report.html", title="Captions")).name
        'report.html'
    """
    check_number("max_thumbnail_kb", max_thumbnail_kb)
    check_number("max_total_mb", max_total_mb)
    target = local_path("path", path)
    budget = _Thumbnails(max_thumbnail_kb * _KB, max_total_mb * _KB * _KB)
    rows = list(results)
    if strange := [row for row in rows if not isinstance(row, BatchResult)]:
        raise TypeError(f"results must be those of a batch, BatchResult objects, not {strange[0]!r:.60}")
    return await in_thread(_write, target, rows, summary, str(title), budget)


def _write(
    target: Path, results: list[BatchResult], summary: BatchSummary | None, title: str, thumbnails: "_Thumbnails"
) -> Path:
    page = _page(results, summary, title, thumbnails, target.absolute().parent)
    return write_file(target, page.encode("utf-8", "backslashreplace"), exists="replace", source=f"report:{target}")


def _page(
    results: list[BatchResult], summary: BatchSummary | None, title: str, thumbnails: "_Thumbnails", folder: Path
) -> str:
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)};"
        " base-uri 'none'; form-action 'none'"
    )
    rows = [_row(result, thumbnails, folder) for result in results]
    data = json.dumps(rows, separators=(",", ":"))  # ASCII alone
    for character in "<>&":  # none of which may mean anything in a script element
        data = data.replace(character, f"\\u{ord(character):04x}")
    totals = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in _totals(results, summary)
    )
    return Template(_asset("page.html")).substitute(
        policy=policy, title=escape(printable(title)), style=style, script=script, data=data, totals=totals
    )


def _row(result: BatchResult, thumbnails: "_Thumbnails", folder: Path) -> dict[str, Any]:
    record = result.to_dict()
    links = [_file_link(path, folder) for path in result.files if path.suffix != ".json"] or [
        url for url in record["output_urls"] if url.lower().startswith(("http://", "https://"))
    ]
    return record | {
        "key": printable(result.key),
        "output_texts": [text[:_MAX_TEXT] for text in record["output_texts"]],
        "links": links,
        "thumbnail": thumbnails.of(result.files),
    }


def _totals(results: list[BatchResult], summary: BatchSummary | None) -> list[tuple[str, str]]:
    if summary is None:
        tally = Tally()
        for result in results:
            tally.count(result)
        completed, failed, skipped = tally.completed, tally.failed, tally.skipped
        ended = [result.run for result in results if result.run is not None and result.run.is_terminal]
        costs = [run.charged_cost for run in ended]
        cost, is_final = math.fsum(cost or 0.0 for cost in costs), None not in costs
        is_final = is_final and not any(result.status in {"in_doubt", "running", "pending"} for result in results)
        times = [run.duration for run in ended if run.duration is not None]
        median = statistics.median(times) if times else None
    else:
        completed, failed, skipped = summary.completed, summary.failed, summary.skipped
        cost, is_final, median = summary.cost, summary.cost_is_final, summary.run_time_p50
    totals = [
        ("Rows", f"{len(results):,}"),
        ("Completed", f"{completed:,}"),
        ("Failed", f"{failed:,}"),
        ("Skipped", f"{skipped:,}"),
        ("Cost" if is_final else "Cost, not final", f"{'' if is_final else '≥ '}{cost:,.4g} USD"),
    ]
    if median is not None:
        totals.append(("Median run time", f"{median:,.1f} s"))
    if summary is not None:
        totals.append(("Duration", f"{summary.wall_time:,.1f} s"))
        if summary.in_flight:
            totals.append(("Still running", f"{len(summary.in_flight):,}"))
    return totals


class _Thumbnails:
    """Reads saved pictures, as long as they are small and there is room for them."""

    def __init__(self, max_bytes: float, total_bytes: float) -> None:
        self._max_bytes = max_bytes
        self._left = total_bytes

    def of(self, paths: Iterable[Path]) -> str | None:
        """The first picture among the files, as a `data:` URL."""
        for path in paths:
            if not isinstance(path, Path):
                continue  # in a store, where reading takes a request for each
            try:
                if path.stat().st_size > min(self._max_bytes, self._left):
                    continue
                content = path.read_bytes()
            except OSError:
                continue  # it was moved or deleted since
            media_type = next((media for start, media in _PICTURES if start.match(content)), None)
            if media_type is not None:
                self._left -= len(content)
                return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
        return None


def _file_link(path: Path, folder: Path) -> str:
    """The link to a file, relative to the report, so that both can be moved together."""
    if not isinstance(path, Path):
        return shown_url(str(path))
    try:
        relative = Path(os.path.relpath(path.absolute(), folder)).as_posix()
    except ValueError:  # on another drive
        return str(path)
    return quote(relative if relative.startswith("../") else f"./{relative}")


def _asset(name: str) -> str:
    return (pkgutil.get_data(__name__, name) or b"").decode().strip()


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
