"""Inputs are checked against the technique before money is spent."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from conftest import IMAGE, OpenSession

from flora_async import (
    BadRequestError,
    FieldError,
    FloraSession,
    InputError,
    InternalServerError,
    NotFoundError,
    RunInput,
)
from flora_async.media.content import read_content
from flora_async.models import Technique, TechniqueInput
from flora_async.resources._prepare import RawInput, problems_of
from flora_async.testing import Drop, FakeFlora, FakeTechnique, Garbage, Replace, Status, VirtualClock
from flora_async.testing._state.sample_files import png
from flora_async.webhooks import WebhookReceiver

STUDIO = Technique(
    technique_id="tech_studio",
    inputs=(
        TechniqueInput(id="prompt", type="text"),
        TechniqueInput(id="photo", type="imageUrl"),
        TechniqueInput(id="person", type="imageUrl", accepts_element=True, optional=True),
        TechniqueInput(id="clip", type="videoUrl", optional=True),
        TechniqueInput(id="song", type="audioUrl", optional=True),
        TechniqueInput(id="contract", type="documentUrl", optional=True),
        TechniqueInput(id="model3d", type="meshUrl", optional=True),
        TechniqueInput(id="note", type="text", optional=True),
    ),
)
NEEDED: dict[str, Any] = {"prompt": "a", "photo": "https://example.com/a.png"}
PNG = read_content(png("x"))
PDF = read_content(b"%PDF-1.7\n" + bytes(50))


def problems(**values: Any) -> dict[str, str]:
    raw_inputs = [RawInput(name, None, value) for name, value in values.items()]
    return dict(problems_of(raw_inputs, STUDIO))


def starts(fake: FakeFlora) -> int:
    return sum(request.operation == "start" for request in fake.requests)


def reads(fake: FakeFlora) -> int:
    return sum(request.operation == "technique" for request in fake.requests)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"person": "element_123"},
        {"person": PNG},
        {"photo": PNG},
        {"photo": "https://example.com/no-ending"},
        {"photo": "https://example.com/a.unknown?b=.mp4"},
        {"clip": "https://example.com/a.mp4"},
        {"song": "https://example.com/a.mp3"},
        {"contract": PDF},
        {"prompt": "https://example.com/a.mp4"},
        {"note": ""},
        {"model3d": "anything at all"},
        {"model3d": PNG},
    ],
    ids=repr,
)
def test_what_the_technique_takes_is_taken(values: dict[str, Any]) -> None:
    assert problems(**{**NEEDED, **values}) == {}


@pytest.mark.parametrize(
    ("values", "name", "words"),
    [
        ({"promt": "a"}, "promt", "is unknown: did you mean 'prompt'?"),
        ({"zzz": "a"}, "zzz", "is unknown: it takes prompt, photo, person, clip, song, contract, model3d, note"),
        ({"prompt": PNG}, "prompt", "takes text, not a file: pass what is in it"),
        ({"photo": "just words"}, "photo", "takes an image (an https URL, or a file as pathlib.Path), not the text"),
        ({"photo": "http://example.com/a.png"}, "photo", "takes an image (an https URL"),
        ({"photo": "photos/a.png"}, "photo", "file as pathlib.Path"),
        ({"photo": "https://example.com/A.MP4?x=1"}, "photo", "takes an image, not a .mp4 file"),
        ({"photo": PDF}, "photo", "takes an image, not application/pdf"),
        ({"person": "https://example.com/a.mov"}, "person", "takes an image, not a .mov file"),
        ({"clip": "https://example.com/a.gif"}, "clip", "takes a video, not a .gif file"),
        ({"clip": PNG}, "clip", "takes a video, not image/png"),
        ({"song": "https://example.com/a.pdf"}, "song", "takes a sound, not a .pdf file"),
        ({"contract": "la la la"}, "contract", "takes a document"),
        ({"prompt": ""}, "prompt", "is required and must not be empty"),
        ({"person": ""}, "person", "takes an image"),
    ],
    ids=repr,
)
def test_each_problem_is_named_with_its_remedy(values: dict[str, Any], name: str, words: str) -> None:
    found = problems(**{**NEEDED, **values})
    assert list(found) == [name]
    assert words in found[name]


def test_what_is_missing_is_named() -> None:
    assert problems(person="element_1") == {"prompt": "is missing", "photo": "is missing"}


def test_a_given_type_must_be_the_techniques() -> None:
    raw_inputs = [
        RawInput("prompt", "imageUrl", "https://example.com/a.png"),
        RawInput("photo", "imageUrl", "element_1"),
    ]
    assert dict(problems_of(raw_inputs, STUDIO)) == {
        "prompt": "is of type text, not imageUrl",
        "photo": "takes an image (an https URL, or a file as pathlib.Path), not the text 'element_1'",
    }


@pytest.mark.parametrize(
    "inputs",
    [{"imput_image": "https://example.com/a.png"}, {"input_image": "words"}, {"input_image": "https://e.com/a.mp4"}],
    ids=repr,
)
async def test_wrong_inputs_are_refused_before_anything_is_spent(
    fake: FakeFlora, flora: FloraSession, inputs: dict[str, str]
) -> None:
    for call in (
        flora.run("cctv-cam", inputs),
        flora.techniques.runs.create("cctv-cam", inputs=inputs, check=True),
    ):
        with pytest.raises(InputError) as caught:
            await call
        assert isinstance(caught.value, ValueError)
        assert caught.value.technique_id == "cctv-cam"
        assert all(isinstance(problem, FieldError) for problem in caught.value.fields)
        assert "cctv-cam" in str(caught.value)
    (result,) = await flora.run_all("cctv-cam", [inputs])
    assert isinstance(result.error, InputError)
    assert (starts(fake), fake.runs) == (0, ())


async def test_the_error_for_a_misspelled_input_names_the_nearest_one(flora: FloraSession) -> None:
    with pytest.raises(InputError, match=r"'imput_image' is unknown: did you mean 'input_image'\?; 'input_image' is"):
        await flora.run("cctv-cam", {"imput_image": "https://example.com/a.png"})


async def test_each_input_is_sent_under_the_techniques_own_type(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("film", inputs={"clip": "videoUrl", "title": "text"}))
    inputs = {"clip": "https://example.com/stream", "title": "https://example.com/a.png"}
    await flora.run("film", inputs)
    (sent,) = [request.json["inputs"] for request in fake.requests if request.operation == "start"]
    assert {item["id"]: item["type"] for item in sent} == {"clip": "videoUrl", "title": "text"}


async def test_a_technique_is_read_once_by_many_at_once(fake: FakeFlora, flora: FloraSession) -> None:
    await asyncio.gather(*(flora.run("cctv-cam", IMAGE) for _ in range(20)))
    assert (reads(fake), starts(fake)) == (1, 20)


async def test_a_technique_is_read_again_after_five_minutes(session_on: OpenSession) -> None:
    clock = VirtualClock()
    async with FakeFlora(run_seconds=0) as fake:
        flora = session_on(fake, clock=clock)
        for seconds, expected in ((0, 1), (299, 1), (2, 2)):
            await clock.sleep(seconds)
            await flora.techniques.runs.create("cctv-cam", inputs=IMAGE, check=True)
            assert reads(fake) == expected


async def test_a_technique_that_was_edited_is_read_again_before_its_inputs_are_refused(
    fake: FakeFlora, flora: FloraSession
) -> None:
    await flora.run("cctv-cam", IMAGE)
    fake.add_technique(FakeTechnique("cctv-cam", inputs={"photo": "imageUrl"}))
    run = await flora.run("cctv-cam", {"photo": "https://example.com/a.png"})
    assert run.is_completed
    with pytest.raises(InputError, match="'input_image' is unknown"):
        await flora.run("cctv-cam", IMAGE)


async def test_what_keeps_a_technique_from_being_read_keeps_the_run_from_being_started(
    fake: FakeFlora, flora: FloraSession
) -> None:
    with pytest.raises(NotFoundError) as missing:
        await flora.run("no-such-technique", IMAGE)
    assert "nothing was started" in "".join(missing.value.__notes__)
    fake.inject(Status(500), on="technique", times=4)
    with pytest.raises(InternalServerError):
        await flora.run("cctv-cam", IMAGE)
    assert starts(fake) == 0
    assert (await flora.run("cctv-cam", IMAGE)).is_completed


async def test_a_batch_starts_rows_unchecked_where_flora_does_not_tell_what_is_taken(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.inject(Status(403), on="technique", times=None)
    good, bad = await flora.run_all("cctv-cam", [IMAGE, {"imput_image": "https://example.com/a.png"}])
    assert good.ok
    assert isinstance(bad.error, BadRequestError)
    assert reads(fake) == 1


async def test_where_flora_does_not_say_what_is_taken_anything_is_tried(fake: FakeFlora, flora: FloraSession) -> None:
    fake.inject(Replace({"technique_id": "tech_caption", "name": "Caption"}), on="technique", times=None)
    assert (await flora.run("caption", {"prompt": "a red bicycle"})).is_completed


async def test_what_cannot_wake_is_refused_before_anything_is_spent(fake: FakeFlora, flora: FloraSession) -> None:
    wrong: Any = 5
    with pytest.raises(TypeError, match="wake must be a WebhookReceiver"):
        await flora.run("caption", {"prompt": "x"}, callback_url="https://example.com/hook", wake=wrong)
    with pytest.raises(TypeError, match="wake must be"):
        await flora.wait_for_run("run_1", wake=wrong)
    with pytest.raises(ValueError, match="wake needs callback_url"):
        await flora.run("caption", {"prompt": "x"}, wake=WebhookReceiver("whsec_test"))
    with pytest.raises(TypeError, match="on_progress must be callable"):
        await flora.run_all("caption", [{"prompt": "x"}], on_progress=wrong)
    assert fake.requests == []


async def test_a_text_of_any_length_is_sent_without_a_warning(fake: FakeFlora, flora: FloraSession) -> None:
    prompt = "x" * 3_000_000
    run = await flora.techniques.runs.create("caption", inputs={"prompt": prompt})
    assert [started.inputs["prompt"] for started in fake.runs if started.run_id == run.run_id] == [prompt]


async def test_without_the_check_flora_decides(fake: FakeFlora, flora: FloraSession) -> None:
    for call in (
        flora.run("cctv-cam", {"x": "y"}, check=False),
        flora.techniques.runs.create("cctv-cam", inputs={"x": "y"}),
    ):
        with pytest.raises(BadRequestError):
            await call
    (result,) = await flora.run_all("cctv-cam", [{"x": "y"}], check=False)
    assert isinstance(result.error, BadRequestError)
    assert reads(fake) == 0


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (Path("no/such/file.png"), FileNotFoundError, "no/such/file.png"),
        (Path(), IsADirectoryError, "is a directory"),
        (b"", ValueError, "is empty"),
        (b"plain words", ValueError, "FLORA takes image/jpeg"),
        (5, TypeError, r"inputs\['input_image'\] must be text, the https URL of a medium, or a file"),
        (None, TypeError, "must be text"),
    ],
    ids=repr,
)
async def test_a_file_that_cannot_be_uploaded_is_refused_before_any_request(
    fake: FakeFlora, flora: FloraSession, value: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await flora.run("cctv-cam", {"input_image": value})
    assert fake.requests == []
    (result,) = await flora.run_all("cctv-cam", [{"input_image": value}])
    assert isinstance(result.error, error)
    assert fake.requests == []


async def test_a_given_type_is_kept_where_nothing_is_checked(fake: FakeFlora, flora: FloraSession) -> None:
    await flora.techniques.runs.create("caption", inputs=[RunInput("prompt", "text", "https://example.com/a.png")])
    (sent,) = [request.json["inputs"] for request in fake.requests if request.operation == "start"]
    assert sent == [{"id": "prompt", "type": "text", "value": "https://example.com/a.png"}]


# --- empty, optional and several values


async def test_an_optional_text_that_is_empty_is_left_out(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("poster", optional_inputs={"note": "text"}))
    await flora.run("poster", {"prompt": "a red bicycle", "note": ""})
    (sent,) = [request.json["inputs"] for request in fake.requests if request.operation == "start"]
    assert [item["id"] for item in sent] == ["prompt"]
    with pytest.raises(InputError, match="'prompt' is required and must not be empty"):
        await flora.run("poster", {"prompt": "", "note": ""})
    assert len(fake.runs) == 1


async def test_a_technique_whose_inputs_are_all_optional_runs_without_any(fake: FakeFlora, flora: FloraSession) -> None:
    fake.add_technique(FakeTechnique("surprise", inputs={}, optional_inputs={"note": "text"}))
    assert (await flora.run("surprise", {})).is_completed
    assert (await flora.run("surprise", {"note": ""})).is_completed
    with pytest.raises(InputError, match="'prompt' is missing"):
        await flora.run("caption", {})
    with pytest.raises(InputError, match="'inputs' must not be empty"):
        await flora.run("surprise", {}, check=False)
    assert len(fake.runs) == 2


async def test_an_element_is_sent_under_the_inputs_own_type(fake: FakeFlora, flora: FloraSession) -> None:
    described = {"id": "photo", "type": "imageUrl", "accepts_element": True}
    fake.inject(Replace({"technique_id": "tech_portrait", "inputs": [described]}), on="technique")
    fake.add_technique(FakeTechnique("portrait", inputs={"photo": "imageUrl"}))
    await flora.run("portrait", {"photo": "element_123"})
    (sent,) = [request.json["inputs"] for request in fake.requests if request.operation == "start"]
    assert sent == [{"id": "photo", "type": "imageUrl", "value": "element_123"}]


async def test_a_list_for_one_run_is_refused_with_the_way_to_start_several(
    fake: FakeFlora, flora: FloraSession
) -> None:
    several: Any = {"prompt": ["a red bicycle", "a blue boat"]}
    with pytest.raises(InputError, match=r"'caption': 'prompt' takes one value a run.*flora\.runs\.start_technique"):
        await flora.run("caption", several)
    (result,) = await flora.run_all("caption", [several])
    assert isinstance(result.error, InputError)
    assert fake.requests == []


MANY = {
    "technique_id": "tech_many",
    "inputs": [
        {"id": "prompt", "type": "text", "allow_multiple": True},
        {"id": "style", "type": "text", "optional": True},
    ],
}


async def test_a_list_starts_several_runs_each_of_which_can_be_waited_for(fake: FakeFlora, flora: FloraSession) -> None:
    runs = [await flora.techniques.runs.create("caption", inputs={"prompt": text}) for text in ("a", "b")]
    answer = {"type": "technique", "runs": [{"runId": run.run_id, "chargedCost": 0.01} for run in runs]}
    fake.inject(Replace(MANY), on="technique")
    fake.inject(Replace(answer), on="runs.start_technique")
    ticket = await flora.runs.start_technique(
        technique_id="tech_many", inputs={"prompt": ["a", "b"], "style": ""}, check=True
    )
    ended = [await flora.wait_for_run(run) for run in ticket.runs or (ticket,)]
    assert [run.outputs[0].text for run in ended] == ["Caption: a", "Caption: b"]
    assert (ticket.run_id, ticket.runs[1].charged_cost) == (runs[0].run_id, 0.01)
    (sent,) = [request.json for request in fake.requests if request.path.endswith("/runs/technique")]
    assert sent["inputs"] == {"prompt": ["a", "b"]}
    assert sent["workspace_id"] == "ws_local"


async def test_runs_that_floras_answer_does_not_name_are_warned_about(
    fake: FakeFlora, flora: FloraSession, caplog: pytest.LogCaptureFixture
) -> None:
    fake.add_technique(FakeTechnique("many", allow_multiple=["prompt"], run_cost=0.01))
    for prompts, warnings in ((["a"], 0), (["a", "b", "c"], 1)):
        ticket = await flora.runs.start_technique(technique_id="tech_many", inputs={"prompt": prompts}, check=True)
        assert (await flora.wait_for_run(ticket)).is_completed
        assert len([record for record in caplog.records if "techniques.runs.list" in record.message]) == warnings
    assert ticket.charged_cost == pytest.approx(0.03)
    listed = [run.run_id async for run in flora.techniques.runs.list(technique_id="tech_many")]
    assert len(listed) == 4
    assert ticket.run_id in listed


async def test_a_list_where_a_technique_takes_one_value_is_refused_before_anything_is_spent(
    fake: FakeFlora, flora: FloraSession
) -> None:
    fake.inject(Replace(MANY), on="technique", times=None)
    for inputs, words in (
        ({"prompt": "a", "style": ["x", "y"]}, "'style' takes one value, not several"),
        ({"prompt": ["a", ""]}, "'prompt' is required and must not be empty"),
        ({"prompt": [1]}, "'prompt' takes text, an https URL or a file, not 1"),
        ({"prompt": []}, "'prompt' is missing"),
    ):
        with pytest.raises(InputError, match=words):
            await flora.runs.start_technique(technique_id="tech_many", inputs=inputs, check=True)
    assert fake.runs == ()


# --- what does not exist


async def test_the_error_for_a_misspelled_technique_names_the_nearest_one(fake: FakeFlora, flora: FloraSession) -> None:
    for call in (
        flora.techniques.retrieve("captoin"),
        flora.run("captoin", {"prompt": "x"}),
        flora.techniques.runs.create("captoin", inputs={"prompt": "x"}),
        flora.runs.start_technique(technique_id="tech_captoin", inputs={"prompt": "x"}),
    ):
        with pytest.raises(NotFoundError, match=r"no technique '(tech_)?captoin'.* mean 'tech_caption' \(Caption\)\?"):
            await call
    assert fake.runs == ()


@pytest.mark.parametrize("fault", [Status(500), Status(403), Status(429), Drop(acts=False), Garbage()], ids=repr)
async def test_a_hint_that_cannot_be_had_never_hides_the_refusal(
    fake: FakeFlora, flora: FloraSession, fault: Any
) -> None:
    fake.inject(fault, on="techniques.list", times=None)
    with pytest.raises(NotFoundError, match="there is no technique 'captoin' for this key") as caught:
        await flora.techniques.retrieve("captoin")
    (asked,) = [request for request in fake.requests if request.path.endswith("/captoin")]
    assert caught.value.request_id == asked.request_id
    assert asked.request_id in str(caught.value)
