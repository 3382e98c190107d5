"""The way from a session to files."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flora_async._media import MediaRoad
from flora_async._wiring import media_alone
from flora_async.models import Run, RunOutput
from flora_async.resources import Starts

if TYPE_CHECKING:
    from flora_async.downloads import Progress
    from flora_async.models import Asset

_LARGEST_FILE: Final = 2 * 1024**3


class Saving:
    """The methods of a session that save what runs give."""

    _media: MediaRoad
    _starts: Starts

    async def download(
        self,
        source: "RunOutput | Asset | str",
        destination: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        max_bytes: int | None = _LARGEST_FILE,
        progress: "Progress | None" = None,
    ) -> Path:
        """Save one output, asset or URL as a file, whole or not at all; a dropped connection is resumed.

        The key does not go to the host of the file. A text output is written as it is.

        Args:
            source: An output of a run, an asset, or the URL of either.
            destination: The file, or an existing directory. A name without an ending gets one by the content's type.
            overwrite: Replace a file that exists, rather than keep it and fetch nothing. Default False.
            max_bytes: The most that is fetched; None = no limit. Default 2 GiB.
            progress: Called with the bytes received and, where the host says so, the bytes there are.

        Returns:
            The path of the file.

        Raises:
            DownloadError: It could not be fetched whole, after all retries, or is too large; nothing of it is kept.
            UntrustedURLError: Its URL is not https, or of no public host.
            OSError: It cannot be written.
            ValueError: An argument cannot be right.

        Example:
            >>> run = await flora.run("cctv-cam", {"input_image": "https://example.com/photo.png"})
            >>> path = await flora.download(run.outputs[0], "cctv")
            >>> path.name
            'cctv.png'
        """
        from flora_async.downloads import download  # noqa: PLC0415 - loaded with the first file

        return await download(
            self._media, source, destination, overwrite=overwrite, max_bytes=max_bytes, progress=progress
        )

    async def save_outputs(  # noqa: PLR0913 - the decisions about the files of a run
        self,
        run: Run,
        directory: str | os.PathLike[str],
        *,
        name: str = "{run_id}-{output_id}",
        overwrite: bool = False,
        max_bytes: int | None = _LARGEST_FILE,
        sidecar: bool = True,
        technique_id: str | None = None,
    ) -> tuple[Path, ...]:
        """Save all outputs of a run, and beside them a JSON file that says what they are.

        Args:
            run: A completed run.
            directory: Where to; it is created if need be, and never left, whatever the server calls its outputs.
            name: How to call each file, without its ending, from `run_id`, `output_id`, `number` and `technique_id`.
            overwrite: Replace files that exist, rather than keep them. Default False.
            max_bytes: The most that is fetched for one output; None = no limit. Default 2 GiB.
            sidecar: Write `<run id>.json` with run, technique, inputs, cost and files. Inputs are known of the last
                thousand runs that this session started. Default True.
            technique_id: What the run is a run of; None = as this session, or the run itself, knows it.

        Returns:
            The paths, in the order of the outputs.

        Raises:
            RunFailedError: The run has failed, so it has no outputs.
            DownloadError: An output could not be fetched whole; the others are saved.
            OSError: A file cannot be written.
            ValueError: The run has not ended, or an argument cannot be right.

        Example:
            >>> run = await flora.run("cctv-cam", {"input_image": "https://example.com/photo.png"})
            >>> (path,) = await flora.save_outputs(run, "results", name="{technique_id}-{number}")
            >>> path.name
            'cctv-cam-1.png'
        """
        from flora_async.downloads import save_outputs  # noqa: PLC0415 - loaded with the first file

        start = self._starts.of(getattr(run, "run_id", ""))
        return await save_outputs(
            self._media,
            run,
            directory,
            name=name,
            overwrite=overwrite,
            max_bytes=max_bytes,
            sidecar=sidecar,
            technique_id=start.technique_id if start and technique_id is None else technique_id,
            inputs=start.inputs if start else None,
        )


async def download(  # noqa: PLR0913 - the decisions about one file
    source: "RunOutput | Asset | str",
    destination: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    max_bytes: int | None = _LARGEST_FILE,
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
    from flora_async.downloads import download as save  # noqa: PLC0415 - loaded with the first file

    async with media_alone(allow_local=allow_local) as media:
        return await save(media, source, destination, overwrite=overwrite, max_bytes=max_bytes, progress=progress)
