"""Files: read them for uploads, and save outputs completely or not at all."""

from typing import TYPE_CHECKING

from flora_async._lazy import lazy_names

if TYPE_CHECKING:
    from flora_async.media.downloads import download, save_file, save_outputs
    from flora_async.media.parts import Exists
    from flora_async.media.transfer import Progress
else:
    # Loaded when the first file is saved.
    __getattr__ = lazy_names(
        __name__, {"downloads": "download save_file save_outputs", "parts": "Exists", "transfer": "Progress"}
    )

__all__ = ["Exists", "Progress", "download", "save_file", "save_outputs"]
