"""The command line, as users run it: in a process of its own."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from flora_async import FloraSession, __version__
from flora_async.testing import Drop, FakeFlora, FakeTechnique, Fault, Replace, Slow, Status, Truncate

PNG = b"\x89PNG\r\n\x1a\n"


async def start(*arguments: str, fake: FakeFlora | None = None, cwd: Path) -> asyncio.subprocess.Process:
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    environment.pop("PYTHONASYNCIODEBUG", None)  # on a busy machine it tells of slow callbacks, on stderr
    if fake is not None:
        environment |= {"FLORA_API_KEY": fake.api_key, "FLORA_BASE_URL": fake.base_url}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "flora_async",
        *arguments,
        cwd=cwd,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def call(*arguments: str, fake: FakeFlora | None = None, cwd: Path) -> tuple[int | None, str, str]:
    process = await start(*arguments, fake=fake, cwd=cwd)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_demo_needs_no_key_shows_each_change_and_saves_an_image(tmp_path: Path) -> None:
    code, out, err = await call("demo", cwd=tmp_path)
    assert (code, err) == (0, "")
    statuses = re.findall(r"pending|running|completed", out)
    assert statuses[0] == "pending"
    assert statuses[-1] == "completed"
    assert "running" in statuses
    (saved,) = tmp_path.iterdir()
    assert saved.read_bytes().startswith(PNG)
    assert f"Saved {saved.name}" in out


async def test_a_run_is_started_followed_and_its_outputs_are_saved(fake: FakeFlora, tmp_path: Path) -> None:
    fake.add_technique(FakeTechnique("both", outputs={"image": "imageUrl", "words": "text"}))
    folder = tmp_path / "new" / "out"
    code, out, err = await call(
        "run", "both", "--input", "prompt=a=b", "--output-dir", str(folder), fake=fake, cwd=tmp_path
    )
    assert (code, err) == (0, "")
    (run,) = fake.runs
    assert run.inputs == {"prompt": "a=b"}
    assert (folder / f"{run.run_id}-image.png").read_bytes().startswith(PNG)
    assert "a=b" in (folder / f"{run.run_id}-words.txt").read_text()
    assert len(list(folder.iterdir())) == 2
    assert "Charged 0.05 USD" in out
    media = [request for request in fake.requests if request.operation == "media"]
    assert all("Authorization" not in request.headers for request in media)
    assert fake.api_key not in out


async def test_the_same_idempotency_key_starts_one_run_over_two_calls(tmp_path: Path) -> None:
    async with FakeFlora(idempotency="replay") as fake:
        for _ in range(2):
            code, _, _ = await call(
                "run", "caption", "--input", "prompt=x", "--idempotency-key", "k1", fake=fake, cwd=tmp_path
            )
            assert code == 0
        assert len(fake.runs) == 1


async def test_a_failed_run_says_why_and_exits_1(fake: FakeFlora, tmp_path: Path) -> None:
    code, out, _ = await call("run", "always-fails", "--input", "prompt=x", fake=fake, cwd=tmp_path)
    assert code == 1
    assert "safety_blocked" in out


async def test_an_unknown_submission_exits_3_and_shows_the_whole_key(fake: FakeFlora, tmp_path: Path) -> None:
    fake.inject(Replace({"status": "running"}), on="start", times=None)
    code, _, err = await call("run", "caption", "--input", "prompt=x", fake=fake, cwd=tmp_path)
    assert code == 3
    assert f"Idempotency key: {fake.runs[0].idempotency_key}" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "caption", "--input", "prompt=x"], "FLORA_API_KEY"),
        (["run", "caption"], "--input"),
        (["run", "caption", "--input", "prompt"], "id=value"),
        (["run", "caption", "--input", "=x"], "id=value"),
        ([], "COMMAND"),
        (["dance"], "dance"),
    ],
)
async def test_wrong_usage_exits_2_and_says_what_to_do(tmp_path: Path, arguments: list[str], words: str) -> None:
    code, out, err = await call(*arguments, cwd=tmp_path)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--output-dir", __file__],
        ["--output-dir", "/proc"],
        ["--timeout", "nan"],
        ["--timeout", "-1"],
        ["--idempotency-key", "a b"],
        ["--input", " =x"],
    ],
)
async def test_an_option_that_cannot_work_is_refused_before_anything_is_spent(
    fake: FakeFlora, tmp_path: Path, arguments: list[str]
) -> None:
    code, _, err = await call("run", "caption", "--input", "prompt=x", *arguments, fake=fake, cwd=tmp_path)
    assert code == 2
    assert "Traceback" not in err
    assert not fake.requests


async def test_a_wait_that_times_out_names_the_run_that_is_still_running(fake: FakeFlora, tmp_path: Path) -> None:
    fake.add_technique(FakeTechnique("endless", running=float("inf")))
    code, _, err = await call("run", "endless", "--input", "prompt=x", "--timeout", "0.2", fake=fake, cwd=tmp_path)
    assert code == 1
    run_id = fake.runs[0].run_id
    assert (
        f"run {run_id} is still running on FLORA and will be charged: "
        f"continue with flora.wait_for_run('{run_id}')" in err
    )


async def interrupted(process: asyncio.subprocess.Process, line: bytes) -> str:
    """The stderr of a command that is interrupted after it has printed a line."""
    assert process.stdout is not None
    while line not in await process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    return err.decode()


async def test_interrupting_a_wait_leaves_one_line_that_says_how_to_go_on(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    fake.add_technique(FakeTechnique("endless", running=float("inf")))
    process = await start("run", "endless", "--input", "prompt=x", fake=fake, cwd=tmp_path)
    err = await interrupted(process, b"pending")
    run_id = fake.runs[0].run_id
    assert err == (
        f"flora-async: interrupted: run {run_id} is still running on FLORA and will be charged: "
        f"continue with flora.wait_for_run('{run_id}')\n"
    )
    fake.finish(run_id)
    assert (await flora.wait_for_run(run_id)).is_completed


async def test_interrupting_a_start_leaves_one_line_with_its_key(fake: FakeFlora, tmp_path: Path) -> None:
    fake.inject(Slow(30.0), on="start")
    process = await start("run", "caption", "--input", "prompt=x", "--idempotency-key", "k1", fake=fake, cwd=tmp_path)
    assert process.stdout is not None
    assert b"Starting 'caption'" in await process.stdout.readline()
    while not any(request.operation == "start" for request in fake.requests):
        await asyncio.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert err.decode() == (
        "flora-async: interrupted: a run may have been started: start it again only with --idempotency-key k1\n"
    )


async def test_interrupting_the_demo_does_not_speak_of_charges_to_come(tmp_path: Path) -> None:
    err = await interrupted(await start("demo", cwd=tmp_path), b"pending")
    assert err == "flora-async: interrupted: the demo's FLORA has ended too, and nothing was charged\n"
    assert not list(tmp_path.iterdir())


async def test_interrupting_a_download_says_that_the_run_has_completed(fake: FakeFlora, tmp_path: Path) -> None:
    fake.inject(Slow(30.0), on="media")
    process = await start("run", "cctv-cam", "--input", "input_image=https://e.com/a.png", fake=fake, cwd=tmp_path)
    err = await interrupted(process, b"Charged")
    assert err == (
        f"flora-async: interrupted: run {fake.runs[0].run_id} has completed: save its outputs with flora.save_outputs\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("output_id", ["../../escape", "x\x00y"])
async def test_a_name_from_the_server_cannot_leave_the_directory(
    fake: FakeFlora, tmp_path: Path, output_id: str
) -> None:
    folder = tmp_path / "deep" / "out"
    folder.mkdir(parents=True)
    output = {"output_id": output_id, "type": "text", "url": "words"}
    payload = {"run_id": "../run_1", "status": "completed", "outputs": [output]}
    fake.inject(Replace(payload), on="start")
    code, _, err = await call(
        "run", "caption", "--input", "prompt=x", "--output-dir", str(folder), fake=fake, cwd=tmp_path
    )
    assert (code, err) == (0, "")
    assert [path.parent for path in tmp_path.rglob("*") if path.is_file()] == [folder]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://192.0.2.1/x"])
async def test_an_output_that_cannot_be_fetched_is_an_error_and_no_traceback(
    fake: FakeFlora, tmp_path: Path, url: str
) -> None:
    output = {"output_id": "o", "type": "imageUrl", "url": url}
    fake.inject(Replace({"run_id": "run_1", "status": "completed", "outputs": [output]}), on="start")
    code, _, err = await call("run", "caption", "--input", "prompt=x", fake=fake, cwd=tmp_path)
    assert code == 1
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fault", [Drop(acts=True), Truncate()], ids=lambda fault: type(fault).__name__)
async def test_a_download_that_is_cut_is_repeated(fake: FakeFlora, tmp_path: Path, fault: Fault) -> None:
    fake.inject(fault, on="media")
    code, out, err = await call(
        "run", "cctv-cam", "--input", "input_image=https://e.com/a.png", fake=fake, cwd=tmp_path
    )
    assert (code, err) == (0, "")
    (saved,) = tmp_path.iterdir()
    assert saved.read_bytes().startswith(PNG)
    assert f"Saved {saved.name} ({saved.stat().st_size:,} bytes)" in out


async def test_a_download_that_is_refused_is_reported_and_leaves_nothing(fake: FakeFlora, tmp_path: Path) -> None:
    fake.inject(Status(404), on="media")
    code, out, err = await call(
        "run", "cctv-cam", "--input", "input_image=https://e.com/a.png", fake=fake, cwd=tmp_path
    )
    assert (code, err) == (1, "")
    assert "Not saved: output_1 at http" in out
    assert "404" in out
    assert not list(tmp_path.iterdir())


async def test_a_file_of_an_earlier_call_is_kept(tmp_path: Path) -> None:
    async with FakeFlora(idempotency="replay") as fake:
        for content in ("Caption: x", "mine"):
            code, out, _ = await call(
                "run", "caption", "--input", "prompt=x", "--idempotency-key", "k1", fake=fake, cwd=tmp_path
            )
            assert code == 0
            (saved,) = tmp_path.iterdir()
            assert f"Saved {saved.name}" in out
            assert saved.read_text() == content
            saved.write_text("mine")


async def test_outputs_of_one_name_do_not_overwrite_each_other_and_one_lost_does_not_lose_the_rest(
    fake: FakeFlora, tmp_path: Path
) -> None:
    outputs = [
        {"output_id": "o", "type": "text", "url": "one"},
        {"output_id": "o", "type": "imageUrl", "url": "http://[::1"},
        {"output_id": "o", "type": "text", "url": "two \x1b[31m"},
    ]
    fake.inject(Replace({"run_id": "run_1", "status": "completed", "outputs": outputs}), on="start")
    code, out, err = await call("run", "caption", "--input", "prompt=x", fake=fake, cwd=tmp_path)
    assert (code, err) == (1, "")
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["one", "two \x1b[31m"]
    assert "Not saved: o at http://[::1" in out
    assert out.count("\nSaved run_1-o") == 2


async def test_text_from_the_server_can_neither_control_the_terminal_nor_forge_a_line(
    fake: FakeFlora, tmp_path: Path
) -> None:
    message = "\x1b[2Jgone\nSaved /etc/passwd\r\u202egnp.exe" + "x" * 5000
    fake.add_technique(FakeTechnique("rude", error_code="x\ny", error_message=message))
    _, out, err = await call("run", "rude", "--input", "prompt=x", fake=fake, cwd=tmp_path)
    assert err == ""
    assert not any(line.startswith(("Saved", "y")) for line in out.splitlines())
    assert all(char.isprintable() for char in out.replace("\n", ""))
    assert "The run failed with x y: \ufffd[2Jgone Saved /etc/passwd \ufffdgnp.exexxx" in out
    assert max(map(len, out.splitlines())) < 300


async def test_an_input_given_twice_is_refused(fake: FakeFlora, tmp_path: Path) -> None:
    code, _, err = await call("run", "caption", "--input", "prompt=a", "--input", "prompt=b", fake=fake, cwd=tmp_path)
    assert code == 2
    assert "twice" in err
    assert not fake.requests


async def test_the_version_is_the_packages(tmp_path: Path) -> None:
    assert await call("--version", cwd=tmp_path) == (0, f"{__version__}\n", "")
