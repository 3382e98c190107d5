"""How Sphinx builds these pages: `python -m sphinx -W --keep-going -b html docs docs/_build/html`."""
# ruff: noqa: INP001 - Sphinx reads this file by its path; it is in no package

import re

from sphinx.application import Sphinx

from flora_async import __version__

project = "flora_async"
project_copyright = "The flora_async developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "sphinx_design"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"flora_async {release}"
html_copy_source = False
html_static_path = ["images/pages.css"]
html_css_files = ["pages.css"]

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
    ("py:class", r"flora_async\.([a-z]+\.)?_\w+\..*|flora_async\.(models|batch|dask|media|webhooks|testing)\.\w+\..*"),
    ("py:class", r"Application|Client|Exists|Medium|OnProgress|PathT|Progress|Rows|UPath|Watch"),
    # The first words of a description, which napoleon takes for a type where a colon or a semicolon follows.
    ("py:class", r".* .*|ready|The asset"),
]
# The docstrings set names in single backticks.
default_role = "code"


# Pages are plain Markdown, so that they can be read in a repository; comments say what these pages make of it.
_ARRANGED = re.compile(r"^<!-- (cards|tabs) -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)
_CARD = re.compile(r"^- \[([^\]]+)\]\(([\w-]+)\.md\): (.*?)(?=^- |\Z)", re.MULTILINE | re.DOTALL)
_TAB = re.compile(r"^\*\*(.+?)\*\*\n(.*?)(?=^\*\*|\Z)", re.MULTILINE | re.DOTALL)
_INCLUDED = re.compile(r'^<!-- include (\S+) from "([^"]+)"(?: to "([^"]+)")? -->$', re.MULTILINE)


def _arrange(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Turn a list into cards, parts with bold titles into tabs, and the name of a program into its text."""
    source[0] = _INCLUDED.sub(_include, _ARRANGED.sub(_cards_or_tabs, source[0]))


def _cards_or_tabs(found: re.Match[str]) -> str:
    kind, content = found.groups()
    if kind == "cards":
        cards = [
            f"::::{{grid-item-card}} {title}\n:link: {page}\n:link-type: doc\n{text}::::\n"
            for title, page, text in _CARD.findall(content)
        ]
        return f":::::{{grid}} 1 2 2 3\n:gutter: 2\n{''.join(cards)}:::::"
    tabs = [f"::::{{tab-item}} {title}\n{text}::::\n" for title, text in _TAB.findall(content)]
    return f":::::{{tab-set}}\n{''.join(tabs)}:::::"


def _include(found: re.Match[str]) -> str:
    path, first, end = found.groups()
    last = "" if end is None else f':end-before: "{end}"\n'
    return f':::{{literalinclude}} {path}\n:language: python\n:start-at: "{first}"\n{last}:::'


def _keep_colons(_app: Sphinx, what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Put an empty comment first: what precedes a colon in a property's first line is a type to napoleon."""
    if what == "property":
        lines[:0] = ["..", ""]


def setup(app: Sphinx) -> None:
    """Connect the functions above; docstrings are changed before napoleon, whose priority is the default of 500."""
    app.connect("source-read", _arrange)
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)
