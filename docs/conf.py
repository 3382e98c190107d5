"""How Sphinx builds these pages: `python -m sphinx -W --keep-going -b html docs docs/_build/html`."""
# ruff: noqa: INP001 - Sphinx reads this file by its path; it is in no package

from sphinx.application import Sphinx

from flora_async import __version__

project = "flora_async"
project_copyright = "The flora_async developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"flora_async {release}"
html_copy_source = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
# An attribute of a model is described once, in the docstring of its class.
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
# The docstrings set names in single backticks.
default_role = "code"


def _keep_colons(_app: Sphinx, what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Put an empty comment first: what precedes a colon in a property's first line is a type to napoleon."""
    if what == "property":
        lines[:0] = ["..", ""]


def setup(app: Sphinx) -> None:
    """Run before napoleon, whose priority is the default of 500."""
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)
