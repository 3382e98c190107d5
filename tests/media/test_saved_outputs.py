"""Outputs saved as files: under names that stay in their directory, with a note of where they come from."""

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from conftest import IMAGE, OpenSession
from hypothesis import given
from hypothesis import strategies as st

from flora_async import (
    DownloadError,
    FloraSession,
    OutputType,
    Run,
    RunFailedError,
    RunOutput,
    RunStatus,
    TechniqueReference,
    TechniqueRun,
    UntrustedURLError,
)
from flora_async._http.setup import standalone_storage
from flora_async.media import save_outputs
from flora_async.media.disk import check_writable
from flora_async.media.names import distinct_prefix, output_names, safe_name
from flora_async.testing import Cut, FakeFlora, FakeTechnique, Garbage, Status

PNG = b"\x89PNG\r\n\x1a\n"
DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def text(output_id: str, content: str = "words") -> RunOutput:
    return RunOutput(output_id=output_id, type=OutputType.TEXT, url=content)


def completed(*outputs: RunOutput, run_id: str = "run_1", **fields: Any) -> Run:
    return Run(run_id=run_id, status=RunStatus.COMPLETED, outputs=outputs, **fields)


def files(directory: Path) -> dict[str, bytes]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


def asked_for_media(fake: FakeFlora) -> int:
    return sum(request.operation == "media" for request in fake.requests)


@pytest.fixture
def poster(fake: FakeFlora) -> FakeTechnique:
    outputs = {"image": "imageUrl", "film": "videoUrl", "words": "text"}
    return fake.add_technique(FakeTechnique("poster", outputs=outputs, running=0.0))


async def test_all_outputs_are_saved_in_their_order_with_a_side_car(
    fake: FakeFlora, flora: FloraSession, poster: FakeTechnique, tmp_path: Path
) -> None:
    run = await flora.run(poster.slug, {"prompt": "a red bicycle"})
    folder = tmp_path / "new" / "folder"
    paths = await flora.save_outputs(run, folder)
    assert [path.name for path in paths] == [f"{run.run_id}-{name}" for name in ("image.png", "film.mp4", "words.txt")]
    assert paths[0].read_bytes().startswith(PNG)
    assert paths[2].read_text(encoding="utf-8") == run.outputs[2].text
    note = json.loads((folder / f"{run.run_id}.json").read_text(encoding="utf-8"))
    assert note == {
        "run_id": run.run_id,
        "technique_id": poster.slug,
        "inputs": {"prompt": "a red bicycle"},
        "status": "completed",
        "charged_cost": run.charged_cost,
        "created_at": run.created_at and run.created_at.isoformat(),
        "completed_at": run.completed_at and run.completed_at.isoformat(),
        "outputs": [
            {"output_id": "image", "type": "imageUrl", "file": paths[0].name, "url": run.outputs[0].url},
            {"output_id": "film", "type": "videoUrl", "file": paths[1].name, "url": run.outputs[1].url},
            {"output_id": "words", "type": "text", "file": paths[2].name},
        ],
    }
    assert len(files(tmp_path)) == 4
    assert not any("Authorization" in each.headers for each in fake.requests if each.operation == "media")


async def test_outputs_are_saved_completely_over_cuts(
    fake: FakeFlora, flora: FloraSession, poster: FakeTechnique, tmp_path: Path
) -> None:
    run = await flora.run(poster.slug, {"prompt": "x"})
    fake.inject(Cut(after=5), on="media", times=3)
    first, *_ = await flora.save_outputs(run, tmp_path)
    assert first.read_bytes().startswith(PNG)
    assert first.read_bytes().endswith(b"IEND\xaeB`\x82")


async def test_outputs_that_exist_are_kept_and_not_fetched_again(
    fake: FakeFlora, flora: FloraSession, poster: FakeTechnique, tmp_path: Path
) -> None:
    run = await flora.run(poster.slug, {"prompt": "x"})
    paths = await flora.save_outputs(run, tmp_path)
    before = files(tmp_path)
    asked = asked_for_media(fake)
    paths[1].write_bytes(b"mine")
    assert await flora.save_outputs(run, tmp_path) == paths
    assert files(tmp_path) == before | {paths[1].name: b"mine"}
    assert asked_for_media(fake) == asked
    assert await flora.save_outputs(run, tmp_path, overwrite=True) == paths
    assert files(tmp_path) == before


async def test_one_output_that_is_lost_does_not_lose_the_others(
    fake: FakeFlora, flora: FloraSession, poster: FakeTechnique, tmp_path: Path
) -> None:
    run = await flora.run(poster.slug, {"prompt": "x"})
    fake.inject(Status(404), on="media")
    with pytest.raises(DownloadError, match="404") as caught:
        await flora.save_outputs(run, tmp_path)
    lost, *saved = caught.value.__notes__
    assert re.match(r"Not saved: image at http://.*404", lost)
    assert saved == [f"Saved {tmp_path / run.run_id}-film.mp4", f"Saved {tmp_path / run.run_id}-words.txt"]
    assert set(files(tmp_path)) == {f"{run.run_id}-film.mp4", f"{run.run_id}-words.txt"}
    asked = asked_for_media(fake)
    await flora.save_outputs(run, tmp_path)
    assert asked_for_media(fake) == asked + 1
    assert len(files(tmp_path)) == 4


async def test_the_first_of_several_errors_has_a_note_on_each_output(flora: FloraSession, tmp_path: Path) -> None:
    bad = [RunOutput(output_id=name, type="imageUrl", url="file:///etc/passwd\nSaved x") for name in "ab"]
    with pytest.raises(UntrustedURLError) as caught:
        await flora.save_outputs(completed(*bad, text("c")), tmp_path)
    assert [note[:14] for note in caught.value.__notes__] == [
        "Not saved: a a",
        "Not saved: b a",
        f"Saved {tmp_path}"[:14],
    ]
    assert not any("\n" in note for note in caught.value.__notes__)


async def test_a_run_without_outputs_has_its_side_car(flora: FloraSession, tmp_path: Path) -> None:
    assert await flora.save_outputs(completed(), tmp_path) == ()
    assert list(files(tmp_path)) == ["run_1.json"]


async def test_a_failed_run_is_its_own_error(flora: FloraSession, tmp_path: Path) -> None:
    run = await flora.run("always-fails", {"prompt": "x"})
    with pytest.raises(RunFailedError):
        await flora.save_outputs(run, tmp_path)


@pytest.mark.parametrize("status", ["pending", "running", "some new status"])
async def test_a_run_that_has_not_ended_is_refused(flora: FloraSession, tmp_path: Path, status: str) -> None:
    with pytest.raises(ValueError, match="wait_for_run"):
        await flora.save_outputs(Run(run_id="run_1", status=status, outputs=(text("a"),)), tmp_path)
    assert not files(tmp_path)


# Names


@pytest.mark.parametrize(
    "output_id",
    [
        "../../x",
        "/etc/passwd",
        "..",
        ".",
        "",
        "CON",
        "com1",
        "x\0y",
        "a" * 300,
        "\\\\host\\share",
        "C:\\x",
        "-rf",
        "\u202egnp.exe",
        "a\nb",
    ],
)
@pytest.mark.parametrize("template", ["{run_id}-{output_id}", "{output_id}", "sub/{output_id}"])
async def test_no_id_leads_out_of_the_directory(
    flora: FloraSession, tmp_path: Path, output_id: str, template: str
) -> None:
    inner = tmp_path / "deep" / "inner"
    run = completed(text(output_id), run_id="../../run")
    (path,) = await flora.save_outputs(run, inner, name=template)
    assert set(files(tmp_path)) == {f"deep/inner/{name}" for name in (path.relative_to(inner).as_posix(), "_run.json")}
    assert path.parent == (inner / "sub" if "sub" in template else inner)
    assert len(path.name) <= 170
    assert not DEVICE.fullmatch(path.name)


@given(st.text())
def test_a_safe_name_means_the_same_on_every_system(name: str) -> None:
    safe = safe_name(name, "output")
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,81}", safe)
    assert not DEVICE.fullmatch(safe)
    assert safe_name(safe, "output") == safe or len(safe) > 80


@given(st.lists(st.text(alphabet="aAbB/-2", max_size=4), max_size=8))
def test_no_two_outputs_have_the_same_name(output_ids: list[str]) -> None:
    names = output_names("{output_id}", completed(*map(text, output_ids)), None)
    assert len({name.casefold() for name in names}) == len(output_ids)


@pytest.mark.parametrize(
    ("output_ids", "names"),
    [
        ("ooo", ["o", "o-2", "o-3"]),
        ("oO", ["o", "O-2"]),
        (["a", "a", "a-2"], ["a", "a-2", "a-2-2"]),
        (["a/b", "a?b"], ["a_b", "a_b-2"]),
    ],
)
async def test_outputs_of_one_name_get_numbers(
    flora: FloraSession, tmp_path: Path, output_ids: Iterable[str], names: list[str]
) -> None:
    run = completed(*(text(output_id, str(number)) for number, output_id in enumerate(output_ids)))
    paths = await flora.save_outputs(run, tmp_path, name="{output_id}")
    assert [path.name for path in paths] == [f"{name}.txt" for name in names]
    assert [path.read_text() for path in paths] == [str(number) for number in range(len(names))]


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{technique_id}/{number:03}", "tech_1/001.txt"),
        ("{{{output_id}}}", "{o}.txt"),
        ("fixed", "fixed.txt"),
        ("{output_id}.txt", "o.txt"),
        ("v1.2-{output_id}", "v1.2-o.txt"),
    ],
)
async def test_names_follow_a_template(flora: FloraSession, tmp_path: Path, template: str, name: str) -> None:
    run = completed(text("o"), poll_url="https://app.flora.ai/api/v1/techniques/tech_1/runs/run_1")
    (path,) = await flora.save_outputs(run, tmp_path, name=template)
    assert path == tmp_path / name


@pytest.mark.parametrize(
    ("template", "error", "words"),
    [
        ("../{output_id}", ValueError, "below the directory"),
        ("a/../../{output_id}", ValueError, "below the directory"),
        ("/tmp/{output_id}", ValueError, "below the directory"),  # noqa: S108 - it is refused
        ("C:{output_id}", ValueError, "below the directory"),
        ("..\\{output_id}", ValueError, "below the directory"),
        ("{output_id:.0}", ValueError, "below the directory"),
        ("{output_id}/", ValueError, "below the directory"),
        ("", ValueError, "below the directory"),
        (".", ValueError, "below the directory"),
        ("a\0b", ValueError, "below the directory"),
        ("{secret}", ValueError, "'secret'; there are run_id, technique_id, output_id, number"),
        ("{}", ValueError, "there are run_id"),
        ("{0}", ValueError, "there are run_id"),
        ("{run_id.__class__}", ValueError, "there are run_id"),
        ("{run_id[0]}", ValueError, "there are run_id"),
        ("{", ValueError, "not a template"),
        ("{number:x!}", ValueError, "cannot be filled in"),
        ("{output_id:{run_id}}", ValueError, "cannot be filled in"),
        ("{technique_id}", ValueError, "which is not known for this run"),
        (5, TypeError, "name must be text"),
        (None, TypeError, "name must be text"),
    ],
)
async def test_a_template_that_cannot_work_is_refused_before_anything_is_sent(
    flora: FloraSession, tmp_path: Path, template: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        await flora.save_outputs(completed(text("o")), tmp_path / "inner", name=template)
    assert not files(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"run": "run_1"}, TypeError),
        ({"directory": 5}, TypeError),
        ({"directory": ""}, ValueError),
        ({"max_bytes": 0}, ValueError),
    ],
)
async def test_a_wrong_argument_is_refused(
    flora: FloraSession, tmp_path: Path, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await save_outputs(flora._storage, **{"run": completed(text("o")), "directory": tmp_path, **arguments})
    assert not files(tmp_path)


# The side-car


def note_of(directory: Path, name: str = "run_1") -> Any:
    return json.loads((directory / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("run", "technique_id"),
    [
        (completed(), None),
        (completed(poll_url="https://app.flora.ai/api/v1/techniques/a%2Fb/runs/run_1?x=1"), "a/b"),
        (completed(poll_url="https://app.flora.ai/api/v1/runs/run_1"), None),
        (
            TechniqueRun(run_id="run_1", status="completed", technique=TechniqueReference(technique_id="tech_1")),
            "tech_1",
        ),
    ],
)
async def test_the_side_car_names_the_technique_where_it_is_known(
    flora: FloraSession, tmp_path: Path, run: Run, technique_id: str | None
) -> None:
    await flora.save_outputs(run, tmp_path)
    assert note_of(tmp_path)["technique_id"] == technique_id
    assert note_of(tmp_path)["inputs"] is None


async def test_the_side_car_holds_what_is_known_of_the_run(flora: FloraSession, tmp_path: Path) -> None:
    moment = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    run = completed(text("o", "\ud83d"), charged_cost=0.05, created_at=moment, completed_at=moment)
    inputs = {"prompt": "Stra\u00dfe \ud83d"}
    await save_outputs(
        flora._storage, run, tmp_path, technique_id="cctv-cam", inputs=inputs, sidecar_name="sub/{run_id}"
    )
    assert "Stra\u00dfe".encode() in (tmp_path / "sub" / "run_1.json").read_bytes()
    note = note_of(tmp_path / "sub")
    assert (note["technique_id"], note["inputs"], note["charged_cost"]) == ("cctv-cam", inputs, 0.05)
    assert note["created_at"] == note["completed_at"] == "2026-01-02T03:04:00+00:00"
    assert note["outputs"] == [{"output_id": "o", "type": "text", "file": "run_1-o.txt"}]


@pytest.mark.parametrize("inputs", [{"photo": Path("x.png")}, {"photo": b"x"}, {"number": float("nan")}])
async def test_inputs_that_json_cannot_hold_are_refused_before_anything_is_saved(
    flora: FloraSession, tmp_path: Path, inputs: dict[str, Any]
) -> None:
    with pytest.raises((TypeError, ValueError), match="JSON"):
        await save_outputs(flora._storage, completed(text("o")), tmp_path, inputs=inputs)
    assert not files(tmp_path)


@pytest.mark.parametrize("name", ["../{run_id}", "{output_id}", "{number}", "/x", ""])
async def test_a_side_car_stays_in_the_directory_too(flora: FloraSession, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="sidecar_name"):
        await save_outputs(flora._storage, completed(text("o")), tmp_path / "inner", sidecar_name=name)
    assert not files(tmp_path)


async def test_a_side_car_is_kept_or_replaced_like_any_file_or_not_written(flora: FloraSession, tmp_path: Path) -> None:
    run = completed(text("o"), charged_cost=1.0)
    await flora.save_outputs(run, tmp_path, sidecar=False)
    assert set(files(tmp_path)) == {"run_1-o.txt"}
    await flora.save_outputs(run, tmp_path)
    dearer = evolve(run, charged_cost=2.0)
    await flora.save_outputs(dearer, tmp_path)
    assert note_of(tmp_path)["charged_cost"] == 1.0
    await flora.save_outputs(dearer, tmp_path, overwrite=True)
    assert note_of(tmp_path)["charged_cost"] == 2.0


async def test_an_output_does_not_take_the_place_of_the_side_car(
    fake: FakeFlora, session_on: OpenSession, tmp_path: Path
) -> None:
    url = fake.add_media("data", b"{}", "application/json")
    output = RunOutput(output_id="o", type="documentUrl", url=url)
    (path,) = await session_on(fake).save_outputs(completed(output), tmp_path, name="{run_id}", overwrite=True)
    assert files(tmp_path).keys() == {"run_1.bin", "run_1.json"}
    assert path.read_bytes() == b"{}"
    assert note_of(tmp_path)["outputs"][0]["file"] == "run_1.bin"


async def test_a_side_car_that_cannot_be_written_is_an_error_and_the_outputs_are_there(
    flora: FloraSession, tmp_path: Path
) -> None:
    (tmp_path / "run_1.json").mkdir()
    with pytest.raises(IsADirectoryError):
        await flora.save_outputs(completed(text("o")), tmp_path)
    assert set(files(tmp_path)) == {"run_1-o.txt"}


async def test_the_inputs_of_a_start_of_this_session_are_remembered(flora: FloraSession, tmp_path: Path) -> None:
    run = await flora.run("cctv-cam", IMAGE)
    await flora.save_outputs(run, tmp_path)
    note = note_of(tmp_path, run.run_id)
    assert (note["technique_id"], note["inputs"]) == ("cctv-cam", IMAGE)


async def test_a_file_of_another_run_is_neither_replaced_nor_kept_in_place_of_this_ones(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    first, second = [await flora.run("cctv-cam", IMAGE) for _ in range(2)]
    (path,) = await flora.save_outputs(first, tmp_path, name="{technique_id}-{number}")
    content = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"not known to be of .* a name with \{run_id\}"):
        await flora.save_outputs(second, tmp_path, name="{technique_id}-{number}")
    assert path.read_bytes() == content
    assert not (tmp_path / f"{second.run_id}.json").exists()
    assert await flora.save_outputs(first, tmp_path, name="{technique_id}-{number}") == (path,)
    (path,) = await flora.save_outputs(second, tmp_path, name="{technique_id}-{number}", overwrite=True)
    assert path.read_bytes() != content
    assert len(fake.runs) == 2


async def test_a_page_in_place_of_an_image_is_not_saved(fake: FakeFlora, flora: FloraSession, tmp_path: Path) -> None:
    run = await flora.run("cctv-cam", IMAGE)
    fake.inject(Garbage(), on="media")
    (path,) = await flora.save_outputs(run, tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")
    fake.inject(Garbage(), on="media", times=None)
    with pytest.raises(DownloadError, match="text/html came instead of the file"):
        await flora.save_outputs(run, tmp_path / "again")
    assert not list((tmp_path / "again").glob("*"))


async def test_an_output_or_side_car_that_exists_is_an_error_on_request(
    fake: FakeFlora, flora: FloraSession, poster: FakeTechnique, tmp_path: Path
) -> None:
    run = await flora.run(poster.slug, {"prompt": "x"})
    (tmp_path / f"{run.run_id}-words.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"words\.txt' exists: pass exists='keep'"):
        await flora.save_outputs(run, tmp_path, exists="error")
    assert files(tmp_path)[f"{run.run_id}-words.txt"] == b"mine"
    assert len(files(tmp_path)) == 3
    asked = asked_for_media(fake)
    await flora.save_outputs(run, tmp_path)
    with pytest.raises(FileExistsError, match=r"\.json' exists"):
        await flora.save_outputs(run, tmp_path, exists="error")
    assert asked_for_media(fake) == asked


async def test_runs_saved_at_once_under_one_name_do_not_share_a_file(flora: FloraSession, tmp_path: Path) -> None:
    runs = [await flora.run("cctv-cam", IMAGE) for _ in range(2)]
    saved = await asyncio.gather(
        *(flora.save_outputs(run, tmp_path, name="{technique_id}") for run in runs), return_exceptions=True
    )
    assert [type(result) for result in saved if isinstance(result, Exception)] == [FileExistsError]
    assert len(list(tmp_path.glob("*.png"))) == 1
    assert len(list(tmp_path.glob("*.json"))) == 1


@pytest.mark.parametrize("name", ["{run_id:.3}-{output_id}", "{output_id}"])
async def test_a_name_without_the_whole_run_id_belongs_to_no_run(
    flora: FloraSession, tmp_path: Path, name: str
) -> None:
    await flora.save_outputs(completed(text("o", "first"), run_id="run_1"), tmp_path, name=name, sidecar=False)
    with pytest.raises(FileExistsError, match=r"a name with \{run_id\}"):
        await flora.save_outputs(completed(text("o", "second"), run_id="run_2"), tmp_path, name=name, sidecar=False)


def test_a_directory_is_proven_to_be_writable(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder")
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "folder"]
    (tmp_path / "file").touch()
    for unusable in (Path("/proc"), tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises(OSError, match=r"cannot be written to .*: choose another directory") as caught:
            check_writable(unusable)
        assert caught.value.errno is not None


def test_row_keys_that_had_to_be_changed_stay_distinct() -> None:
    keys = ["row-1", "row 1", "row/1", "row?1", "a" * 60, "a" * 61, "a" * 62, "ä", "\ud800"]
    prefixes = [distinct_prefix(key, 60) for key in keys]
    assert prefixes[0] == "row-1"
    assert prefixes[4] == "a" * 60
    assert len({prefix.casefold() for prefix in prefixes}) == len(keys)


SIDECAR = {"run_id": "run_2", "outputs": [{"file": "o.txt"}]}
odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["run_id", "outputs", "file"]), inner),
    max_leaves=6,
)
NOTES = st.binary(max_size=200) | st.builds(lambda value: json.dumps(value).encode(), odd)


@given(content=NOTES | st.sampled_from([b"[" * 100_000, b'{"outputs": ' * 50_000]))
async def test_no_side_car_claims_a_file_by_mistake(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "o.txt").write_text("another run's")
        (Path(folder) / "run_2.json").write_bytes(content)
        async with standalone_storage(allow_local=False) as storage:
            with pytest.raises(FileExistsError, match=r"a name with \{run_id\}"):
                await save_outputs(storage, completed(text("o"), run_id="run_2"), folder, name="{output_id}")
            (Path(folder) / "run_2.json").write_text(json.dumps(SIDECAR))
            await save_outputs(storage, completed(text("o"), run_id="run_2"), folder, name="{output_id}")


@pytest.mark.parametrize("what", ["save", "download", "upload"])
async def test_nothing_is_left_of_file_work_that_is_cancelled_at_any_moment(
    fake: FakeFlora, flora: FloraSession, poster: FakeTechnique, tmp_path: Path, what: str
) -> None:
    run = await flora.run(poster.slug, {"prompt": "x"})
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(5_000_000))
    url = fake.add_media("film.mp4", film.read_bytes(), "video/mp4")
    out = tmp_path / "out"

    async def work() -> None:
        if what == "save":
            await flora.save_outputs(run, out, overwrite=True)
        elif what == "download":
            await flora.download(url, out / "film", overwrite=True)
        else:
            await flora.assets.upload(film, workspace_id="ws_local")

    await work()
    cancelled = 0
    for steps in [*range(30), *range(30, 400, 10)]:
        shutil.rmtree(out, ignore_errors=True)
        task = asyncio.create_task(work())
        for _ in range(steps):
            await asyncio.sleep(0)
        cancelled += task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert [path.name for path in out.rglob("*.part")] == []
        assert tasks_of_the_client() == []
        while files_open_below(tmp_path):  # a thread that was opening one closes it as soon as it can
            await asyncio.sleep(0.001)
    assert cancelled > 20


def tasks_of_the_client() -> list[asyncio.Task[Any]]:
    servers = ("/aiohttp/web", "/flora_async/testing/", "/asyncio/", "/tests/")
    return [task for task in asyncio.all_tasks() if not any(part in repr(task) for part in servers)]


def files_open_below(folder: Path) -> list[Path]:
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # another thread has closed it meanwhile
            targets.append(descriptor.readlink())
    return [target for target in targets if target.is_relative_to(folder)]
