"""All tests of clusters run in one process, which starts one cluster for those of a module."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "dask":
            item.add_marker(pytest.mark.xdist_group("dask"))
