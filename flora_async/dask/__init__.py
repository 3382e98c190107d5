"""Process the outputs of a batch on a Dask cluster, while its runs are started and followed here."""

try:
    import distributed as _distributed  # noqa: F401 - to say what is missing, before a module below fails
except ImportError as error:
    raise ImportError("flora_async.dask needs Dask: pip install 'flora-async[dask]'") from error

from flora_async.dask.processing import Processing, process
from flora_async.dask.results import CompletedRow, ProcessedResult

__all__ = ["CompletedRow", "ProcessedResult", "Processing", "process"]
