"""Save files: one download, or all outputs of a run together with a file that records their origin."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import unquote

from flora_async._checks import check_progress
from flora_async._http.setup import standalone_storage
from flora_async._http.storage import StorageClient
from flora_async._text import printable
from flora_async._threads import in_thread
from flora_async.config import MAX_FILE_SIZE
from flora_async.errors import DecodeError, DownloadError, FloraError
from flora_async.media.destinations import destination_of, find_file, part_file, path_of, read_file, write_file
from flora_async.media.names import (
    KNOWN_EXTENSIONS,
    TEXT_EXTENSION,
    Destination,
    name_in_url,
    names_the_run,
    output_names,
    run_name,
    safe_name,
    short_hash,
    without_extension,
)
from flora_async.media.parts import Exists, check_exists
from flora_async.media.transfer import Progress, Transfer
from flora_async.models import Asset, OutputType, Run, RunOutput, TechniqueRun
from flora_async.models._codec import parse_json

if TYPE_CHECKING:
    import os

    from flora_async.media.stores import PathT

_MEDIA: Final = frozenset({OutputType.IMAGE, OutputType.VIDEO, OutputType.AUDIO})
_MAX_SIDECAR: Final = 32 * 1024 * 1024
_TECHNIQUE_IN_URL: Final = re.compile(r"/techniques/([^/?#]+)/runs/")


class _Options(NamedTuple):
    """How to save each file."""

    exists: Exists
    max_bytes: int | None
    progress: Progress | None = None


async def save_file(  # noqa: PLR0913 - the decisions about one file
    storage: StorageClient,
    source: RunOutput | Asset | str,
    destination: "str | os.PathLike[str] | PathT",
    *,
    exists: Exists = "keep",
    overwrite: bool = False,
    max_bytes: int | None = MAX_FILE_SIZE,
    progress: Progress | None = None,
) -> "PathT":
    """Save one file; `FloraSession.download` documents it."""
    options = _options(exists, overwrite, max_bytes, progress)
    file = _file_of(source)
    path = await _save(storage, file, await in_thread(destination_of, destination, file.name), options)
    return cast("PathT", path)


async def save_outputs(  # noqa: PLR0913 - the decisions about the files of a run
    storage: StorageClient,
    run: Run,
    directory: "str | os.PathLike[str] | PathT",
    *,
    name: str = "{run_id}-{output_id}",
    exists: Exists = "keep",
    overwrite: bool = False,
    max_bytes: int | None = MAX_FILE_SIZE,
    sidecar: bool = True,
    sidecar_name: str = "{run_id}",
    technique_id: str | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> "tuple[PathT, ...]":
    """Save all outputs of a run and their side-car; `FloraSession.save_outputs` documents it.

    Args:
        storage: The client to the hosts.
        run: A completed run.
        directory: As documented there.
        name: As documented there.
        exists: As documented there.
        overwrite: As documented there.
        max_bytes: As documented there.
        sidecar: As documented there.
        sidecar_name: The side-car's name, also a template, with `{run_id}` and `{technique_id}`; `.json` is added.
        technique_id: The run's technique; None = taken from the run.
        inputs: The run's inputs, for the side-car; None = not known.
    """
    options = _options(exists, overwrite, max_bytes, None)
    _check_completed(run)
    folder = await in_thread(path_of, "directory", directory)
    technique_id = _technique_of(run) if technique_id is None else technique_id
    names = output_names(name, run, technique_id)
    note = folder / f"{run_name('sidecar_name', sidecar_name, run, technique_id)}.json"
    about = _about(run, technique_id, inputs)
    is_own = names_the_run(name, run)
    if sidecar and options.exists == "error":
        await in_thread(part_file(note, exists="error", source="").is_kept)
    saved: list[Path | Exception] = []
    for number, (output, stem) in enumerate(zip(run.outputs, names, strict=True), 1):
        file = _file_of(output)._replace(identity=f"output {number} of {run.run_id}")
        destination = Destination(folder / stem, is_complete=False, reserved=note)
        try:
            path = None if options.exists == "replace" else await in_thread(_find, destination, output)
            if path is not None:
                if exists == "keep" and not is_own and not await in_thread(_claims, note, run.run_id, path, folder):
                    raise FileExistsError(
                        f"{path.name!r:.120} exists and is not known to be of run {run.run_id!r:.60}: pass "
                        "exists='replace', or a name with {run_id}"
                    )
                await in_thread(part_file(path, exists=options.exists, source=file.identity).check_existing)
            saved.append(path or await _save(storage, file, destination, options))
        except (FloraError, OSError) as error:
            saved.append(error)
    paths = _all_or_raise(run.outputs, saved)
    if sidecar:
        content = _json(about | {"outputs": [_entry(*pair, folder) for pair in zip(run.outputs, paths, strict=True)]})
        await in_thread(write_file, note, content, exists=options.exists, source=f"side-car of {run.run_id}")
    return cast("tuple[PathT, ...]", paths)


class _File(NamedTuple):
    """A file to save."""

    url: str
    name: str
    """Its name in a directory, which differs from that of any other source."""
    identity: str
    """Identifies it among the files that this process has saved."""
    text: str | None = None
    """The content, if it is not at the URL."""
    is_media: bool = False


def _options(exists: object, overwrite: object, max_bytes: object, progress: Progress | None) -> _Options:
    checked = check_exists(exists, overwrite)
    if max_bytes is not None and (isinstance(max_bytes, bool) or not isinstance(max_bytes, int)):
        raise TypeError(f"max_bytes must be a whole number or None for no limit, not {max_bytes!r:.60}")
    if max_bytes is not None and max_bytes < 1:
        raise ValueError(f"max_bytes must be at least 1, or None for no limit, not {max_bytes!r:.60}")
    check_progress(progress)
    return _Options(checked, max_bytes, progress)


def _file_of(source: object) -> _File:
    if isinstance(source, RunOutput):
        # Outputs of different runs of a technique have the same id.
        name = f"{safe_name(source.output_id, 'output')}-{short_hash(source.url)}"
        identity = source.url if source.text is not None else _without_query(source.url)
        return _File(source.url, name, identity, source.text, source.type in _MEDIA)
    if isinstance(source, Asset):
        if not source.url:
            raise ValueError(
                f"asset {source.asset_id!r:.60} is not ready: its status is {str(source.status)!r:.40}, without a URL"
            )
        name = safe_name(source.asset_id or "", "asset")
        if source.name:
            name = f"{safe_name(without_extension(source.name), 'asset')}-{short_hash(source.asset_id or source.url)}"
        return _File(source.url, name, f"asset {source.asset_id or source.url}")
    if isinstance(source, str):
        name = f"{safe_name(name_in_url(source), 'download')}-{short_hash(source)}"
        return _File(source, name, _without_query(source))
    raise TypeError(f"source must be a RunOutput, an Asset or a URL, not {source!r:.60}")


def _without_query(url: str) -> str:
    """Return a URL without its query, where signatures change from one time to the next."""
    return url.partition("?")[0]


async def _save(storage: StorageClient, file: _File, destination: Destination, options: _Options) -> Path:
    exists, max_bytes, progress = options
    if file.text is None:
        transfer = Transfer(
            storage,
            file.url,
            destination,
            exists=exists,
            source=file.identity,
            max_bytes=max_bytes,
            progress=progress,
            is_media=file.is_media,
        )
        return await transfer.run()
    content = file.text.encode(errors="backslashreplace")  # FLORA may cut a surrogate pair in two
    if max_bytes is not None and len(content) > max_bytes:
        raise DownloadError(file.url, f"it has more than the {max_bytes} bytes that max_bytes allows")
    path = destination.with_extension(TEXT_EXTENSION)
    await in_thread(write_file, path, content, exists=exists, source=file.identity)
    if progress is not None:
        progress(len(content), len(content))
    return path


def _find(destination: Destination, output: RunOutput) -> Path | None:
    """Find the file of an output that was saved before, with any of the known extensions."""
    extensions = KNOWN_EXTENSIONS if output.text is None else (TEXT_EXTENSION,)
    return find_file([destination.with_extension(extension) for extension in extensions])


def _claims(note: Path, run_id: str, path: Path, folder: Path) -> bool:
    """Whether a side-car says that a file holds an output of the run."""
    try:
        content = read_file(note, _MAX_SIDECAR)
        if content is None:
            return False
        about = parse_json(content)
        files = {entry["file"] for entry in about["outputs"]}
        return about["run_id"] == run_id and path.relative_to(folder).as_posix() in files
    except (DecodeError, OSError, LookupError, TypeError):
        return False


def _check_completed(run: object) -> None:
    if not isinstance(run, Run):
        raise TypeError(f"run must be a Run, not {run!r:.60}")
    run.raise_if_failed()
    if not run.is_terminal:
        raise ValueError(f"run {run.run_id!r:.60} is still {str(run.status)!r:.40}: wait for it with wait_for_run")


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
    _json(about)  # inputs that JSON cannot hold are refused before anything is sent
    return about


def _entry(output: RunOutput, path: Path, folder: Path) -> dict[str, str]:
    entry = {"output_id": output.output_id, "type": str(output.type), "file": path.relative_to(folder).as_posix()}
    return entry if output.text is not None else {**entry, "url": output.url}


def _json(value: object) -> bytes:
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode(errors="backslashreplace")  # JSON's own escape for a lone surrogate


def _all_or_raise(outputs: Sequence[RunOutput], saved: Sequence[Path | Exception]) -> tuple[Path, ...]:
    """Return the files, or raise the first error with a note on each output."""
    errors = [result for result in saved if isinstance(result, Exception)]
    if not errors:
        return tuple(result for result in saved if not isinstance(result, Exception))
    for output, result in zip(outputs, saved, strict=True):
        failed = f"Not saved: {printable(output.output_id, 80)} at {printable(output.url)}: {printable(str(result))}"
        errors[0].add_note(failed if isinstance(result, Exception) else f"Saved {result}")
    raise errors[0]


async def download(  # noqa: PLR0913 - the decisions about one file
    source: "RunOutput | Asset | str",
    destination: "str | os.PathLike[str] | PathT",
    *,
    exists: Exists = "keep",
    overwrite: bool = False,
    max_bytes: int | None = MAX_FILE_SIZE,
    progress: "Progress | None" = None,
    allow_local: bool = False,
) -> "PathT":
    """Save one output, asset or URL as a file, without a session: see `FloraSession.download`.

    Args:
        source: An output of a run, an asset, or the URL of either.
        destination: The file, or a directory. A name without an extension gets the one for the content's type. With the
            extra `storage`, also a URL such as `s3://bucket/results/`, or a `UPath`.
        exists: What to do about a file that exists: "keep" it, unless this process saved it from another source;
            "error" raises `FileExistsError`; "replace" replaces it. Default "keep".
        overwrite: True is another way to say `exists="replace"`. Default False.
        max_bytes: The maximum size in bytes; None = no limit. Default 2 GiB.
        progress: Called with the bytes received, and the size of the file or None where the host does not say.
        allow_local: Whether the file may be on this machine, as those of a `FakeFlora` are. Default False.

    Returns:
        The path of the file; a `UPath` for one in a store.

    Raises:
        DownloadError: It could not be fetched completely, after all retries, or is too large; nothing of it is kept.
        UntrustedURLError: Its URL is not https, or its host is not public.
        FileExistsError: A file exists that is neither to be kept nor to be replaced.
        OSError: It cannot be written.
        ImportError: The extra `storage`, or the driver of the store, is not installed.
        ValueError: An argument is out of range.

    Example:
        >>> run = await flora.run("cctv-cam", {"input_image": "https://example.com/photo.png"})
        >>> (await download(run.outputs[0], "frame", allow_local=True)).name
        'frame.png'
    """
    async with standalone_storage(allow_local=allow_local) as storage:
        return await save_file(
            storage,
            source,
            destination,
            exists=exists,
            overwrite=overwrite,
            max_bytes=max_bytes,
            progress=progress,
        )
