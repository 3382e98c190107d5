"""Where results go: one file, or all outputs of a run with a note of where they came from."""

import hashlib
import inspect
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from flora_async._http.setup import standalone_storage
from flora_async._http.storage import StorageClient
from flora_async.config import MAX_FILE_SIZE
from flora_async.errors import DownloadError, FloraError
from flora_async.media.disk import in_thread, write_whole
from flora_async.media.names import (
    KNOWN_ENDINGS,
    TEXT_ENDING,
    Place,
    name_in_url,
    output_names,
    path_text,
    place_for,
    run_name,
    safe_name,
    without_ending,
)
from flora_async.media.transfer import Progress, Transfer
from flora_async.models import Asset, OutputType, Run, RunOutput, TechniqueRun

_MEDIA: Final = frozenset({OutputType.IMAGE, OutputType.VIDEO, OutputType.AUDIO})
_TECHNIQUE_IN_URL: Final = re.compile(r"/techniques/([^/?#]+)/runs/")


async def save_file(  # noqa: PLR0913 - the decisions about one file
    storage: StorageClient,
    source: RunOutput | Asset | str,
    destination: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    max_bytes: int | None = MAX_FILE_SIZE,
    progress: Progress | None = None,
) -> Path:
    """Save one file, whole or not at all.

    It is written to a temporary file beside its place and then moved there. A connection that breaks is made anew, and
    goes on where the file ends (`Range` and `If-Range`, RFC 9110) if the host can tell that it is still the same file.

    Args:
        storage: The client to the host.
        source: An output of a run, an asset, or a URL. An output of type `text` is written as UTF-8.
        destination: The file; without an ending it gets the one for its content type. A directory, or a path that ends
            with a separator, gets a file whose name is made from the source. What is missing on the way is created.
        overwrite: Replace a file that is there. By default it is kept, and nothing is fetched if its name is known.
        max_bytes: The most bytes that the file may have; None = no limit. Default 2 GiB.
        progress: Called with the bytes that have come and the bytes there are (None = unknown). The first number falls
            when the host makes us begin again. What it raises ends the download.

    Returns:
        The file.

    Raises:
        DownloadError: The file cannot be had whole, or is too large.
        UntrustedURLError: Its URL, or one that this redirects to, is not https at a public host.
        OSError: It cannot be written.
        ValueError: An argument cannot be right, or the asset is not ready.
        TypeError: An argument has the wrong type.
    """
    text = path_text("destination", destination)
    _check_limits(max_bytes, progress)
    url, name = _url_and_name(source)
    place = await in_thread(place_for, text, name)
    return await _save(storage, source, url, place, overwrite=overwrite, max_bytes=max_bytes, progress=progress)


async def save_outputs(  # noqa: PLR0913 - the decisions about the files of a run
    storage: StorageClient,
    run: Run,
    directory: str | os.PathLike[str],
    *,
    name: str = "{run_id}-{output_id}",
    overwrite: bool = False,
    max_bytes: int | None = MAX_FILE_SIZE,
    sidecar: bool = True,
    sidecar_name: str = "{run_id}",
    technique_id: str | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> tuple[Path, ...]:
    """Save all outputs of a run, each as `download` does, and a side-car that tells where they come from.

    One output that cannot be saved does not keep the others from being saved. The side-car is written last, once all
    are there: `<run_id>.json`, with run id, technique, inputs, status, cost in USD, times, and for each output its id,
    type, file (relative to `directory`) and URL.

    Args:
        storage: The client to the hosts.
        run: A completed run.
        directory: Where the files go; it is created if need be.
        name: What to call them: a template with `{run_id}`, `{output_id}`, `{number}` (from 1) and `{technique_id}`, to
            which the ending is added. It may have subfolders. Two files of one name become `name` and `name-2`.
        overwrite: Replace files that are there. By default they are kept, the side-car too, and are not fetched again.
        max_bytes: The most bytes that each file may have; None = no limit. Default 2 GiB.
        sidecar: Whether to write the side-car.
        sidecar_name: What to call it: a template, too, with `{run_id}` and `{technique_id}`; `.json` is added.
        technique_id: What the run is a run of; None = as the run tells.
        inputs: What the run was started with, for the side-car; None = not known.

    Returns:
        The files, in the order of `run.outputs`.

    Raises:
        RunFailedError: The run has failed.
        DownloadError: An output cannot be had whole. This, `UntrustedURLError` and `OSError` are raised once all have
            been tried; the notes of the first such error (`__notes__`) say what became of each output.
        UntrustedURLError: A URL is not https at a public host.
        OSError: A file cannot be written.
        ValueError: The run has not ended, or an argument cannot be right.
        TypeError: An argument has the wrong type.
    """
    folder = Path(path_text("directory", directory))
    _check_limits(max_bytes, None)
    _check_completed(run)
    technique_id = _technique_of(run) if technique_id is None else technique_id
    names = output_names(name, run, technique_id)
    note = folder / f"{run_name('sidecar_name', sidecar_name, run, technique_id)}.json"
    about = _about(run, technique_id, inputs)
    is_own = "{run_id" in name
    saved: list[Path | Exception] = []
    for output, called in zip(run.outputs, names, strict=True):
        place = Place(folder / called, is_whole=False, reserved=note)
        try:
            path = None if overwrite else await in_thread(_find, place, output)
            if path is not None and not is_own and not await in_thread(_claims, note, run.run_id, path, folder):
                raise FileExistsError(
                    f"{str(path)!r:.120} is there and not known to be of {run.run_id!r:.60}: say overwrite=True, or a "
                    "name with {run_id}"
                )
            path = path or await _save(
                storage, output, output.url, place, overwrite=overwrite, max_bytes=max_bytes, progress=None
            )
            saved.append(path)
        except (FloraError, OSError) as error:
            saved.append(error)
    paths = _all_or_raise(run.outputs, saved)
    if sidecar:
        content = _json(about | {"outputs": [_entry(*pair, folder) for pair in zip(run.outputs, paths, strict=True)]})
        await in_thread(write_whole, note, content, overwrite=overwrite)
    return paths


def _check_limits(max_bytes: object, progress: object) -> None:
    if max_bytes is not None and (isinstance(max_bytes, bool) or not isinstance(max_bytes, int)):
        raise TypeError(f"max_bytes must be a whole number or None for no limit, not {max_bytes!r:.60}")
    if max_bytes is not None and max_bytes < 1:
        raise ValueError(f"max_bytes must be at least 1, or None for no limit, not {max_bytes!r:.60}")
    if progress is not None and (not callable(progress) or inspect.iscoroutinefunction(progress)):
        raise TypeError(f"progress must be a plain function of two numbers, not {progress!r:.60}")


def _url_and_name(source: object) -> tuple[str, str]:
    """Where a file is, and what to call it where nobody says."""
    if isinstance(source, RunOutput):
        # Outputs of all runs of a technique have the same id, so what tells them apart is part of the name.
        mark = hashlib.sha256(source.url.encode(errors="surrogatepass")).hexdigest()[:8]
        return source.url, f"{safe_name(source.output_id, 'output')}-{mark}"
    if isinstance(source, Asset):
        if not source.url:
            raise ValueError(
                f"asset {source.asset_id!r:.60} is not ready: it is {str(source.status)!r:.40}, without a URL"
            )
        return source.url, safe_name(without_ending(source.name or source.asset_id), "asset")
    if isinstance(source, str):
        return source, safe_name(name_in_url(source), "download")
    raise TypeError(f"a download is of a RunOutput, an Asset or a URL, not of {source!r:.60}")


async def _save(  # noqa: PLR0913 - as download
    storage: StorageClient,
    source: object,
    url: str,
    place: Place,
    *,
    overwrite: bool,
    max_bytes: int | None,
    progress: Progress | None,
) -> Path:
    if not isinstance(source, RunOutput) or source.text is None:
        transfer = Transfer(
            storage,
            url,
            place,
            overwrite=overwrite,
            max_bytes=max_bytes,
            progress=progress,
            is_medium=isinstance(source, RunOutput) and source.type in _MEDIA,
        )
        return await transfer.run()
    content = source.text.encode(errors="backslashreplace")  # half of a character that FLORA cut in two
    if max_bytes is not None and len(content) > max_bytes:
        raise DownloadError(url, f"it has more than the {max_bytes} bytes that max_bytes allows")
    path = await in_thread(write_whole, place.named(TEXT_ENDING), content, overwrite=overwrite)
    if progress is not None:
        progress(len(content), len(content))
    return path


def _find(place: Place, output: RunOutput) -> Path | None:
    """The file of an output that was saved before, whichever ending it got."""
    endings = KNOWN_ENDINGS if output.text is None else (TEXT_ENDING,)
    return next((path for path in map(place.named, endings) if path.is_file()), None)


def _claims(note: Path, run_id: str, path: Path, folder: Path) -> bool:
    """Whether a side-car says that a file holds an output of this run."""
    try:
        about = json.loads(note.read_bytes())
        files = {entry["file"] for entry in about["outputs"]}
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return about.get("run_id") == run_id and path.relative_to(folder).as_posix() in files


def _check_completed(run: object) -> None:
    if not isinstance(run, Run):
        raise TypeError(f"outputs are saved of a Run, not of {run!r:.60}")
    run.raise_if_failed()
    if not run.is_terminal:
        raise ValueError(f"run {run.run_id!r:.60} is {str(run.status)!r:.40}: wait_for_run gives it with its outputs")


def _technique_of(run: Run) -> str | None:
    if isinstance(run, TechniqueRun) and run.technique and run.technique.technique_id:
        return run.technique.technique_id
    found = _TECHNIQUE_IN_URL.search(run.poll_url or "")
    return unquote(found[1]) if found else None


def _about(run: Run, technique_id: str | None, inputs: Mapping[str, Any] | None) -> dict[str, Any]:
    about = {
        "run_id": run.run_id,
        "technique_id": technique_id,
        "inputs": None if inputs is None else dict(inputs),
        "status": str(run.status),
        "charged_cost": run.charged_cost,
        "created_at": run.created_at and run.created_at.isoformat(),
        "completed_at": run.completed_at and run.completed_at.isoformat(),
    }
    _json(about)  # inputs that are no JSON are refused before anything is sent
    return about


def _entry(output: RunOutput, path: Path, folder: Path) -> dict[str, str]:
    entry = {"output_id": output.output_id, "type": str(output.type), "file": path.relative_to(folder).as_posix()}
    return entry if output.text is not None else {**entry, "url": output.url}


def _json(value: object) -> bytes:
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode(errors="backslashreplace")  # which is how JSON itself writes half a character


def _all_or_raise(outputs: Sequence[RunOutput], saved: Sequence[Path | Exception]) -> tuple[Path, ...]:
    """The files; or the first error, with notes of what became of each output."""
    errors = [result for result in saved if isinstance(result, Exception)]
    if not errors:
        return tuple(result for result in saved if isinstance(result, Path))
    for output, result in zip(outputs, saved, strict=True):
        lost = f"Not saved: {output.output_id:.80} at {output.url:.200}: {result}"
        errors[0].add_note(f"Saved {result}" if isinstance(result, Path) else " ".join(lost.split()))
    raise errors[0]


async def download(  # noqa: PLR0913 - the decisions about one file
    source: "RunOutput | Asset | str",
    destination: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    max_bytes: int | None = MAX_FILE_SIZE,
    progress: "Progress | None" = None,
    allow_local: bool = False,
) -> Path:
    """Save one output, asset or URL as a file, without a session: `FloraSession.download` says how.

    Args:
        source: An output of a run, an asset, or the URL of either.
        destination: The file, or an existing directory. A name without an ending gets one by the content's type.
        overwrite: Replace a file that exists, rather than keep it and fetch nothing. Default False.
        max_bytes: The most that is fetched; None = no limit. Default 2 GiB.
        progress: Called with the bytes received and, where the host says so, the bytes there are.
        allow_local: Whether the file may be on this machine, as those of a `FakeFlora` are. Default False.

    Returns:
        The path of the file.

    Raises:
        DownloadError: It could not be fetched whole, after all retries, or is too large; nothing of it is kept.
        UntrustedURLError: Its URL is not https, or of no public host.
        OSError: It cannot be written.
        ValueError: An argument cannot be right.

    Example:
        >>> run = await flora.run("cctv-cam", {"input_image": "https://example.com/photo.png"})
        >>> (await download(run.outputs[0], "frame", allow_local=True)).name
        'frame.png'
    """
    async with standalone_storage(allow_local=allow_local) as storage:
        return await save_file(
            storage, source, destination, overwrite=overwrite, max_bytes=max_bytes, progress=progress
        )
