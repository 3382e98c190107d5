"""Check every row of a table in one test, and report all rows that fail, each by its name."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import pytest

_FAILURES = (Exception, pytest.fail.Exception)


class Sweep:
    """Collects the failures of rows.

    Example:
        >>> with Sweep() as sweep:
        ...     for number in (1, 2, 3):
        ...         with sweep.row(number):
        ...             assert number < 4
    """

    def __init__(self) -> None:
        self._rows = 0
        self._failures: list[BaseException] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is not None:
            return
        assert self._rows, "the sweep had no rows"
        if self._failures:
            raise BaseExceptionGroup(f"{len(self._failures)} of {self._rows} rows failed", self._failures)

    @contextmanager
    def row(self, *name: object) -> Iterator[None]:
        """Check one row; the next ones are checked even if it fails."""
        self._rows += 1
        try:
            yield
        except _FAILURES as error:
            shown = (part if isinstance(part, str) and part.isprintable() else repr(part) for part in name)
            error.add_note(f"Row: {' | '.join(f'{part:.200}' for part in shown)}")
            self._failures.append(error)
