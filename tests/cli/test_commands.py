"""Every command, called in this process on a local FLORA that runs in a thread of its own."""

import http.client
import io
import json
import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from math import inf, nan
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer

from flora_async.cli import _app, main
from flora_async.testing import FakeFlora, FakeTechnique, Replace, Status
from flora_async.webhooks import sign

HOSTILE = "\x1b[2J\nforged\u202e\x9b31m"
PHOTO = bytes.fromhex("89504e470d0a1a0a0000000d49484452")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeFlora]:
    """A FLORA that the environment names, with the current directory in a temporary one."""
    with FakeFlora(run_seconds=0.01) as fake:
        monkeypatch.setenv("FLORA_API_KEY", fake.api_key)
        monkeypatch.setenv("FLORA_BASE_URL", fake.base_url)
        monkeypatch.chdir(tmp_path)
        yield fake


def printed(capsys: Capture, *arguments: str, status: int = 0) -> str:
    """What a command prints to stdout; it must exit with that status."""
    code = main(arguments)
    out, err = capsys.readouterr()
    assert code == status, err
    assert (out + err).replace("\n", "").isprintable()
    return out


def complaint(capsys: Capture, *arguments: str, status: int) -> str:
    """What a command prints to stderr; it must print nothing to stdout and exit with that status."""
    code = main(arguments)
    out, err = capsys.readouterr()
    assert (code, out) == (status, ""), err
    assert "Traceback" not in err
    return err


@pytest.mark.usefixtures("local")
def test_techniques_models_and_workspaces_are_listed_and_shown(capsys: Capture) -> None:
    assert re.search(r"tech_cctv_cam +CCTV cam +0.05 +input_image\n", printed(capsys, "techniques", "list", "cctv"))
    shown = printed(capsys, "techniques", "show", "cctv-cam")
    assert re.search(r"input_image +input_image +imageUrl", shown)
    technique = json.loads(printed(capsys, "techniques", "show", "cctv-cam", "--format", "json"))
    assert technique["outputs"][0]["type"] == "imageUrl"
    lines = printed(capsys, "models", "list", "--type", "image", "--format", "jsonl").splitlines()
    assert "flux-pro" in {json.loads(line)["model_id"] for line in lines}
    assert "aspect_ratio" in printed(capsys, "models", "show", "flux-pro")
    assert "ws_local" in printed(capsys, "workspaces", "list")


def test_runs_are_started_listed_shown_and_waited_for(local: FakeFlora, capsys: Capture) -> None:
    run_id = printed(capsys, "run", "caption", "-i", "prompt=a red bicycle", "--no-wait").strip()
    assert [run.run_id for run in local.runs] == [run_id]
    finished = json.loads(printed(capsys, "wait", run_id, "--json", "--save", "out"))
    assert finished["outputs"][0]["url"] == "Caption: a red bicycle"
    (file,) = finished["files"]
    assert Path(file).read_text() == "Caption: a red bicycle"
    assert re.search(rf"{run_id} +completed +Caption", printed(capsys, "runs", "list"))
    assert "Caption: a red bicycle" in printed(capsys, "runs", "show", run_id)
    assert "Caption: a red bicycle" in printed(capsys, "wait", run_id, "--no-save")
    assert not [path for path in Path().iterdir() if path.name != "out"]


def test_a_run_that_is_not_waited_for_is_to_be_saved_where_it_was_said(local: FakeFlora, capsys: Capture) -> None:
    assert main(("run", "caption", "-i", "prompt=x", "--no-wait", "--save", "out")) == 0
    assert f"to continue: flora-async wait --save out -- {local.runs[0].run_id}" in capsys.readouterr().err


def test_a_generation_takes_parameters_and_prints_where_its_output_is(local: FakeFlora, capsys: Capture) -> None:
    arguments = (
        "generate",
        "a red bicycle",
        "--model",
        "flux-pro",
        "-p",
        "aspect_ratio=16:9",
        "--project",
        "prj_local",
    )
    assert re.search(r"output_1: http\S+\.png", printed(capsys, *arguments, "--no-save"))
    assert local.runs[0].params == {"aspect_ratio": "16:9"}
    err = complaint(capsys, *arguments, "-p", "aspekt=1", "--no-save", status=2)
    assert "aspekt" in err
    assert "--project" in complaint(capsys, "generate", "a red bicycle", status=2)
    assert len(local.runs) == 1


def test_a_generation_is_started_once_for_each_key(local: FakeFlora, capsys: Capture) -> None:
    arguments = (
        "generate",
        "a red bicycle",
        "--project",
        "prj_local",
        "--idempotency-key",
        "k1",
        "--no-save",
        "--json",
    )
    first, second = (json.loads(printed(capsys, *arguments))["run_id"] for _ in range(2))
    assert first == second
    assert len(local.runs) == 1


def test_files_are_inputs_and_are_uploaded_and_downloaded(local: FakeFlora, capsys: Capture) -> None:
    Path("photo.png").write_bytes(PHOTO)
    out = printed(capsys, "run", "cctv-cam", "-i", "input_image=@photo.png")
    assert out.startswith("Saved run_")
    assert local.runs[0].inputs["input_image"].startswith("http")
    url = printed(capsys, "upload", "photo.png").strip()
    assert "copy.png" in printed(capsys, "download", url, "copy.png")
    assert Path("copy.png").read_bytes() == PHOTO
    assert "exists" in complaint(capsys, "download", url, "copy.png", status=1)
    assert "nowhere.png" in complaint(capsys, "upload", "nowhere.png", status=2)


def test_text_that_begins_with_an_at_sign_is_written_with_two(local: FakeFlora, capsys: Capture) -> None:
    printed(capsys, "run", "caption", "-i", "prompt=@@me", "--no-save")
    assert local.runs[0].inputs == {"prompt": "@me"}


@pytest.mark.usefixtures("local")
def test_a_request_reaches_any_operation(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = json.loads(printed(capsys, "api", "get", "/technique-runs", "-q", "limit=1"))
    assert answer["techniqueRuns"] == []
    body = {"mode": "async", "inputs": [{"id": "prompt", "type": "text", "value": "x"}]}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(body)))
    answer = json.loads(printed(capsys, "api", "POST", "/techniques/caption/runs", "--input", "-"))
    assert answer["runId"].startswith("run_")
    Path("deep.json").write_text("[" * 100_000)
    for file in (__file__, "deep.json"):
        assert "JSON" in complaint(capsys, "api", "POST", "/x", "--input", file, status=2)


def test_what_flora_refuses_exits_3_and_a_wrong_key_or_input_exits_2(
    local: FakeFlora, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "caption" in complaint(capsys, "run", "captoin", "-i", "prompt=x", status=3)
    assert "did you mean 'prompt'" in complaint(capsys, "run", "caption", "-i", "promt=x", status=2)
    local.inject(Status(402), on="start")
    assert "may have been started" not in complaint(capsys, "run", "caption", "-i", "prompt=x", status=3)
    assert "404" in complaint(capsys, "runs", "show", "run_none", status=3)
    assert not local.runs
    monkeypatch.setenv("FLORA_API_KEY", "sk_wrong")
    for command in (("run", "caption", "-i", "prompt=x"), ("techniques", "list"), ("runs", "list")):
        assert "FLORA_API_KEY" in complaint(capsys, *command, status=2)


def test_nothing_that_flora_says_can_forge_a_line_or_control_the_terminal(local: FakeFlora, capsys: Capture) -> None:
    local.add_technique(FakeTechnique("rude", name=HOSTILE, error_code=HOSTILE, error_message=HOSTILE))
    local.add_technique(FakeTechnique("echo"))
    Path("rows.jsonl").write_text(json.dumps({"id": HOSTILE, "prompt": HOSTILE}))
    for command in (
        ("techniques", "list"),
        ("techniques", "list", "--format", "json"),
        ("techniques", "show", "rude"),
        ("run", "echo", "-i", f"prompt={HOSTILE}"),
        ("run", "echo", "-i", f"prompt={HOSTILE}", "--json"),
        ("batch", "echo", "rows.jsonl", "--key", "id"),
        ("batch", "echo", "rows.jsonl", "--key", "id", "--format", "json"),
        ("runs", "list"),
        ("runs", "list", "--format", "jsonl"),
        ("api", "GET", "/techniques"),
    ):
        out = printed(capsys, *command)
        assert not any(line.startswith("forged") for line in out.splitlines()), command
    printed(capsys, "run", "rude", "-i", "prompt=x", status=1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", "sku,headline,shelf\n1,a red bicycle,B\n2,a blue boat,C\n"),
        ("rows.csv", "\ufeffsku;headline;shelf\r\n1;a red bicycle;B\r\n2;a blue boat;0,5\r\n"),  # as from Excel
        ("rows.tsv", "sku\theadline\tshelf\n1\ta red bicycle\tB\n2\ta blue boat\tC\n"),
        ("rows.jsonl", '{"sku": 1, "headline": "a red bicycle"}\n\n{"sku": 2, "headline": "a blue boat"}\n'),
        ("rows.jsonl", '\ufeff{"sku": "1", "headline": "a red bicycle"}\r\n{"sku": "2", "headline": "a blue boat"}'),
        ("rows.parquet", ""),
    ],
)
def test_the_rows_of_a_file_are_run_and_resumed_from_the_journal(
    local: FakeFlora, capsys: Capture, name: str, content: str
) -> None:
    if name == "rows.parquet":
        table = {"sku": [1, 2], "headline": ["a red bicycle", "a blue boat"], "shelf": ["B", None]}
        pl.DataFrame(table).write_parquet(name)
    else:
        Path(name).write_text(content)
    command = ("batch", "caption", name, "--map", "headline=prompt", "--key", "sku", "--journal", "batch.sqlite")
    for _ in range(2):
        out = printed(capsys, *command, "--save", "out", "--format", "json")
        results = {result["key"]: result for result in json.loads(out)}
        assert {key: result["output_texts"] for key, result in results.items()} == {
            "1": ["Caption: a red bicycle"],
            "2": ["Caption: a blue boat"],
        }
        assert all(Path(file).exists() for result in results.values() for file in result["files"])
    assert len(local.runs) == 2
    assert re.search(r"\n1 +finished +completed +run_\w+ +0.01 ", printed(capsys, "journal", "batch.sqlite"))


def test_the_rows_of_a_file_are_prompts_and_parameters_of_a_model(local: FakeFlora, capsys: Capture) -> None:
    Path("rows.csv").write_text("shot,prompt,aspect_ratio\n1,a red bicycle,16:9\n2,a blue boat,\n")
    command = ("batch", "rows.csv", "--model", "flux-pro", "--key", "shot", "-p", "aspect_ratio=1:1")
    out = printed(capsys, *command, "--project", "prj_local", "--format", "jsonl")
    assert {json.loads(line)["key"] for line in out.splitlines()} == {"1", "2"}
    assert {run.params["aspect_ratio"] for run in local.runs} == {"16:9", "1:1"}
    assert "--project" in complaint(capsys, *command, status=2)
    assert "TECHNIQUE" in complaint(capsys, "batch", "caption", *command[1:], status=2)
    assert "'prompt'" in complaint(
        capsys, "batch", "rows.csv", "--type", "image", "--project", "prj_local", "--map", "shot=seed", status=2
    )
    assert len(local.runs) == 2


def test_a_dry_run_says_what_would_be_started_and_what_is_wrong_and_starts_nothing(
    local: FakeFlora, capsys: Capture
) -> None:
    Path("rows.csv").write_text("id,prompt\ngood,a red bicycle\nempty,\nalso,a blue boat\n")
    command = ("batch", "caption", "rows.csv", "--key", "id", "--dry-run")
    problem, summary = printed(capsys, *command, status=1).splitlines()
    assert "(empty)" in problem
    assert "'prompt'" in problem
    assert "2 rows would be started" in summary
    assert "0.02 USD" in summary
    rows = json.loads(printed(capsys, *command, "--format", "json", status=1))
    assert [(row["key"], row["price"], row["error"] is None) for row in rows] == [
        ("good", 0.01, True),
        ("empty", None, False),
        ("also", 0.01, True),
    ]
    Path("rows.csv").write_text("id,prompt\ngood,a red bicycle\n")
    assert "1 row would be started" in printed(capsys, *command)
    printed(capsys, *command, "--max-cost", "0.001", status=1)
    assert not local.runs
    assert not Path("report.html").exists()


def test_a_row_that_fails_makes_the_batch_exit_1_and_does_not_affect_the_others(
    local: FakeFlora, capsys: Capture
) -> None:
    Path("photo.png").write_bytes(PHOTO)
    Path("rows.csv").write_text("id,input_image\ngood,@photo.png\nlost,@nowhere.png\nempty,\n")
    out = printed(capsys, "batch", "cctv-cam", "rows.csv", "--key", "id", "--report", "report.html", status=1)
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "completed" in lines["good"]
    assert "nowhere.png" in lines["lost"]
    assert "'input_image'" in lines["empty"]
    assert len(local.runs) == 1
    report = Path("report.html").read_text("utf-8")
    assert all(key in report for key in lines)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rows.csv", None, "rows.csv"),
        ("rows.csv", "prompt\nx,y\n", "cells"),
        ("rows.csv", "text\nx\n", "'text'"),
        ("rows.csv", "prompt,prompt\nx,y\n", "two columns 'prompt'"),
        ("rows.csv", "\udcff\udcfe", "save it as UTF-8"),
        ("rows.jsonl", '{"prompt": "x", "prompt": "y"}', "'prompt' twice"),
        pytest.param("rows.jsonl", "[" * 100_000, "line 1", id="deep"),
        ("rows.jsonl", "{]", "line 1"),
        ("rows.jsonl", "[]", "line 1"),
        ("rows.xls", "x", ".csv"),
    ],
)
def test_a_file_that_does_not_have_the_rows_is_refused_before_anything_is_sent(
    local: FakeFlora, capsys: Capture, name: str, content: str | None, words: str
) -> None:
    if content is not None:
        Path(name).write_text(content, "utf-8", "surrogateescape")
    assert words in complaint(capsys, "batch", "caption", name, "--map", "prompt=prompt", status=2)
    assert not local.requests


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_sent(local: FakeFlora, capsys: Capture) -> None:
    Path("rows.csv").write_text("prompt\nx\n")
    for place in (".", "/proc/report.html", "./rows.csv", "s3://bucket/report.html"):
        assert "--report" in complaint(capsys, "batch", "caption", "rows.csv", "--report", place, status=2)
    assert not local.requests


def test_an_input_that_is_given_two_columns_is_refused(local: FakeFlora, capsys: Capture) -> None:
    Path("rows.csv").write_text("long,short\nx,y\n")
    columns = ("--map", "long=prompt", "--map", "short=prompt")
    assert "'long' and 'short'" in complaint(capsys, "batch", "caption", "rows.csv", *columns, status=2)
    assert not local.requests


def test_the_values_of_a_parquet_file_are_inputs_by_their_type(local: FakeFlora, capsys: Capture) -> None:
    table = {"input_image": [PHOTO, None], "prompt": [None, nan], "day": [None, date(2026, 1, 2)]}
    pl.DataFrame(table).write_parquet("rows.parquet")
    image = ("batch", "cctv-cam", "rows.parquet", "--map", "input_image=input_image")
    printed(capsys, *image, status=1)  # the second row is without
    printed(capsys, "batch", "caption", "rows.parquet", "--map", "prompt=prompt", status=1)
    printed(capsys, "batch", "caption", "rows.parquet", "--map", "day=prompt", status=1)
    assert [asset.content for asset in local.assets] == [PHOTO]
    assert [run.inputs.get("prompt") for run in local.runs] == [None, "2026-01-02"]


def test_a_batch_whose_output_is_closed_is_run_to_its_end(local: FakeFlora, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("rows.csv").write_text("prompt\n" + "x\n" * 3)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)  # as Python has it after >&-
        patch.setattr(sys, "stderr", None)
        status = main(("batch", "caption", "rows.csv", "--save", "out"))
        for stream in (sys.stdout, sys.stderr):
            stream.close()
    assert status == 0
    assert len(list(Path("out").glob("*.txt"))) == len(local.runs) == 3


def test_a_batch_that_flora_refuses_as_a_whole_exits_as_a_single_run_does(
    local: FakeFlora, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("rows.csv").write_text("prompt\nx\n")
    printed(capsys, "batch", "captoin", "rows.csv", "--report", "report.html", status=3)
    assert Path("report.html").exists()
    monkeypatch.setenv("FLORA_API_KEY", "sk_wrong")
    printed(capsys, "batch", "caption", "rows.csv", status=2)
    assert not local.runs


def test_a_webhook_is_verified_with_the_secret_of_the_environment(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    body = b'{"id": "whd_1", "type": "run.completed", "data": {"run_id": "run_1", "status": "completed"}}'
    file = tmp_path / "body"
    file.write_bytes(body)
    verify = ("webhook", "verify", str(file), "--signature", sign(body, "whsec_test"))
    assert "FLORA_WEBHOOK_SECRET" in complaint(capsys, *verify, status=2)
    monkeypatch.setenv("FLORA_WEBHOOK_SECRET", "whsec_test")
    assert json.loads(printed(capsys, *verify))["data"]["run_id"] == "run_1"
    file.write_bytes(body + b" ")
    assert "mismatch" in complaint(capsys, *verify, status=1)


@contextmanager
def listening(*options: str) -> Iterator["tuple[subprocess.Popen[str], str, int]"]:
    """`webhook listen` in a process of its own, with its host and port."""
    environment = {**os.environ, "FLORA_WEBHOOK_SECRET": "whsec_local"}
    environment.pop("PYTHONASYNCIODEBUG", None)  # on a busy machine it tells of slow callbacks, on stderr
    command = [sys.executable, "-m", "flora_async", "webhook", "listen", "--port", "0", *options]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        found = re.search(r"http://(\S+):(\d+)/", process.stderr.readline())
        assert found is not None
        yield process, found[1], int(found[2])


def deliver(host: str, port: int) -> None:
    body = b'{"id": "whd_1", "type": "run.completed", "data": {"run_id": "run_1", "status": "completed"}}'
    connection = http.client.HTTPConnection(host, port, timeout=30)
    connection.request("POST", "/", body, {"Flora-Signature": sign(body, "whsec_local")})
    assert connection.getresponse().status == 204
    connection.close()


def test_received_webhooks_are_printed_and_no_slow_client_is_waited_for() -> None:
    with listening("--count", "1") as (process, host, port):
        slow = socket.create_connection((host, port))
        slow.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        deliver(host, port)
        assert process.stdout is not None
        event = json.loads(process.stdout.readline())
        with slow:
            assert slow.recv(100) == b""  # and not that it was too slow
    assert (event["id"], process.returncode) == ("whd_1", 0)


def test_webhooks_that_nothing_reads_are_not_received_any_longer() -> None:
    with listening() as (process, host, port):
        assert process.stdout is not None
        process.stdout.close()
        deliver(host, port)
        try:
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()


def test_without_the_extra_demo_run_wait_and_journal_work_and_the_rest_names_it(
    local: FakeFlora, tmp_path: Path
) -> None:
    def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
        code = (
            "import sys; sys.modules['typer'] = sys.modules['rich'] = None\n"
            "from flora_async.cli import main; sys.exit(main())"
        )
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)  # noqa: S603 - our own

    done = call("run", "caption", "--input", "prompt=x", "--output-dir", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Saved out/run_")
    done = call("wait", "--no-save", "--", local.runs[0].run_id)
    assert (done.returncode, done.stdout) == (0, "output_1: Caption: x\n"), done.stderr
    (tmp_path / "photo.png").write_bytes(PHOTO)
    done = call("run", "cctv-cam", "--input", "input_image=@photo.png", "--no-wait")
    assert (done.returncode, done.stdout) == (0, f"{local.runs[1].run_id}\n"), done.stderr
    assert len(local.runs) == 2
    done = call("batch", "caption", "rows.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'flora-async[cli]'" in done.stderr
    done = call("journal", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nowhere" in done.stderr
    assert call("run").returncode == 2


@pytest.mark.parametrize(("variables", "is_live"), [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False)])
def test_progress_is_drawn_in_place_in_a_terminal_that_can(
    local: FakeFlora, variables: dict[str, str], *, is_live: bool
) -> None:
    shown = in_terminal("run", "caption", "-i", "prompt=x", env=variables)
    assert b"Saved run_" in shown
    assert (b"\x1b[" in shown) == is_live
    assert len(local.runs) == 1


def test_no_color_means_no_color(local: FakeFlora) -> None:
    local.add_technique(FakeTechnique("slow", running=0.5))
    colors = rb"\x1b\[[\d;]*3[1-7]m"
    assert re.search(colors, in_terminal("run", "slow", "-i", "prompt=x", env={"TERM": "xterm-256color"}))
    assert not re.search(
        colors, in_terminal("run", "slow", "-i", "prompt=x", env={"TERM": "xterm-256color", "NO_COLOR": "1"})
    )


@pytest.mark.parametrize(
    ("variables", "beginning"),
    [
        ({"TERM": "xterm-kitty"}, b"\x1b_Ga=T,f=100"),
        ({"TERM": "xterm", "TERM_PROGRAM": "iTerm.app"}, b"\x1b]1337;File=inline=1"),
        ({"TERM": "xterm"}, None),
    ],
)
def test_the_picture_of_the_demo_is_shown_where_the_terminal_can(
    variables: dict[str, str], beginning: bytes | None
) -> None:
    shown = in_terminal("demo", env=variables)
    found = re.search(rb"Saved (\S+flora-demo-\S+\.png)", shown.replace(b"\r\n", b""))
    assert found is not None
    assert b"\x1b_G" not in shown or beginning is not None
    assert beginning is None or beginning in shown
    saved = Path(found[1].decode())
    saved.unlink()
    saved.parent.rmdir()


def earlier_runs(seconds: float) -> Replace:
    """A history of completed runs that took about so long."""
    ended = datetime.now(UTC) - timedelta(hours=1)
    runs = [
        {
            "run_id": f"run_{number}",
            "status": "completed",
            "created_at": (ended - timedelta(seconds=seconds + number / 100)).isoformat(),
            "completed_at": ended.isoformat(),
            "technique": {"technique_id": "tech_slow", "name": "Slow"},
        }
        for number in range(6)
    ]
    return Replace({"techniqueRuns": runs})


def test_the_time_left_of_a_run_is_shown_by_what_earlier_ones_took(local: FakeFlora) -> None:
    local.add_technique(FakeTechnique("slow", running=inf))
    run_id = printed_in_pipe("run", "slow", "-i", "prompt=x", "--no-wait").strip()
    waiting = ("wait", f"{local.base_url}/techniques/slow/runs/{run_id}")

    def finish_once_told(left: bytes) -> Callable[[bytes], None]:
        def watch(shown: bytes) -> None:
            if left in shown:
                with suppress(ValueError):  # it has ended
                    local.finish(local.runs[-1].run_id)

        return watch

    for seconds, left, command in (
        (150, b", about 2.5 min left", waiting),
        (20, b", about 20 s left", ("run", "slow", "-i", "prompt=x")),
        (5401, b", about 1.5 h left", ("run", "slow", "-i", "prompt=x")),
    ):
        local.inject(earlier_runs(seconds), on="history")
        in_terminal(*command, "--no-save", watch=finish_once_told(left), env={"TERM": "xterm"})
    assert len(local.runs) == 3


def test_no_time_is_promised_where_nothing_is_known_or_the_output_is_a_pipe(local: FakeFlora) -> None:
    local.add_technique(FakeTechnique("slow", running=0.5))
    local.inject(Status(500), on="history", times=None)
    assert b"left" not in in_terminal("run", "slow", "-i", "prompt=x", "--no-save", env={"TERM": "xterm"})
    asked = [request for request in local.requests if request.operation == "history"]
    printed_in_pipe("run", "slow", "-i", "prompt=x", "--no-save")
    assert [request for request in local.requests if request.operation == "history"] == asked


def test_a_batch_shows_in_a_terminal_how_far_it_is_and_in_a_pipe_only_its_results(local: FakeFlora) -> None:
    local.add_technique(FakeTechnique("slow", running=0.3, outputs={"words": "text"}))
    prompt = "a red bicycle before a long white wall in the light of an early morning in May"
    Path("rows.csv").write_text("prompt\n" + f"{prompt}\n" * 6)
    command = ("batch", "slow", "rows.csv", "--concurrency", "2")
    shown = in_terminal(*command, env={"TERM": "xterm", "COLUMNS": "110"})
    # The number of rows, what is under way, what failed, the cost, the pace and the time that is left.
    assert re.search(rb"[2-5]/6 rows .*[0-2] running, 0 failed, 0\.\d\d USD, [\d.]+/min, about \d+ s left", shown)
    assert len(set(re.findall(rb"\d completed run_\w+ 0.05 USD Slow: " + prompt.encode(), shown))) == 6
    piped = printed_in_pipe(*command)
    assert len(piped.splitlines()) == 6
    assert "\x1b" not in piped


def test_without_rich_a_terminal_gets_lines(local: FakeFlora) -> None:
    shown = in_terminal("run", "caption", "-i", "prompt=x", without="rich", env={"TERM": "xterm"})
    assert b"pending" in shown
    assert b"\x1b[" not in shown
    assert len(local.runs) == 1


def printed_in_pipe(*arguments: str) -> str:
    """What a command prints to stdout, which is a pipe."""
    command = [sys.executable, "-m", "flora_async", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own


def in_terminal(
    *arguments: str, without: str = "", watch: Callable[[bytes], None] | None = None, env: dict[str, str]
) -> bytes:
    """What a command prints to a terminal.

    Args:
        *arguments: The command.
        without: A library that is not installed.
        watch: Is called with what was printed so far.
        env: What the environment says of the terminal.
    """
    # The last one, on a busy machine, tells of slow callbacks on stderr.
    ignored = {"NO_COLOR", "TERM", "TERM_PROGRAM", "KITTY_WINDOW_ID", "COLORTERM", "FORCE_COLOR", "PYTHONASYNCIODEBUG"}
    environment = {name: value for name, value in os.environ.items() if name not in ignored} | env
    ours, theirs = pty.openpty()
    code = f"import sys; sys.modules[{without!r}] = None; from flora_async.cli import main; sys.exit(main())"
    command = [sys.executable, *(("-c", code) if without else ("-m", "flora_async")), *arguments]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, env={"COLUMNS": "200", **environment}, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not chunk:
                break
            shown += chunk
            if watch is not None:
                watch(shown)
    os.close(ours)
    assert process.returncode == 0, shown
    return shown


def test_a_terminal_that_goes_away_does_not_cost_the_outputs_of_a_run(local: FakeFlora, tmp_path: Path) -> None:
    local.add_technique(FakeTechnique("slow", running=inf))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "flora_async", "run", "slow", "-i", "prompt=x", "--save", "out"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path) as process:  # noqa: S603 - our own
        os.close(theirs)
        shown = b""
        while b"running" not in shown:
            shown += os.read(ours, 65536)
        os.close(ours)
        local.finish(local.runs[0].run_id)
    assert [path.suffix for path in (tmp_path / "out").iterdir()] == [".png"]
    assert process.returncode == 1  # as the results could not be printed


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_full_disk_behind_stdout_does_not_end_a_batch_and_is_an_error(local: FakeFlora, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("prompt\na red bicycle\na blue boat\n")
    command = [sys.executable, "-m", "flora_async", "batch", "caption", "rows.csv", "--save", "out"]
    with open("/dev/full", "w") as full:  # noqa: PTH123 - not a path, but a device
        done = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)  # noqa: S603 - our own
    assert done.returncode == 1
    assert "could not be printed" in done.stderr
    assert "2 completed" in done.stderr
    assert len(local.runs) == 2


def test_completion_scripts_can_be_shown(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FLORA_ASYNC_COMPLETE", "source_bash")
    assert "complete -o" in printed(capsys)


def test_the_documentation_names_every_command_and_option() -> None:
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")
    app = typer.main.get_command(_app.app)
    missing = []
    todo: list[tuple[str, Any]] = [("", app)]
    while todo:
        name, command = todo.pop()
        for child, inner in getattr(command, "commands", {}).items():
            todo.append((f"{name} {child}".strip(), inner))
        if not getattr(command, "commands", None):
            missing += [name] if f"`{name}`" not in page else []
        options = [max(param.opts, key=len) for param in command.params if param.param_type_name == "option"]
        missing += [f"{name} {option}" for option in options if option not in page and option != "--version"]
    assert not missing


def test_the_lists_of_commands_say_in_80_columns_what_each_command_does(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lists = []
    todo: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(_app.app))]
    while todo:
        path, command = todo.pop()
        children = getattr(command, "commands", {})
        todo += [((*path, name), child) for name, child in children.items()]
        if children:
            lines = printed(capsys, *path, "--help").partition("Commands:\n")[2].split("\n\n")[0].splitlines()
            lists.append((len(children), [line for line in lines if line.endswith(".") and not line.endswith("...")]))
    assert len(lists) == 6
    assert [len(whole) for _, whole in lists] == [count for count, _ in lists]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("batch", "--type", "image", "caption", "rows.csv", "--project", "prj_local"), "TECHNIQUE or a --model"),
        (("batch", "rows.csv"), "TECHNIQUE"),
        (("batch", "caption", "rows.csv", "-p", "seed=1"), "--param is for a --model"),
        (("api", "POST", "/x", "-f", "photo=@rows.csv"), "'photo': a file cannot be part of JSON"),
        (("api", "POST", "/x", "-f", "a=1", "--input", "-"), "exclude each other"),
        (("models", "show", "flux-amateur"), "models list"),
        (("webhook", "listen"), "FLORA_WEBHOOK_SECRET"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_exits_2_and_names_the_remedy(
    local: FakeFlora, capsys: Capture, command: tuple[str, ...], words: str
) -> None:
    Path("rows.csv").write_text("prompt\nx\n")
    assert words in complaint(capsys, *command, status=2)
    assert not [request for request in local.requests if request.method != "GET"]


def test_assets_generations_and_empty_answers_are_printed(local: FakeFlora, capsys: Capture) -> None:
    Path("photo.png").write_bytes(PHOTO)
    asset = json.loads(printed(capsys, "upload", "photo.png", "--format", "json"))
    assert asset["url"].startswith("http")
    printed(capsys, "generate", "a red bicycle", "--fake", "--no-save")
    arguments = ("generate", "a red bicycle", "--model", "flux-pro", "--project", "prj_local")
    run_id = printed(capsys, *arguments, "--no-wait").strip()
    assert json.loads(printed(capsys, *arguments, "--no-wait", "--json"))["estimated_seconds"] == 0.01
    assert re.search(rf"{run_id} +completed +flux-pro", printed(capsys, "runs", "list", "--kind", "generation"))
    assert printed(capsys, "runs", "list", "--kind", "generation", "--limit", "1").count("\n") == 2
    for path in ("/projects", "/models"):
        local.inject(Replace(None), on="any")
        assert printed(capsys, "api", "GET", path) == ""


def test_numbers_that_json_does_not_have_are_text_and_what_cannot_be_encoded_is_escaped(local: FakeFlora) -> None:
    local.add_technique(FakeTechnique("cafe", name="Café ☕"))
    command = [sys.executable, "-m", "flora_async", "techniques", "show", "cafe", "--format", "json"]
    done = subprocess.run(  # noqa: S603 - our own command
        command, check=True, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert json.loads(done.stdout)["name"] == "Café ☕"
    assert b"Caf\\u00e9 \\u2615" in done.stdout
    local.inject(Replace({"scores": [nan, inf, 0.5]}), on="technique")
    answer = json.loads(printed_in_pipe("api", "GET", "/techniques/cafe"), parse_constant=pytest.fail)
    assert answer == {"scores": ["NaN", "Infinity", 0.5]}


def test_a_command_works_in_a_thread_where_no_signal_can_be_handled(local: FakeFlora) -> None:
    with ThreadPoolExecutor() as threads:
        assert threads.submit(main, ["run", "caption", "-i", "prompt=x", "--no-save"]).result() == 0
    assert len(local.runs) == 1


def test_a_table_whose_reader_leaves_early_is_not_an_error(local: FakeFlora) -> None:
    for number in range(200):
        local.add_technique(FakeTechnique(f"number-{number}"))
    command = [sys.executable, "-m", "flora_async", "techniques", "list", "--limit", "200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
