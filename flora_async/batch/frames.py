"""Read the rows of a data frame of pandas or polars, or of an Arrow table, none of which is imported here."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

_CHUNK: Final = 512  # rows of an Arrow table that are converted at once


class DataFrame(Protocol):
    """A table in memory, such as `pandas.DataFrame`, `polars.DataFrame` or `pyarrow.Table`."""

    @property
    def columns(self) -> Any:  # noqa: ANN401 - each library has its own type
        """The columns, or their names."""
        ...

    @property
    def shape(self) -> Any:  # noqa: ANN401 - likewise
        """The numbers of rows and of columns."""
        ...


class Frame:
    """The rows of a data frame, each as a mapping by column; a missing value is left out.

    Attributes:
        columns: The names of the columns.
    """

    def __init__(self, columns: Sequence[str], length: int, read: Callable[[], Iterable[Sequence[object]]]) -> None:
        self.columns = columns
        self._length = length
        self._read = read

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for values in self._read():
            yield present(zip(self.columns, values, strict=True))


def frame_of(source: Any) -> Frame | None:  # noqa: ANN401 - recognized by what it can do
    """The rows of a data frame; None for any other source.

    Raises:
        TypeError: It is a single column or not in memory, or the name of a column is not text.
        ValueError: The name of a column is blank or occurs twice.
    """
    kind = type(source)
    ending = next((name for name in ("collect", "compute") if hasattr(kind, name)), None)
    if hasattr(kind, "columns") and ending:  # of polars and Dask
        raise TypeError(f"rows must be in memory, not a {kind.__name__}: pass rows.{ending}()")
    if hasattr(kind, "to_frame") and not hasattr(kind, "columns"):
        raise TypeError(f"rows must have named columns, not be a {kind.__name__}: pass rows.to_frame('input_id')")
    if hasattr(kind, "columns") and hasattr(kind, "itertuples"):  # pandas
        return Frame(_checked(source.columns), source.shape[0], lambda: source.itertuples(index=False, name=None))
    if hasattr(kind, "columns") and hasattr(kind, "iter_rows"):  # polars
        return Frame(_checked(source.columns), source.shape[0], source.iter_rows)
    if hasattr(kind, "column_names") and hasattr(kind, "slice"):  # Arrow
        return Frame(_checked(source.column_names), source.shape[0], lambda: _arrow_rows(source))
    return None


def present(row: Iterable[tuple[str, object]]) -> dict[str, Any]:
    """The values of a row that are not missing, as plain values rather than NumPy's."""
    return {name: _plain(value) for name, value in row if not _is_missing(value)}


def _checked(columns: Iterable[object]) -> list[str]:
    names: list[str] = []
    for name in columns:
        if not isinstance(name, str):
            raise TypeError(f"the columns of a data frame must be named by text, not {name!r:.60}: rename them")
        if not name.strip():
            raise ValueError(f"a column of the data frame has the blank name {name!r:.60}: rename it, or leave it out")
        if name in names:
            raise ValueError(f"the data frame has two columns {name!r:.60}: rename one, or leave it out")
        names.append(name)
    return names


def _arrow_rows(table: Any) -> Iterator[Sequence[object]]:  # noqa: ANN401 - see DataFrame
    for start in range(0, table.num_rows, _CHUNK):
        yield from zip(*(column.to_pylist() for column in table.slice(start, _CHUNK).columns), strict=True)


def _is_missing(value: object) -> bool:
    """Whether a value is None, NaN, NaT, or the NA of pandas."""
    if value is None:
        return True
    if isinstance(value, str | bytes) or hasattr(value, "__len__"):
        return False
    try:
        return bool(value != value)  # noqa: PLR0124 - as NaN and NaT are
    except (TypeError, ValueError, ArithmeticError):  # NA: whether it is equal to itself is not known, either
        return type(value).__name__ == "NAType"


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever is in a cell
    """A NumPy scalar as a plain value, and a NumPy array as a list."""
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    return value
