"""Commands whose files are in a store."""

import pytest
from upath import UPath

from flora_async.cli import main
from flora_async.testing._state.sample_files import png


def test_commands_read_files_from_a_store_and_save_into_one(capsys: pytest.CaptureFixture[str]) -> None:
    folder = UPath("memory://commands")
    (folder / "photo.png").write_bytes(png("photo"))
    photo = "input_image=@memory://commands/photo.png"
    assert main(["run", "--fake", "cctv-cam", "-i", photo, "--save", "memory://commands/out", "--timeout", "30"]) == 0
    (saved,) = (folder / "out").iterdir()
    assert f"Saved {saved} ({saved.stat().st_size:,} bytes)" in capsys.readouterr().out


def test_the_destination_of_a_command_is_checked_before_anything_is_paid(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["-i", "input_image=https://example.com/photo.png", "--save", "nosuch://me:never-to-be-seen@bucket/out"]
    assert main(["run", "--fake", "cctv-cam", *given]) == 2
    out, err = capsys.readouterr()
    assert "--save 'nosuch://bucket/out' cannot be used" in err
    assert "never-to-be-seen" not in out + err
