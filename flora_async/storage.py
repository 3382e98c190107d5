"""Files in stores, such as S3, as inputs of runs. This needs the extra `storage`, and the driver of the store."""

from typing import TYPE_CHECKING, cast

from flora_async.media.destinations import path_of
from flora_async.media.store_urls import is_store_url, shown_url

if TYPE_CHECKING:
    from flora_async.media.stores import UPath

__all__ = ["open"]


def open(url: str) -> "UPath":  # noqa: A001 - reads well as `storage.open`
    """Name a file in a store, so that it can be an input; it is read when it is uploaded, and by its content.

    The driver takes its options from its own environment variables and files, or from fsspec's configuration. To pass
    them here, make a `UPath` with `storage_options` instead, which can be an input as well.

    Args:
        url: The file, such as `s3://bucket/photo.png`.

    Returns:
        The file, for `flora.run`, the rows of a batch and `flora.assets`.

    Raises:
        ValueError: It is not a URL of a store, or the driver does not take it.
        ImportError: The extra, or the driver, is not installed.

    Example:
        >>> from flora_async import storage
        >>> photo = storage.open("memory://bucket/photo.png")
        >>> photo.write_bytes(bytes.fromhex("89504e470d0a1a0a0000000d49484452"))
        16
        >>> run = await flora.run("cctv-cam", {"input_image": photo})
        >>> run.status
        <RunStatus.COMPLETED: 'completed'>
    """
    if not isinstance(url, str):
        raise TypeError(f"url must be text such as 's3://bucket/photo.png', not {url!r:.60}")
    if not is_store_url(url) or url.lower().startswith(("file:", "local:")):
        remedy = "pass a pathlib.Path for a file on this machine, and an https URL as it is"
        raise ValueError(f"url {shown_url(url)!r:.120} is not in a store such as s3://bucket/photo.png: {remedy}")
    return cast("UPath", path_of("url", url))
