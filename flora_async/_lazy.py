"""Load modules when a name of theirs is first asked for, so that importing a package stays cheap."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a package (PEP 562) that loads names from its modules on first use.

    Args:
        package: The package, as `__name__`.
        modules: The names that each module of the package defines, separated by spaces.
    """
    module_of = {name: module for module, names in modules.items() for name in names.split()}

    def __getattr__(name: str) -> Any:  # noqa: ANN401, N807 - as the type checker's imports in each package say
        module = module_of.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        loaded = import_module(package)
        value = loaded.__dict__[name] = getattr(import_module(f"{package}.{module}"), name)
        return value

    return __getattr__
