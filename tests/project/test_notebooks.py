"""What notebooks show: a status, a cost and pictures, of which no text of a server or a row becomes markup."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import pytest
from sweep import Sweep

from flora_async import BatchResult, FloraSession, Run, RunOutput, RunRequest, Technique, TechniqueInput
from flora_async._html import element, preview
from flora_async.errors import RunFailedError
from flora_async.models import Generation, TechniqueRun
from flora_async.testing import FakeFlora, FakeTechnique

TAGS: Final = {"a", "audio", "b", "code", "div", "img", "table", "td", "th", "tr", "video"}
ATTRIBUTES: Final = {"alt", "controls", "href", "loading", "preload", "referrerpolicy", "rel", "src", "target", "width"}
MARKUP: Final = "\"><script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt;'`<!--</td>\ud800\u202e\x00"
BAD_URLS: Final = [
    "javascript:alert(1)",
    "JaVaScRiPt://example.com/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "//evil.example/x.png",
    "/x.png",
    "https:x.png",
    "https://",
    "https://[::1",
    "https://user:password@evil.example/x.png",
    'https://evil.example/x.png" onload="alert(1)',
    "https://evil.example/x.png' onload='alert(1)",
    "https://evil.example/\nx.png",
    " https://evil.example/x.png",
    "https://evil.example\\@other.example/x.png",
    "https://evil.example/\u202egnp.x",
    "https://evil.example/" + "x" * 5000,
    MARKUP,
    "",
]
GOOD_URLS: Final = [
    "https://media.flora.ai/a.png?x=1&y=%20#z",
    "http://127.0.0.1:8000/a.png",
    "HTTPS://media.flora.ai/a",
]
KINDS: Final = ["imageUrl", "videoUrl", "audioUrl", "documentUrl", MARKUP]


class Page(HTMLParser):
    """Reads HTML as a browser does, and refuses what a notebook must not be shown."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.urls: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        self.tags.append(tag)
        for name, value in attrs:
            assert name in ATTRIBUTES
            if name in {"href", "src"}:
                assert value is not None
                assert urlsplit(value).scheme in {"http", "https"}
                self.urls.append(value)
        if tag != "img":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        pytest.fail(f"a comment: {data!r}")

    def handle_decl(self, decl: str) -> None:
        pytest.fail(f"a declaration: {decl!r}")

    def handle_pi(self, data: str) -> None:
        pytest.fail(f"an instruction: {data!r}")


def outputs_of(urls: list[str]) -> tuple[RunOutput, ...]:
    return tuple(RunOutput(MARKUP, kind, url) for url, kind in product(urls, KINDS))


def hostile_run(kind: type[Run], outputs: tuple[RunOutput, ...]) -> Run:
    return kind(run_id=MARKUP, status=MARKUP, error_code=MARKUP, error_message=MARKUP, outputs=outputs)


async def hostile_batch(fake: FakeFlora, flora: FloraSession) -> Any:
    fake.add_technique(FakeTechnique("poster"))
    batch = flora.batch("poster", [RunRequest({"prompt": "x"}, key=MARKUP)], name="x")
    async with batch:
        async for result in batch:
            assert result.ok
    return batch


@pytest.mark.parametrize("kind", [Run, TechniqueRun, Generation])
def test_no_text_of_a_run_becomes_markup(kind: type[Run]) -> None:
    outputs = outputs_of(BAD_URLS)
    with Sweep() as sweep:
        for number in range(0, len(outputs), 8):
            run = hostile_run(kind, outputs[number : number + 8])
            failed = attrs.evolve(run, status="failed")
            shown: list[Any] = [run, failed, BatchResult(index=0, key=MARKUP, run=failed, error=RunFailedError(failed))]
            for item in shown:
                with sweep.row(type(item).__name__, str(number)):
                    page = Page(item._repr_html_())
                    assert page.urls == []
                    assert '"><script>alert(1)</script><img src=x onerror=alert(1)>' in page.text


async def test_no_text_of_a_technique_or_a_row_becomes_markup(fake: FakeFlora, flora: FloraSession) -> None:
    part = TechniqueInput(id=MARKUP, name=MARKUP, type=MARKUP, description=MARKUP)
    technique = Technique(technique_id=MARKUP, name=MARKUP, description=MARKUP, run_cost=0.05, inputs=(part, part))
    batch = await hostile_batch(fake, flora)
    named = flora.batch("<script>alert(1)</script>", [])
    unread = BatchResult(index=0, key=MARKUP, error=ValueError(MARKUP))
    for shown in (technique, batch, named, unread):
        assert "<script>alert(1)</script>" in Page(shown._repr_html_()).text


def test_only_a_url_of_http_with_a_host_is_linked() -> None:
    with Sweep() as sweep:
        for url, kind in product(BAD_URLS, KINDS):
            with sweep.row(url[:60], kind[:12]):
                assert Page(preview(kind, url)).urls == []
        for url, kind in product(GOOD_URLS, KINDS):
            with sweep.row(url, kind[:12]):
                assert set(Page(preview(kind, url)).urls) == {url}


@pytest.mark.parametrize(
    "build",
    [
        lambda: element("script", "alert(1)"),
        lambda: element("a", "x", onclick="alert(1)"),
        lambda: element("div", style="background: url(https://evil.example)"),
        lambda: element("img", srcdoc="x"),
    ],
)
def test_a_tag_or_an_attribute_that_is_not_listed_cannot_be_built(build: Callable[[], str]) -> None:
    with pytest.raises(ValueError, match="is not allowed here"):
        build()


def test_the_value_of_an_attribute_stays_in_it() -> None:
    page = Page(element("div", element("img", alt=MARKUP), element("td", MARKUP)))
    assert page.tags == ["div", "img", "td"]


@pytest.mark.filterwarnings("default")  # those of Jupyter
async def test_the_cells_of_the_documentation_run_in_jupyter_and_show_the_run(
    fake_flora: FakeFlora, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs nbclient, from the extra dev")
    client = pytest.importorskip("nbclient", reason="needs nbclient, from the extra dev")
    pytest.importorskip("ipykernel", reason="needs ipykernel, from the extra dev")
    monkeypatch.setenv("FLORA_API_KEY", fake_flora.api_key)
    monkeypatch.setenv("FLORA_BASE_URL", fake_flora.base_url)
    page = (Path(__file__).parents[2] / "docs" / "notebooks.md").read_text("utf-8").split("## Into a table")[0]
    cells = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    await client.NotebookClient(notebook, timeout=30, kernel_name="python3").async_execute()
    shown = notebook.cells[0].outputs[-1]["data"]["text/html"]
    assert "<td>completed</td>" in shown
    assert [run.run_id in shown for run in fake_flora.runs] == [True]


async def test_a_run_a_result_a_technique_and_a_batch_show_what_matters(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("poster", run_cost=0.05))
    async with flora.batch("poster", [RunRequest({"prompt": "x"}, key="de-DE")]) as batch:
        (result,) = [result async for result in batch]
    url = result.outputs[0].url
    items: list[Any] = [result.run, result]
    for shown in items:
        page = Page(shown._repr_html_())
        assert page.urls == [url, url]  # the picture, and the link around it
        assert "img" in page.tags
        assert "statuscompleted" in page.text
        assert "cost0.05 USD" in page.text
    page = Page(batch._repr_html_())
    assert page.urls == [url, url]
    assert "1: 1 completed, 0 failed, 0 skipped" in page.text
    assert "cost0.05 USD" in page.text
    page = Page((await flora.techniques.retrieve("poster"))._repr_html_())
    assert "price0.05 USD" in page.text


def test_of_many_outputs_the_first_are_shown_and_the_rest_counted() -> None:
    output = RunOutput("image", "imageUrl", "https://media.flora.ai/a.png")
    page = Page(Run(run_id="run_1", status="completed", outputs=(output,) * 1000)._repr_html_())
    assert page.tags.count("img") == 8
    assert "and 992 more outputs" in page.text
    text = RunOutput("caption", "text", "x" * 10_000)
    assert len(Run(run_id="run_1", status="completed", outputs=(text,))._repr_html_()) < 1000
