"""The command line, as users run it: in a process of its own."""

import asyncio
import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest

from flora_async import __version__
from flora_async.cli import main
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
    code, out, err = await call("demo", "--save", str(tmp_path), cwd=tmp_path)
    assert code == 0
    statuses = re.findall(r"pending|running|completed", err)
    assert statuses[0] == "pending"
    assert statuses[-1] == "completed"
    assert "running" in statuses
    (saved,) = tmp_path.iterdir()
    assert saved.read_bytes().startswith(PNG)
    assert f"Saved {saved}" in out


async def test_a_run_is_started_followed_and_its_outputs_are_saved(fake: FakeFlora, tmp_path: Path) -> None:
    fake.add_technique(FakeTechnique("both", outputs={"image": "imageUrl", "words": "text"}))
    folder = tmp_path / "new" / "out"
    code, out, err = await call(
        "run", "both", "--input", "prompt=a=b", "--output-dir", str(folder), fake=fake, cwd=tmp_path
    )
    assert code == 0
    (run,) = fake.runs
    assert run.inputs == {"prompt": "a=b"}
    assert (folder / f"{run.run_id}-image.png").read_bytes().startswith(PNG)
    assert "a=b" in (folder / f"{run.run_id}-words.txt").read_text()
    assert len(list(folder.iterdir())) == 2
    assert "Charged 0.05 USD" in err
    assert "words: Both: a=b" in out
    media = [request for request in fake.requests if request.operation == "media"]
    assert all("Authorization" not in request.headers for request in media)
    assert fake.api_key not in out + err


async def test_the_same_idempotency_key_starts_one_run_over_two_calls(tmp_path: Path) -> None:
    async with FakeFlora(idempotency="replay") as fake:
        for _ in range(2):
            code, out, err = await call(
                "run", "caption", "-i", "prompt=x", "--idempotency-key", "k1", "--json", fake=fake, cwd=tmp_path
            )
            assert code == 0, err
            assert json.loads(out)["run_id"] == fake.runs[0].run_id
        assert len(fake.runs) == 1


async def test_a_failed_run_says_why_and_exits_1(fake: FakeFlora, tmp_path: Path) -> None:
    code, _, err = await call("run", "always-fails", "--input", "prompt=x", fake=fake, cwd=tmp_path)
    assert code == 1
    assert "safety_blocked" in err


async def test_an_unknown_submission_exits_4_and_shows_the_command_that_never_pays_twice(
    fake: FakeFlora, tmp_path: Path
) -> None:
    fake.inject(Replace({"status": "running"}), on="start", times=4)
    code, _, err = await call("run", "caption", "--input", "prompt=x", fake=fake, cwd=tmp_path)
    assert code == 4
    command = f"flora-async run caption -i prompt=x --save . --idempotency-key {fake.runs[0].idempotency_key}"
    assert command in err
    code, _, err = await call(*shlex.split(command)[1:], fake=fake, cwd=tmp_path)
    assert code == 0, err
    assert len(fake.runs) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "caption", "--input", "prompt=x"], "FLORA_API_KEY"),
        (["run"], "TECHNIQUE"),
        (["run", "caption", "--input", "prompt"], "id=value"),
        (["run", "caption", "--input", "=x"], "id=value"),
        ([], "ommand"),
        (["dance"], "dance"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code = main(arguments)
    out, err = capsys.readouterr()
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
        ["--input", "photo=@nowhere.png"],
    ],
)
def test_an_option_that_cannot_work_is_refused_before_anything_is_spent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with FakeFlora() as fake:
        monkeypatch.setenv("FLORA_API_KEY", fake.api_key)
        monkeypatch.setenv("FLORA_BASE_URL", fake.base_url)
        assert main(["run", "caption", "--input", "prompt=x", *arguments]) == 2
        assert capsys.readouterr().err.startswith("flora-async: ")
        assert not fake.requests


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["run", "caption", "-i", "promt=x"], 2),
        (["run", "captoin", "-i", "prompt=x"], 3),
        (["run", "caption\n", "-i", "prompt=x"], 2),
        (["generate", "x", "--type", "image", "--model", "flux-prp", "--project", "prj_local"], 2),
        (["run", "caption", "-i", "prompt=x", "--no-save"], 0),
    ],
    ids=["input", "technique", "line break", "model", "valid"],
)
def test_the_idempotency_key_is_printed_only_once_the_arguments_are_valid_and_before_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int
) -> None:
    with FakeFlora() as fake:
        monkeypatch.setenv("FLORA_API_KEY", fake.api_key)
        monkeypatch.setenv("FLORA_BASE_URL", fake.base_url)
        assert main(arguments) == status
        lines = capsys.readouterr().err.splitlines()
        keys = [f"Starting with idempotency key {run.idempotency_key}" for run in fake.runs]
    assert [line for line in lines if "idempotency key" in line] == keys
    assert lines[0].startswith("flora-async: ") or lines[: len(keys)] == keys
    assert len(keys) == (status == 0)


async def test_a_wait_that_times_out_exits_4_and_shows_the_command_that_continues(
    fake: FakeFlora, tmp_path: Path
) -> None:
    fake.add_technique(FakeTechnique("endless", running=float("inf")))
    code, _, err = await call("run", "endless", "--input", "prompt=x", "--timeout", "0.2", fake=fake, cwd=tmp_path)
    assert code == 4
    run_id = fake.runs[0].run_id
    command = f"flora-async wait --save . -- {run_id}"
    assert f"run {run_id} is still running on FLORA and will be charged; to continue: {command}" in err
    fake.finish(run_id)
    code, out, err = await call(*shlex.split(command)[1:], fake=fake, cwd=tmp_path)
    assert code == 0, err
    assert f"Saved {run_id}" in out


async def read_until(process: asyncio.subprocess.Process, words: str) -> str:
    """What a command prints to stderr up to the line with these words, which it must print."""
    assert process.stderr is not None
    shown = ""
    while words not in shown:
        line = await process.stderr.readline()
        assert line, f"{words!r} was not printed, but {shown!r}"
        shown += line.decode()
    return shown


async def interrupt_twice(process: asyncio.subprocess.Process) -> str:
    """The last line of a command that is left by a second Ctrl-C."""
    process.send_signal(signal.SIGINT)
    await read_until(process, "Press Ctrl-C again")
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    return err.decode().splitlines()[-1]


async def test_one_interrupt_does_not_end_the_wait_for_a_paid_run(fake: FakeFlora, tmp_path: Path) -> None:
    fake.add_technique(FakeTechnique("endless", running=float("inf")))
    process = await start("run", "endless", "--input", "prompt=x", fake=fake, cwd=tmp_path)
    await read_until(process, "pending")
    process.send_signal(signal.SIGINT)
    await read_until(process, "Press Ctrl-C again")
    fake.finish(fake.runs[0].run_id)
    out, err = await process.communicate()
    assert process.returncode == 0, err
    assert b"Saved" in out


async def test_a_second_interrupt_leaves_a_wait_at_once_with_the_command_that_continues(
    fake: FakeFlora, tmp_path: Path
) -> None:
    fake.add_technique(FakeTechnique("endless", running=float("inf")))
    process = await start("run", "endless", "--input", "prompt=x", "--no-save", fake=fake, cwd=tmp_path)
    await read_until(process, "pending")
    run_id = fake.runs[0].run_id
    assert await interrupt_twice(process) == (
        f"flora-async: interrupted: run {run_id} is still running on FLORA and will be charged; "
        f"to continue: flora-async wait --no-save -- {run_id}"
    )


async def test_interrupting_a_start_twice_shows_the_command_that_never_pays_twice(
    fake: FakeFlora, tmp_path: Path
) -> None:
    fake.inject(Slow(30.0), on="start")
    process = await start("run", "caption", "-i", "prompt=a b", "--idempotency-key", "k1", fake=fake, cwd=tmp_path)
    while not any(request.operation == "start" for request in fake.requests):
        await asyncio.sleep(0.001)
    command = "flora-async run caption -i 'prompt=a b' --save . --idempotency-key k1"
    assert await interrupt_twice(process) == (
        f"flora-async: interrupted: a run may have been started; to continue, and never to pay twice: {command}"
    )


async def test_one_interrupt_leaves_the_demo_and_does_not_speak_of_charges_to_come(tmp_path: Path) -> None:
    process = await start("demo", "--save", str(tmp_path), cwd=tmp_path)
    await read_until(process, "pending")
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    last = err.decode().splitlines()[-1]
    assert last == "flora-async: interrupted: the local FLORA has ended too, and nothing was charged"
    assert not list(tmp_path.iterdir())


async def test_interrupting_a_download_twice_shows_the_command_that_saves(fake: FakeFlora, tmp_path: Path) -> None:
    fake.inject(Slow(30.0), on="media")
    process = await start("run", "cctv-cam", "--input", "input_image=https://e.com/a.png", fake=fake, cwd=tmp_path)
    await read_until(process, "Charged")
    run_id = fake.runs[0].run_id
    assert await interrupt_twice(process) == (
        f"flora-async: interrupted: run {run_id} has completed; to save its outputs: "
        f"flora-async wait --save . -- {run_id}"
    )
    assert not list(tmp_path.iterdir())


async def test_interrupting_a_request_that_may_cost_money_says_where_to_look(fake: FakeFlora, tmp_path: Path) -> None:
    fake.inject(Slow(30.0), on="start")
    body = 'inputs=[{"id": "prompt", "type": "text", "value": "x"}]'
    process = await start("api", "POST", "/techniques/caption/runs", "-f", body, fake=fake, cwd=tmp_path)
    while not fake.requests:
        await asyncio.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert b"may have been carried out, and charged; before you repeat it, see: flora-async runs list" in err


async def test_a_closed_pipe_does_not_end_the_wait_for_a_paid_run(fake: FakeFlora, tmp_path: Path) -> None:
    fake.add_technique(FakeTechnique("slow", running=float("inf")))
    process = await start("run", "slow", "--input", "prompt=x", fake=fake, cwd=tmp_path)
    await read_until(process, "pending")
    for stream in (process.stdout, process.stderr):
        stream._transport.close()  # type: ignore[union-attr]  # as `| head -1` does, which has seen enough
    fake.finish(fake.runs[0].run_id)
    assert await process.wait() == 0
    assert len(list(tmp_path.iterdir())) == 1


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
    assert code == 0, err
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
    assert code == 0, err
    (saved,) = tmp_path.iterdir()
    assert saved.read_bytes().startswith(PNG)
    assert f"Saved {saved.name} ({saved.stat().st_size:,} bytes)" in out


async def test_a_download_that_is_refused_is_reported_and_leaves_nothing(fake: FakeFlora, tmp_path: Path) -> None:
    fake.inject(Status(404), on="media")
    code, out, err = await call(
        "run", "cctv-cam", "--input", "input_image=https://e.com/a.png", fake=fake, cwd=tmp_path
    )
    assert (code, out.count("Saved")) == (1, 0)
    assert "Not saved: output_1 at http" in err
    assert "404" in err
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
    code, _, err = await call("run", "caption", "--input", "prompt=x", fake=fake, cwd=tmp_path)
    assert code == 1
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["one", "two \x1b[31m"]
    assert "Not saved: o at http://[::1" in err
    assert err.count("\nSaved run_1-o") == 2


async def test_text_from_the_server_can_neither_control_the_terminal_nor_forge_a_line(
    fake: FakeFlora, tmp_path: Path
) -> None:
    message = "\x1b[2Jgone\nSaved /etc/passwd\r\u202egnp.exe" + "x" * 5000
    fake.add_technique(FakeTechnique("rude", error_code="x\ny", error_message=message))
    _, out, err = await call("run", "rude", "--input", "prompt=x", fake=fake, cwd=tmp_path)
    assert out == ""
    assert not any(line.startswith(("Saved", "y")) for line in err.splitlines())
    assert all(char.isprintable() for char in err.replace("\n", ""))
    assert "The run failed with x y: \ufffd[2Jgone Saved /etc/passwd \ufffdgnp.exexxx" in err
    assert max(map(len, err.splitlines())) < 300


async def test_an_input_given_twice_is_refused(fake: FakeFlora, tmp_path: Path) -> None:
    code, _, err = await call("run", "caption", "--input", "prompt=a", "--input", "prompt=b", fake=fake, cwd=tmp_path)
    assert code == 2
    assert "twice" in err
    assert not fake.requests


async def test_the_version_is_the_packages(tmp_path: Path) -> None:
    assert await call("--version", cwd=tmp_path) == (0, f"{__version__}\n", "")


def rows_of(folder: Path, count: int) -> str:
    path = folder / "rows.csv"
    path.write_text("\n".join(["prompt", *(f"row {number}" for number in range(count))]) + "\n")
    return str(path)


async def until_watched(fake: FakeFlora, count: int) -> None:
    """Return once a client has polled so many runs, and so knows that they are started."""
    polled: set[str] = set()
    while len(polled) < count:
        polled = {request.path for request in fake.requests if request.operation == "poll"}
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("number", [2, 5])
async def test_one_interrupt_of_a_batch_starts_nothing_more_and_waits_for_what_is_paid(
    fake: FakeFlora, tmp_path: Path, number: int
) -> None:
    fake.add_technique(FakeTechnique("endless", running=float("inf")))
    rows = rows_of(tmp_path, number)
    command = ("batch", "endless", rows, "--concurrency", "2", "--journal", "b.sqlite")
    process = await start(*command, fake=fake, cwd=tmp_path)
    await until_watched(fake, 2)
    process.send_signal(signal.SIGINT)
    shown = await read_until(process, "Press Ctrl-C again")
    assert "2 under way" in shown
    for run in fake.runs:
        fake.finish(run.run_id)
    out, err = await process.communicate()
    assert process.returncode == 130
    assert out.count(b"completed") == 2
    assert len(fake.runs) == 2
    is_done = number == 2
    assert (f"to continue: {shlex.join(['flora-async', *command])}" in err.decode()) is not is_done


async def test_a_second_interrupt_of_a_batch_leaves_at_once_and_says_how_to_wait_for_its_runs(
    fake: FakeFlora, tmp_path: Path
) -> None:
    fake.add_technique(FakeTechnique("endless", running=float("inf")))
    process = await start("batch", "endless", rows_of(tmp_path, 1), fake=fake, cwd=tmp_path)
    await until_watched(fake, 1)
    last = await interrupt_twice(process)
    assert "1 run is still running on FLORA and will be charged" in last
    assert f"for run in {fake.runs[0].run_id}; do flora-async wait -- $run; done" in last


async def test_one_interrupt_leaves_a_batch_on_a_local_flora(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 40)
    process = await start("batch", "caption", rows, "--concurrency", "1", "--fake", cwd=tmp_path)
    assert process.stdout is not None
    await process.stdout.readline()  # the first row has ended
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert err.decode().endswith("interrupted: the local FLORA has ended too, and nothing was charged\n")


async def test_an_interrupted_batch_without_runs_under_way_says_where_to_look_for_what_may_have_started(
    fake: FakeFlora, tmp_path: Path
) -> None:
    fake.inject(Slow(30.0), on="start")
    process = await start("batch", "caption", rows_of(tmp_path, 1), fake=fake, cwd=tmp_path)
    while not any(request.operation == "start" for request in fake.requests):
        await asyncio.sleep(0.001)
    last = await interrupt_twice(process)
    assert last == ("flora-async: interrupted: starts that were under way may have been charged: flora-async runs list")
