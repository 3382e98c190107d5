"""How Sphinx builds these pages: `python -m sphinx -W --keep-going -b html docs docs/_build/html`."""
# ruff: noqa: INP001 - Sphinx reads this file by its path; it is in no package

from sphinx.application import Sphinx

from flora_async import __version__

project = "flora_async"
project_copyright = "The flora_async developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"flora_async {release}"
html_copy_source = False

# A console block is copied without its prompts and its output.
copybutton_prompt_text = "$ "
copybutton_exclude = ".linenos, .gp, .go"

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
# For `-n`: what has no entry of its own in the reference.
nitpick_ignore_regex = [
    # The pages are built without a network, so other projects' inventories are not read.
    (
        "py:.*",
        r"(_?asyncio|collections|context\w+|datetime|os|pathlib|types|typing|aiohttp|attr|multidict|opentelemetry)\..*",
    ),
    # Types of arguments that users pass but do not import; their docstrings say what fits.
    ("py:class", r"flora_async\.([a-z]+\.)?_\w+\..*|flora_async\.(models|batch|webhooks|testing)\.\w+\..*"),
    ("py:class", r"Application|Exists|Medium|OnProgress|Progress|Rows|Watch"),
    # The first words of a description, which napoleon takes for a type where a colon or a semicolon follows.
    ("py:class", r".* .*|ready|The asset"),
]
# The docstrings set names in single backticks.
default_role = "code"


def _keep_colons(_app: Sphinx, what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Put an empty comment first: what precedes a colon in a property's first line is a type to napoleon."""
    if what == "property":
        lines[:0] = ["..", ""]


def setup(app: Sphinx) -> None:
    """Run before napoleon, whose priority is the default of 500."""
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)
