"""Files in and out: what is in a file on its way to FLORA, and outputs saved whole or not at all."""

from typing import TYPE_CHECKING

from flora_async._lazy import lazy_names

if TYPE_CHECKING:
    from flora_async.media.downloads import download, save_file, save_outputs
    from flora_async.media.transfer import Progress
else:
    # Loaded with the first file that is saved.
    __getattr__ = lazy_names(__name__, {"downloads": "download save_file save_outputs", "transfer": "Progress"})

__all__ = ["Progress", "download", "save_file", "save_outputs"]
