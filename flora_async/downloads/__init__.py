"""Getting results out: one file, or all outputs of a run, saved whole or not at all."""

from flora_async.downloads.saving import download, save_outputs
from flora_async.downloads.transfer import Progress

__all__ = ["Progress", "download", "save_outputs"]
