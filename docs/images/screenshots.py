"""Take the screenshots of these pages from the command line and a report as they are.

    python screenshots.py [FOLDER] [--cli]

Everything runs on a local FLORA. The pictures of the command line are what it prints to a terminal, drawn by rich.
Those of the report are taken by Chromium, such as Debian's, through Playwright; `--cli` leaves them out. A terminal
needs Linux or macOS.
"""
# ruff: noqa: INP001, S603, T201 - a script of its own, which prints and runs our own commands

import asyncio
import itertools
import math
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from flora_async import FloraSession
from flora_async.testing import FakeFlora, FakeTechnique

HEADLINES = (
    "A red bicycle at dawn,A blue boat in the rain,A green door in Lisbon,A lamp on a desk,A market in spring,A kite,"
    "A tea cup,An open window,A tram uphill,A garden chair,A wet street,A paper crane"
)
COLUMNS = 104


def picture(number: int) -> bytes:
    """A PNG with a gradient of its own."""
    width, height = 320, 240
    hue = [0.5 + 0.5 * math.cos(number * 0.7 + shift) for shift in (0.0, 2.1, 4.2)]
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            wave = 0.5 + 0.5 * math.sin((x * math.cos(number) + y * math.sin(number)) / 45)
            rows += bytes(int(70 + 150 * (0.65 * part + 0.35 * wave) * (0.55 + 0.45 * y / height)) for part in hue)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def printed(arguments: Sequence[str], folder: Path, is_shown: Callable[[str], object]) -> str:
    """What a terminal shows once `is_shown` is true of it, or at the end of the command."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "COLORTERM": "truecolor"}
    environment.pop("NO_COLOR", None)
    found, received = "", b""
    command = [sys.executable, "-m", "flora_async", *arguments]
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        while True:
            try:
                received += os.read(ours, 65536)
            except OSError:  # the command has ended
                break
            screen = on_screen(received.decode(errors="ignore"))
            if not found and is_shown(screen):
                found = screen
    os.close(ours)
    return found or on_screen(received.decode())


def on_screen(text: str) -> str:
    """The lines on a terminal after a text that clears lines and goes up, as live progress does."""
    lines = [""]
    for part in re.split(r"(\n|\r|\x1b\[1A|\x1b\[2K|\x1b\[\?25[lh])", text):
        if part == "\n":
            lines.append("")
        elif part == "\x1b[1A":
            lines.pop()
        elif part == "\x1b[2K":
            lines[-1] = ""
        elif part and part != "\r" and not part.startswith("\x1b[?"):
            lines[-1] += part
    return "\n".join(lines).rstrip()


def draw(path: Path, title: str, *screens: tuple[str, str]) -> None:
    """Draw commands with what they have printed."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        for command, shown in screens:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")), soft_wrap=True)
            console.print(Text.from_ansi(shown), end="\n\n")
        drawn = console.export_svg(title=title, unique_id=path.stem)
    # A page that shows the picture loads nothing from other hosts.
    drawn = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    path.write_text("".join(f"{line.rstrip()}\n" for line in drawn.splitlines()), encoding="utf-8")
    print(path)


def take_cli(folder: Path, work: Path) -> None:
    """Take the pictures of the command line."""
    show = "techniques show poster"
    run = "run poster -i 'prompt=a red bicycle at dawn' --save pictures"
    draw(
        folder / "cli_run.svg",
        "flora-async run",
        (f"flora-async {show}", printed(show.split(), work, lambda _: False)),
        (
            f"flora-async {run}",
            printed(
                ["run", "poster", "-i", "prompt=a red bicycle at dawn", "--save", "pictures"],
                work,
                lambda screen: re.search(r"running.*about \d s left", screen),
            ),
        ),
    )
    rows = ["prompt,sku", *(f"{text},sku-{number}" for number, text in enumerate(HEADLINES.split(","), 1))]
    (work / "posters.csv").write_text("\n".join(rows), encoding="utf-8")
    batch = "batch poster posters.csv --map prompt=prompt --key sku --save posters --report report.html"
    shown = printed(batch.split(), work, lambda screen: re.search("([4-9]|1[01])/12 rows.*left", screen))
    draw(folder / "cli_batch.svg", "flora-async batch", (f"flora-async {batch}", shown))


async def take_report(folder: Path, report: Path) -> None:
    """Take the pictures of a report, in light and dark."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 - `--cli` needs none

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = await browser.new_page(
                viewport={"width": 1060, "height": 1400}, color_scheme=scheme, reduced_motion="reduce"
            )
            await page.goto(report.as_uri())
            await page.screenshot(path=folder / f"report_{scheme}.png")
            print(folder / f"report_{scheme}.png")
        await browser.close()


async def earlier_runs(fake: FakeFlora) -> None:
    """Fill the history, so that the command line knows how long runs take."""
    async with FloraSession(fake.api_key, base_url=fake.base_url) as flora:
        await flora.run_all("poster", [{"prompt": f"draft {number}"} for number in range(6)])


def main() -> None:
    """Take all pictures."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--cli"]
    folder = Path(arguments[0] if arguments else Path(__file__).parent)
    seconds = itertools.cycle((1.4, 2.1, 1.7, 2.9, 1.9, 2.4, 1.6))
    with tempfile.TemporaryDirectory() as temporary, FakeFlora() as fake:
        work = Path(temporary)
        fake.add_technique(FakeTechnique("poster", run_cost=0.12, pending=0.2, running=lambda: next(seconds)))
        os.environ |= {"FLORA_API_KEY": fake.api_key, "FLORA_BASE_URL": fake.base_url}
        fake.fail("poster", code="model_timeout", message="The model took too long.", inputs={"prompt": "A kite"})
        for number, text in enumerate(HEADLINES.split(",")):
            fake.produce("poster", outputs={"output_1": picture(number)}, inputs={"prompt": text})
        asyncio.run(earlier_runs(fake))
        take_cli(folder, work)
        if "--cli" not in sys.argv:
            asyncio.run(take_report(folder, work / "report.html"))


if __name__ == "__main__":
    main()
