"""What a type checker says of a user's program whose files are in a store."""

from pathlib import Path
from typing import assert_type

from upath import UPath

from flora_async import FloraSession, Run, download, storage


async def save(flora: FloraSession, run: Run, bucket: UPath) -> None:
    assert_type(await flora.download(run.outputs[0], "results/"), Path)
    assert_type(await flora.download(run.outputs[0], Path("results")), Path)
    assert_type(await flora.download(run.outputs[0], bucket / "frame"), UPath)
    assert_type(await flora.save_outputs(run, "results"), tuple[Path, ...])
    assert_type(await flora.save_outputs(run, bucket), tuple[UPath, ...])
    assert_type(await download(run.outputs[0], bucket), UPath)


async def start(flora: FloraSession, bucket: UPath) -> None:
    photo = storage.open("s3://bucket/photo.png")
    assert_type(photo, UPath)
    await flora.run("cctv-cam", {"input_image": photo})
    await flora.run("cctv-cam", {"input_image": bucket / "photo.png"})
    await flora.assets.upload(photo)
    flora.batch("cctv-cam", [{"input_image": photo}], save_to=bucket)
