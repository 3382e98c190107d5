"""The command `journal`: read-only, beside a batch that writes, and safe to look at."""

import asyncio
import json
import os
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from flora_async import FloraSession, RunRequest
from flora_async.cli import main
from flora_async.testing import FakeFlora, FakeTechnique

HOSTILE = "e\x1b[2Jvil\nfinished\u202e"


@pytest.fixture
async def path(flora: FloraSession, tmp_path: Path) -> Path:
    path = tmp_path / "batch.sqlite"
    rows = [RunRequest({"prompt": "x\x9b31m"}, key=key) for key in ("first", HOSTILE)]
    assert all(result.ok for result in await flora.run_all("caption", rows, journal=path, name="spring"))
    return path


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        file.name: (file.stat().st_mtime_ns, sha256(file.read_bytes()).hexdigest()) for file in sorted(folder.iterdir())
    }


def test_each_action_shows_the_journal_and_changes_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(path.parent)
    assert main(["journal", str(path)]) == 0
    head, first, hostile = capsys.readouterr().out.splitlines()
    assert head.split() == ["KEY", "STATE", "STATUS", "RUN", "ID", "COST", "ATTEMPT", "SINCE"]
    assert first.split()[:3] == ["first", "finished", "completed"]
    assert "finished" in hostile
    assert main(["journal", str(path), "verify"]) == 0
    assert "2 finished, 0 open\n0.02 USD" in capsys.readouterr().out
    assert main(["journal", str(path), "verify", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["batch"] == "spring"
    assert main(["journal", str(path), "export"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["state"] for record in records if record["key"] == HOSTILE] == ["submitting", "running", "finished"]
    assert records[-1]["run"]["outputs"][0]["url"] == "Caption: x\x9b31m"
    assert contents(path.parent) == before


def test_a_journal_of_an_earlier_version_is_listed_with_the_times_that_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "old.sqlite"
    path.write_bytes((Path(__file__).parents[1] / "batch" / "journal_of_techniques.sqlite").read_bytes())
    assert main(["journal", str(path)]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows["running"].endswith("2001-09-09 01:46:40+00:00")
    assert rows["done"].endswith(" -")


@pytest.mark.parametrize("output", ["table", "json", "jsonl"])
@pytest.mark.parametrize("action", ["list", "verify", "export"])
def test_what_the_journal_holds_cannot_control_the_terminal(
    path: Path, capsys: pytest.CaptureFixture[str], action: str, output: str
) -> None:
    assert main(["journal", str(path), action, "--format", output]) == 0
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert not any(line.startswith("finished") for line in out.splitlines())


def test_what_is_not_an_intact_journal_exits_1_and_what_is_not_a_file_exits_2(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = path.with_name("damaged.sqlite")
    damaged.write_bytes(path.read_bytes()[:-100])
    other = path.with_name("other.txt")
    other.write_text("not a journal")
    os.mkfifo(path.with_name("fifo"))
    for name, status in (("damaged.sqlite", 1), ("other.txt", 1), ("nowhere", 2), ("fifo", 2), (".", 2)):
        assert main(["journal", str(path.parent / name), "verify"]) == status, name
        out, err = capsys.readouterr()
        assert not out
        assert err.startswith("flora-async: ")
        assert "Traceback" not in err


async def test_the_journal_of_a_batch_that_runs_is_listed_by_another_process(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    path = tmp_path / "batch.sqlite"
    fake.add_technique(FakeTechnique("endless", running=float("inf")))
    async with flora.batch("endless", [{"prompt": "x"}], journal=path) as batch:
        reading = asyncio.ensure_future(anext(batch))
        # A run is followed once it is recorded; from then on, the batch has nothing to write.
        while not any(request.operation == "poll" for request in fake.requests):
            await asyncio.sleep(0.001)
        before = contents(tmp_path)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flora_async", "journal", str(path), "--format", "jsonl"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        row = json.loads(out)
        assert (row["state"], row["run_id"]) == ("running", fake.runs[0].run_id)
        assert contents(tmp_path) == before
        fake.finish(fake.runs[0].run_id)
        assert (await reading).ok


def test_a_reader_that_leaves_early_is_not_an_error(path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with closing(os.fdopen(write, "w")) as gone:
        process = asyncio.run(_export_to(gone.fileno(), path))
    assert process == (0, b"")


async def _export_to(handle: int, path: Path) -> tuple[int | None, bytes]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "flora_async", "journal", str(path), "export"),
        stdout=handle,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    return process.returncode, err
