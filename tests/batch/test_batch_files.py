"""Files in and out of a batch: uploaded once, sent again as they were, saved under names of their own."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import IMAGE, UNRESOLVED, OpenSession

from flora_async import DownloadError, FloraSession, RunRequest
from flora_async.batch.saving import name_of
from flora_async.testing import Drop, FakeFlora, FakeTechnique, Status
from flora_async.testing._state.sample_files import png


def photos(tmp_path: Path, count: int) -> list[Path]:
    paths = [tmp_path / f"photo-{number}.png" for number in range(count)]
    for path in paths:
        path.write_bytes(png(path.name))
    return paths


def starts(fake: FakeFlora) -> list[Any]:
    return [request.json for request in fake.requests if request.operation == "start"]


async def test_files_are_rows_like_others_and_equal_ones_are_uploaded_once(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    paths = photos(tmp_path, 3)
    rows = [{"input_image": path} for path in [*paths, *paths]]
    results = await flora.run_all("cctv-cam", rows)
    assert all(result.ok for result in results)
    assert (len(fake.assets), len(fake.runs)) == (3, 6)
    assert isinstance(results[0].request, RunRequest)
    assert results[0].request.inputs == {"input_image": paths[0]}


@pytest.mark.parametrize("idempotency", ["replay", "conflict", "suppress"])
async def test_a_start_in_doubt_is_sent_again_with_the_file_where_it_was(
    session_on: OpenSession, tmp_path: Path, idempotency: Any
) -> None:
    (path,) = photos(tmp_path, 1)
    journal = tmp_path / "batch.sqlite"
    async with FakeFlora(idempotency=idempotency) as fake:
        fake.inject(Status(504, acts=True), on="start")
        rows = [{"input_image": path}]
        await session_on(fake, retry=UNRESOLVED).run_all("cctv-cam", rows, journal=journal)
        # Another session, which would upload the file under another URL.
        (result,) = await session_on(fake).run_all("cctv-cam", rows, journal=journal)
        assert (len(fake.runs), len(fake.assets)) == (1, 1)
        first, second = starts(fake)
        assert first == second
        assert result.ok
        assert result.run is not None
        assert result.run.adopted == (idempotency != "replay")


async def test_a_file_that_has_changed_is_another_row(fake: FakeFlora, flora: FloraSession, tmp_path: Path) -> None:
    (path,) = photos(tmp_path, 1)
    rows = [RunRequest({"input_image": path}, key="photo")]
    for seed, runs in (("a", 1), ("a", 1), ("b", 2)):
        path.write_bytes(png(seed))
        (result,) = await flora.run_all("cctv-cam", rows, journal=tmp_path / "batch.sqlite")
        assert result.ok
        assert len(fake.runs) == runs


async def test_a_file_that_is_not_there_is_its_rows_error_alone(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    rows: list[Any] = [{"input_image": tmp_path / "none.png"}, IMAGE]
    missing, good = await flora.run_all("cctv-cam", rows)
    assert isinstance(missing.error, FileNotFoundError)
    assert good.ok
    assert len(fake.runs) == 1


async def test_outputs_are_saved_by_row_with_a_side_car(fake: FakeFlora, flora: FloraSession, tmp_path: Path) -> None:
    (path,) = photos(tmp_path, 1)
    fake.add_technique(FakeTechnique("both", inputs={"photo": "imageUrl"}, outputs={"a": "imageUrl", "b": "text"}))
    (result,) = await flora.run_all("both", [RunRequest({"photo": path}, key="fr")], save_to=tmp_path / "out")
    assert result.ok
    assert result.run is not None
    stem = f"fr-{result.run.run_id}"
    assert [file.name for file in result.files] == [f"{stem}-a.png", f"{stem}-b.txt"]
    assert result.files[0].read_bytes().startswith(b"\x89PNG")
    side_car = json.loads((tmp_path / "out" / f"{stem}.json").read_text("utf-8"))
    assert side_car["run_id"] == result.run.run_id
    assert side_car["technique_id"] == "both"
    assert side_car["inputs"] == {"photo": path.name}
    assert side_car["charged_cost"] == pytest.approx(0.05)
    assert len(list((tmp_path / "out").iterdir())) == 3


async def test_what_could_not_be_saved_is_saved_by_the_next_call_and_not_paid_for_again(
    fake: FakeFlora, session_on: OpenSession, tmp_path: Path
) -> None:
    flora = session_on(fake)
    journal, out = tmp_path / "batch.sqlite", tmp_path / "out"
    fake.inject(Status(403), on="media")
    failed, good = await flora.run_all("cctv-cam", [IMAGE] * 2, journal=journal, save_to=out, name="x")
    if failed.ok:
        failed, good = good, failed
    assert isinstance(failed.error, DownloadError)
    assert failed.run is not None
    assert failed.run.is_completed
    assert (good.ok, len(good.files)) == (True, 1)
    results = await flora.run_all("cctv-cam", [IMAGE] * 2, journal=journal, save_to=out, name="x")
    assert all(result.ok and result.resumed and result.files[0].exists() for result in results)
    assert len(fake.runs) == 2


async def test_nothing_of_a_failed_run_is_saved(fake: FakeFlora, flora: FloraSession, tmp_path: Path) -> None:
    (result,) = await flora.run_all("always-fails", [{"prompt": "x"}], save_to=tmp_path / "out")
    assert not result.ok
    assert result.files == ()
    assert list((tmp_path / "out").iterdir()) == []
    assert len(fake.runs) == 1


@pytest.mark.parametrize("save_to", ["taken", "taken/below", "", 5])
async def test_a_place_where_nothing_can_be_saved_is_refused_before_anything_is_spent(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_to: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("a file", encoding="utf-8")
    with pytest.raises((OSError, ValueError, TypeError)):
        await flora.run_all("cctv-cam", [IMAGE], save_to=save_to)
    assert fake.requests == []


@pytest.mark.parametrize("key", ["../../etc/passwd", "a/b", "a\\b", "C:", "ключ", ".", "x" * 500, " "])
def test_no_key_leads_out_of_the_directory_or_to_another_rows_file(key: str) -> None:
    name = name_of(key)
    assert name.replace("-", "").replace("_", "").isalnum()
    assert len(name) <= 80
    assert name != name_of(f"{key}!")


async def test_a_dropped_download_of_a_batch_is_resumed(fake: FakeFlora, flora: FloraSession, tmp_path: Path) -> None:
    fake.inject(Drop(acts=False), on="media", times=3)
    (result,) = await flora.run_all("cctv-cam", [IMAGE], save_to=tmp_path)
    assert result.ok
    assert result.files[0].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("save_to", ["/proc", "/proc/new", __file__], ids=["read-only", "below it", "a file"])
async def test_a_directory_that_cannot_be_written_to_is_found_before_money_is_spent(
    fake: FakeFlora, flora: FloraSession, save_to: str
) -> None:
    with pytest.raises(OSError, match="cannot be written to"):
        await flora.run_all("caption", [{"prompt": "x"}], save_to=save_to)
    assert not fake.runs
