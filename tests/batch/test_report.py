"""The report of a batch: one file that shows everything, and lets nothing that a row contains act in the page."""

import asyncio
import base64
import hashlib
import re
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest

from flora_async import FloraSession
from flora_async.batch import BatchResult, write_report
from flora_async.errors import RunFailedError, SubmissionUnknownError
from flora_async.models import Run, RunOutput
from flora_async.testing import FakeFlora

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
OWN: Final = "document.title='owned'"
HOSTILE: Final = f'</script><img src=x onerror="{OWN}"><script>{OWN}</script>\u202e\u2028'
BEGAN: Final = datetime(2026, 11, 25, tzinfo=UTC)


def result(index: int, *, key: str | None = None, seconds: float = 1.0, **fields: Any) -> BatchResult:
    run = Run(
        run_id=f"run_{index}",
        status=fields.pop("status", "completed"),
        charged_cost=0.25,
        outputs=(RunOutput(output_id="o", type="text", url=fields.pop("text", "words")), *fields.pop("outputs", ())),
        created_at=BEGAN,
        completed_at=BEGAN + timedelta(seconds=seconds),
        error_code=fields.pop("error_code", None),
        error_message=fields.pop("error_message", None),
    )
    error = RunFailedError(run) if run.is_failed else None
    return BatchResult(index=index, key=key or f"row-{index}", run=run, error=error, attempts=1, **fields)


def hostile_results() -> list[BatchResult]:
    url = RunOutput(output_id="u", type="imageUrl", url=f"javascript:{OWN}//https://example.com")
    return [
        result(0, key=HOSTILE, text=HOSTILE, outputs=[url]),
        result(1, key="failed", status="failed", error_code=HOSTILE, error_message=HOSTILE),
        BatchResult(index=2, key="lone \ud800 surrogate", error=ValueError(HOSTILE)),
    ]


class Elements(HTMLParser):
    """The elements of a page, with their attributes, and what is in styles and scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.content: dict[str, list[str]] = {"style": [], "script": []}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and (held := self.content.get(self.tags[-1][0])) is not None and data.strip():
            held.append(data)


async def test_whatever_rows_contain_adds_no_element_and_the_policy_allows_this_script_alone(tmp_path: Path) -> None:
    plain = await write_report([result(0)], tmp_path / "plain.html")
    malformed = result(3, outputs=[RunOutput(output_id="u", type="imageUrl", url="https://[::1")])
    hostile = await write_report([*hostile_results(), malformed], tmp_path / "hostile.html", title=HOSTILE)
    pages = [Elements(path.read_text("utf-8")) for path in (plain, hostile)]
    assert [tag for tag, _ in pages[0].tags] == [tag for tag, _ in pages[1].tags]
    (policy,) = (a["content"] for _, a in pages[1].tags if a.get("http-equiv") == "Content-Security-Policy")
    hashes = {
        kind: f"'sha256-{base64.b64encode(hashlib.sha256(pages[1].content[kind][-1].encode()).digest()).decode()}'"
        for kind in ("style", "script")
    }
    assert policy is not None
    assert policy.startswith(
        f"default-src 'none'; img-src data:; style-src {hashes['style']}; script-src {hashes['script']};"
    )
    assert not re.search(r"(?:src|href)=\"?https?:", hostile.read_text("utf-8"))


async def test_the_report_of_a_batch_has_its_pictures_up_to_a_size_and_links_to_the_files(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    image = {"input_image": "https://example.com/a.png"}
    results = await flora.run_all("cctv-cam", [image] * 2, save_to=tmp_path / "out")
    size = max(result.files[0].stat().st_size for result in results)
    report = await write_report(results, tmp_path / "report.html", max_thumbnail_kb=size / 1024)
    assert report.read_text("utf-8").count("data:image/png;base64,") == 2
    assert f"./out/{results[0].files[0].name}" in report.read_text("utf-8")
    linked = await write_report(results, tmp_path / "report.html", max_total_mb=1.5 * size / 1024**2)
    assert linked.read_text("utf-8").count("data:image/png;base64,") == 1
    assert len(fake.runs) == 2


async def test_what_is_no_result_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="BatchResult objects, not 3"):
        await write_report([3], tmp_path / "report.html")  # type: ignore[list-item]  # a mistake that users make
    assert list(tmp_path.iterdir()) == []


async def test_the_totals_say_whether_the_cost_is_final(tmp_path: Path) -> None:
    final = await write_report([result(0), result(1)], tmp_path / "final.html")
    assert "<dt>Cost</dt><dd>0.5 USD</dd>" in final.read_text("utf-8")
    unknown = SubmissionUnknownError(idempotency_key="key-1", technique_id="caption", since=BEGAN)
    floor = await write_report([result(0), BatchResult(index=1, key="b", error=unknown)], tmp_path / "floor.html")
    assert "<dt>Cost, not final</dt><dd>≥ 0.25 USD</dd>" in floor.read_text("utf-8")


@pytest.fixture
async def browser_page() -> AsyncIterator[Any]:
    api = pytest.importorskip("playwright.async_api", reason="needs Playwright, from the extra dev")
    async with api.async_playwright() as playwright:
        found = next(filter(None, map(shutil.which, BROWSERS)), playwright.chromium.executable_path)
        if not Path(found).exists():
            pytest.skip("needs Chromium, such as Debian's package chromium")
        browser = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield await browser.new_page(viewport={"width": 1100, "height": 800})
        finally:
            await browser.close()


async def keys(page: Any) -> list[str]:
    shown: list[str] = await page.locator("#sheet .tile b").all_text_contents()
    return shown


async def test_rows_are_filtered_sorted_and_searched_in_a_browser(browser_page: Any, tmp_path: Path) -> None:
    results = [result(n, seconds=10 + n, key=f"shot {n}") for n in range(4)]
    results.append(result(4, key="broken", status="failed", error_code="model_timeout", error_message="Too slow."))
    page = browser_page
    await page.goto((await write_report(results, tmp_path / "r.html")).as_uri())
    assert await keys(page) == ["shot 0", "shot 1", "shot 2", "shot 3", "broken"]
    await page.select_option("#order", "seconds")
    assert await keys(page) == ["shot 3", "shot 2", "shot 1", "shot 0", "broken"]
    await page.click("#statuses [data-status=failed]")
    assert await keys(page) == ["broken"]
    assert await page.inner_text("#shown") == "1 of 5 rows"
    await page.click("#statuses [data-status='']")
    await page.fill("#query", "SHOT 2")
    assert await keys(page) == ["shot 2"]
    await page.fill("#query", "")
    await page.click("#failures td button")
    assert await keys(page) == ["broken"]
    await page.click("#sheet .tile")
    assert "model_timeout" in await page.inner_text("#details")


async def test_hostile_rows_are_text_in_a_browser_and_nothing_is_fetched(browser_page: Any, tmp_path: Path) -> None:
    page, requested, problems = browser_page, [], []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    report = await write_report(hostile_results(), tmp_path / "r.html", title="Mine")
    await page.goto(report.as_uri())
    for tile in await page.locator("#sheet .tile").all():
        await tile.click()
        await page.click("#close")
    assert await page.title() == "Mine"
    assert await page.locator("main img, dialog img, main script, dialog a").count() == 0
    assert [url for url in requested if not url.startswith("data:")] == [report.as_uri()]
    assert problems == []


async def test_ten_thousand_rows_are_in_the_page_and_only_those_in_view_are_drawn(
    browser_page: Any, tmp_path: Path
) -> None:
    page = browser_page
    report = await write_report((result(n, seconds=n % 97) for n in range(10_000)), tmp_path / "r.html")
    await asyncio.wait_for(page.goto(report.as_uri()), 30)
    assert await page.inner_text("#shown") == "10,000 of 10,000 rows"
    assert 0 < await page.locator("#sheet .tile").count() < 100
    await page.evaluate("scrollTo(0, document.body.scrollHeight)")
    await page.wait_for_function("document.querySelector('[data-index=\"9999\"]')")
    assert await page.locator("#sheet .tile").count() < 100
    await page.fill("#query", "row-9998")
    assert await keys(page) == ["row-9998"]
