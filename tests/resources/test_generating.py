"""Generations and actions are checked against the catalog before money is spent; `flora.generate` waits for them."""

from pathlib import Path
from typing import Any

import pytest
from conftest import OpenSession
from hypothesis import given
from hypothesis import strategies as st

from flora_async import BadRequestError, FloraSession, InputError, NotFoundError, Run, RunFailedError
from flora_async.models import (
    Action,
    ActionParameter,
    ActionSlot,
    GenerationModel,
    ModelParameter,
    ParameterOption,
    ParameterRange,
    SlotBounds,
)
from flora_async.resources._hints import did_you_mean, nearest
from flora_async.resources._parameters import action_problems, generation_problems
from flora_async.testing import FakeAction, FakeFlora, FakeModel, Replace, VirtualClock
from flora_async.testing._state.sample_files import png

PNG = png("a photo")
PHOTO = "https://example.com/a.png"
HERE: dict[str, Any] = {"project_id": "prj_local"}


def options(*values: str) -> tuple[ParameterOption, ...]:
    return tuple(ParameterOption(value=value) for value in values)


STUDIO = GenerationModel(
    model_id="i2v-studio",
    type="video",
    params=(
        ModelParameter(name="ratio", type="string", options=options("16:9", "1:1")),
        ModelParameter(name="tags", type="string[]", options=options("day", "night")),
        ModelParameter(name="loop", type="bool"),
        ModelParameter(name="duration", type="int", min=2, max=10, options=options("5", "10")),
        ModelParameter(name="frames", type="int?", min=1),
        ModelParameter(name="strength", type="float", min=0, max=1),
        ModelParameter(name="camera", type="dict", properties={"zoom": ParameterRange(min=0, max=2)}),
        ModelParameter(name="future", type="mesh"),
    ),
)
CATALOG = {
    model.model_id: model
    for model in (
        STUDIO,
        GenerationModel(model_id="i2t-reader", type="text"),
        GenerationModel(model_id="v2t-viewer", type="text"),
        GenerationModel(
            model_id="strict", type="image", params=(ModelParameter(name="size", type="string", required=True),)
        ),
    )
}


def problems(medium: str, model: str | None, **params: Any) -> dict[str, str]:
    return dict(generation_problems(CATALOG, medium, model, params))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ratio", "16:9"),
        ("tags", ["day", "night"]),
        ("tags", []),
        ("loop", False),
        ("duration", 5),
        ("duration", 10.0),
        ("frames", None),
        ("strength", 0.5),
        ("strength", 1),
        ("camera", {"zoom": 1.5}),
        ("future", {"anything": 1}),
        ("image_url", PHOTO),
    ],
)
def test_what_a_model_takes_is_taken(name: str, value: Any) -> None:
    assert problems("video", "i2v-studio", **{name: value}) == {}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ration", "16:9", "is unknown: did you mean 'ratio'?"),
        ("ratio", "16:10", "'16:10' is not one of its options: it takes '16:9', '1:1'"),
        ("ratio", 5, "takes text, not 5"),
        ("tags", "day", "takes a list of texts, not 'day'"),
        ("tags", ["dya"], "'dya' is not one of its options: did you mean 'day'?"),
        ("loop", "true", "takes true or false, not 'true'"),
        ("duration", "5", "takes a number, not '5'"),
        ("duration", 7, "7 is not one of its options: it takes '5', '10'"),
        ("duration", 2.5, "takes a whole number, not 2.5"),
        ("duration", True, "takes a number, not True"),
        ("frames", 0, "must be at least 1, not 0"),
        ("strength", 1.1, "must be at most 1, not 1.1"),
        ("strength", None, "takes a number, not None"),
        ("camera", [1], "takes an object, not [1]"),
        ("camera", {"zom": 1}, "has no property 'zom': did you mean 'zoom'?"),
        ("camera", {"zoom": 3}, "'zoom' must be at most 2, not 3"),
        ("image_urls", [PHOTO], "is ignored by this model: it takes 'image_url'"),
        ("image_url", [PHOTO], "takes one URL as text, not a list"),
        ("image_url", "photo.png", "takes an image (an https URL, or a file as pathlib.Path)"),
        ("image_url", 5, "takes an https URL or a file, not 5"),
        ("image_url", "https://example.com/a.mp4", "takes an image, not a .mp4 file"),
    ],
)
def test_what_a_model_would_ignore_or_refuse_is_named_with_the_remedy(name: str, value: Any, words: str) -> None:
    found = problems("video", "i2v-studio", **{name: value})
    assert list(found) == [name]
    assert words in found[name]


@pytest.mark.parametrize(
    ("model", "right", "wrong"),
    [
        ("i2t-reader", {"image_urls": [PHOTO]}, {"image_url": PHOTO}),
        ("v2t-viewer", {"video_urls": ["https://example.com/a.mp4"]}, {"video_urls": [PHOTO]}),
        ("v2t-viewer", {"video_urls": []}, {"video_urls": "https://example.com/a.mp4"}),
    ],
)
def test_media_are_spelled_as_the_models_family_spells_them(
    model: str, right: dict[str, Any], wrong: dict[str, Any]
) -> None:
    assert problems("text", model, **right) == {}
    assert list(problems("text", model, **wrong)) == list(wrong)


def test_a_catalog_of_any_size_is_searched_at_once_and_named_in_part() -> None:
    many = {f"{number:06}" + "ab" * 100: GenerationModel(model_id=f"m{number}") for number in range(20_000)}
    assert nearest("0" * 206, many) is None
    assert len(did_you_mean("ratio", [f"{number}-of-many" for number in range(10_000)])) < 500
    assert nearest("ratoi", [*many, "ratio"]) == "ratio"


def test_a_model_that_is_unknown_or_of_another_type_or_lacks_a_parameter_is_refused() -> None:
    assert problems("image", None) == {}
    assert "is needed, as params are: size" in problems("image", None, size=1)["model"]
    assert "did you mean 'i2v-studio'?" in problems("video", "i2v-studoi")["model"]
    assert "models.list(type='audio')" in problems("audio", "zzz")["model"]
    assert problems("video", "strict", size="l") == {"type": "is 'video', but 'strict' makes image"}
    assert problems("image", "strict") == {"size": "is missing"}
    assert (
        "models that take media begin with i2i-" in problems("image", "strict", size="l", image_url=PHOTO)["image_url"]
    )


def sent(fake: FakeFlora, path: str) -> list[Any]:
    return [request for request in fake.requests if request.method == "POST" and request.path.endswith(path)]


def catalogs(fake: FakeFlora) -> int:
    return sum(request.path.endswith("/models") for request in fake.requests)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "flux-porr"}, "'flux-porr' is unknown: did you mean 'flux-pro'?"),
        ({"model": "flux-pro", "params": {"aspectRatio": "1:1"}}, "'aspectRatio' is unknown: did you mean 'aspect_rat"),
        ({"model": "flux-pro", "params": {"aspect_ratio": "2:1"}}, "'2:1' is not one of its options"),
        ({"model": "flux-pro", "params": {"seed": -1}}, "must be at least 0"),
        ({"params": {"seed": 1}}, "'model' is needed"),
        ({"model": "veo-3"}, "makes video"),
    ],
    ids=repr,
)
async def test_a_generation_that_would_be_paid_for_in_vain_is_not_started(
    fake: FakeFlora, flora: FloraSession, given: dict[str, Any], words: str
) -> None:
    for call in (
        flora.generate("a red bicycle", type="image", **HERE, **given),
        flora.generations.create(prompt="a red bicycle", type="image", **HERE, **given, check=True),
    ):
        with pytest.raises(InputError) as caught:
            await call
        assert words in str(caught.value)
        assert caught.value.fields
    assert (sent(fake, "/generate"), fake.runs) == ([], ())


async def test_generate_starts_one_run_and_waits_for_its_end(fake: FakeFlora, flora: FloraSession) -> None:
    seen: list[Run] = []
    run = await flora.generate(
        "a red bicycle",
        type="image",
        model="flux-pro",
        params={"aspect_ratio": "16:9"},
        idempotency_key="order-1",
        on_update=seen.append,
        **HERE,
    )
    assert run.is_completed
    assert seen[-1] == run
    (request,) = sent(fake, "/generate")
    assert request.headers["Idempotency-Key"] == "order-1"
    assert request.json["workspace_id"] == "ws_local"
    assert request.json["params"] == {"aspect_ratio": "16:9"}


async def test_generate_raises_on_failure_when_asked_to(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_model(FakeModel("broken", "image", error_code="model_timeout"))
    with pytest.raises(RunFailedError):
        await flora.generate("x", type="image", model="broken", raise_on_failure=True, **HERE)


async def test_generate_refuses_how_to_wait_before_anything_is_sent(fake: FakeFlora, flora: FloraSession) -> None:
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (ValueError, {"timeout": -1}),
        (TypeError, {"on_update": 5}),
        (TypeError, {"wake": 5}),
    ]
    for error, options in wrong:
        with pytest.raises(error):
            await flora.generate("x", type="image", **HERE, **options)
    assert fake.requests == []


async def test_the_catalog_is_read_once_in_five_minutes_and_again_before_anything_is_refused(
    session_on: OpenSession,
) -> None:
    clock = VirtualClock()
    async with FakeFlora(run_seconds=0) as fake:
        flora = session_on(fake, clock=clock)
        start: dict[str, Any] = {"type": "image", "prompt": "x", "check": True, **HERE}
        for seconds, expected in ((0, 1), (299, 1), (2, 2)):
            await clock.sleep(seconds)
            await flora.generations.create(model="flux-pro", **start)
            assert catalogs(fake) == expected
        fake.add_model(FakeModel("brand-new", "image"))
        await clock.sleep(1)
        await flora.generations.create(model="brand-new", **start)
        assert catalogs(fake) == 3


async def test_without_the_check_flora_decides_and_the_error_names_the_nearest_model(
    fake: FakeFlora, flora: FloraSession
) -> None:
    with pytest.raises(BadRequestError, match=r"no image model 'flux-porr'.*; did you mean 'flux-pro'\?") as caught:
        await flora.generations.create(type="image", prompt="x", model="flux-porr", **HERE)
    assert caught.value.request_id == fake.requests[-2].request_id
    assert "No image model" in caught.value.message


async def test_files_among_the_parameters_are_uploaded_once_they_are_checked(
    fake: FakeFlora, flora: FloraSession, tmp_path: Path
) -> None:
    fake.add_model(FakeModel("i2i-edit", "image"))
    fake.add_model(FakeModel("i2t-read", "text"))
    photo = tmp_path / "photo.png"
    photo.write_bytes(PNG)
    assert (await flora.generate("x", type="image", model="i2i-edit", params={"image_url": photo}, **HERE)).is_completed
    await flora.generate("x", type="text", model="i2t-read", params={"image_urls": [PNG, PHOTO]}, **HERE)
    (asset,) = fake.assets  # equal files are uploaded once
    first, second = (request.json["params"] for request in sent(fake, "/generate"))
    assert first == {"image_url": second["image_urls"][0]}
    assert second["image_urls"][1] == PHOTO
    with pytest.raises(InputError, match="takes an image, not application/pdf"):
        await flora.generate("x", type="image", model="i2i-edit", params={"image_url": b"%PDF-1.7\n"}, **HERE)
    with pytest.raises(FileNotFoundError) as caught:
        await flora.generate("x", type="image", model="i2i-edit", params={"image_url": tmp_path / "none"}, **HERE)
    assert "params['image_url']" in "".join(caught.value.__notes__)
    assert fake.assets == (asset,)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = [*(param.name for param in STUDIO.params), "image_url", "other"]


@given(st.dictionaries(st.sampled_from(NAMES), JSON_VALUES))
def test_a_check_of_any_parameters_ends_with_a_verdict(params: dict[str, Any]) -> None:
    found = generation_problems(CATALOG, "video", "i2v-studio", params)
    assert {problem.field for problem in found} <= params.keys()
    assert all(problem.message for problem in found)
    assert "other" not in params or "other" in dict(found)


# --- actions ---

MIXER = Action(
    action_id="mix",
    inputs=(
        ActionSlot(name="photo", type="image"),
        ActionSlot(name="more", type="image", multiple=SlotBounds(min=0, max=2)),
        ActionSlot(name="caption", type="text", optional=True),
    ),
    params=(
        ActionParameter(key="angle", type="number", min_number_value=0, max_number_value=360),
        ActionParameter(key="mode", type="select", available_values=options("soft", "hard")),
        ActionParameter(key="anything", type="text"),
    ),
)
IMAGE_INPUT = {"type": "image", "url": PHOTO}


@pytest.mark.parametrize(
    ("inputs", "params"),
    [
        ([IMAGE_INPUT], {}),
        ([IMAGE_INPUT] * 3, {"angle": 90, "mode": "soft", "anything": [1]}),
        ([{**IMAGE_INPUT, "name": "photo"}, {"type": "text", "name": "caption", "text": ""}], {}),
    ],
)
def test_what_an_action_takes_is_taken(inputs: list[dict[str, Any]], params: dict[str, Any]) -> None:
    assert action_problems(MIXER, inputs, params) == []


@pytest.mark.parametrize(
    ("inputs", "params", "field", "words"),
    [
        ([{"type": "text", "text": "a"}], {}, "photo", "is missing"),
        ([IMAGE_INPUT] * 4, {}, "inputs[3]", "there is no free slot for 'image'"),
        (
            [IMAGE_INPUT, {**IMAGE_INPUT, "type": "video"}],
            {},
            "inputs[1]",
            "no free slot for 'video': it takes image, t",
        ),
        ([IMAGE_INPUT, {**IMAGE_INPUT, "name": "foto"}], {}, "inputs[1]", "'foto' is unknown: did you mean 'photo'?"),
        ([{**IMAGE_INPUT, "name": "photo"}] * 2, {}, "photo", "takes at most 1 value, not 2"),
        ([{"type": "text", "name": "photo", "text": "x"}], {}, "inputs[0]", "slot 'photo' takes image"),
        ([{"type": "image"}], {}, "inputs[0]", "has no url"),
        ([{"type": "image", "url": "photo.png"}], {}, "inputs[0]", "takes an image"),
        ([IMAGE_INPUT, {"type": "text"}], {}, "inputs[1]", "has no text"),
        ([IMAGE_INPUT], {"angel": 90}, "angel", "did you mean 'angle'?"),
        ([IMAGE_INPUT], {"angle": 361}, "angle", "must be at most 360"),
        ([IMAGE_INPUT], {"angle": "90"}, "angle", "takes a number"),
        ([IMAGE_INPUT], {"mode": "sotf"}, "mode", "did you mean 'soft'?"),
    ],
)
def test_what_an_action_does_not_take_is_named_with_the_remedy(
    inputs: list[dict[str, Any]], params: dict[str, Any], field: str, words: str
) -> None:
    found = dict(action_problems(MIXER, inputs, params))
    assert words in found[field]


async def test_an_action_is_checked_before_it_is_paid_for(fake: FakeFlora, flora: FloraSession) -> None:
    rotate: dict[str, Any] = {"action_id": "rotate-image-browser", "check": True, **HERE}
    with pytest.raises(InputError, match=r"'angel' is unknown: did you mean 'angle'\?"):
        await flora.actions.run(inputs=[IMAGE_INPUT], params={"angel": 45}, **rotate)
    with pytest.raises(InputError, match="no free slot for 'text'"):
        await flora.actions.run(inputs=[{"type": "text", "text": "a"}], **rotate)
    assert sent(fake, "/runs/action") == []
    ticket = await flora.actions.run(inputs=[IMAGE_INPUT], params={"angle": 45}, **rotate)
    assert (await flora.wait_for_run(ticket)).is_completed


async def test_a_file_for_an_action_is_uploaded_and_its_url_is_sent(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Replace({"run_id": "run_1", "type": "action"}), on="actions.run")
    await flora.actions.run(
        action_id="rotate-image-browser", inputs=[{"type": "image", "url": PNG}], check=True, **HERE
    )
    (asset,) = fake.assets
    (request,) = sent(fake, "/runs/action")
    assert request.json["inputs"] == [{"type": "image", "url": (await flora.assets.retrieve(asset.asset_id)).url}]


async def test_the_error_for_a_misspelled_action_names_the_nearest_one(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_action(FakeAction("reverse-video", inputs={"video": "video"}, outputs={"video": "video"}))
    for call in (
        flora.actions.retrieve("reverse-vidoe"),
        flora.actions.run(action_id="reverse-vidoe", inputs=[IMAGE_INPUT], **HERE),
    ):
        with pytest.raises(NotFoundError, match=r"no action 'reverse-vidoe'.*; did you mean 'reverse-video'\?"):
            await call
