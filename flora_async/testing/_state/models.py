"""Models and actions of the local FLORA, which generations and canvases run."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from flora_async.testing._state.work import Work, frozen_mapping, split_duration

OUTPUT_TYPES: Final = {"image": "imageUrl", "video": "videoUrl", "audio": "audioUrl", "text": "text"}
KINDS: Final = tuple(OUTPUT_TYPES)

_validate_kind = attrs.validators.in_(KINDS)
_validate_kinds = attrs.validators.deep_mapping(attrs.validators.instance_of(str), _validate_kind)


@attrs.frozen
class FakeModel(Work):
    """A model that generations can use.

    Args:
        model_id: The endpoint id, such as `flux-pro`.
        type: The medium of its output: `image`, `video`, `audio` or `text`. A text output consists of the model's
            name and the prompt.
        name: The title, by default derived from the id.
        provider: The company that provides it.
        capabilities: Its capabilities, such as `text_to_image`.
        params: Its parameters as FLORA's catalog describes them: `name`, `type`, `required` and more.
        run_cost: USD charged for a completed generation.
        quote: USD that the answer to a start states, by default `run_cost`.
        failed_cost: USD charged for a failed generation. FLORA refunds most of them, so the default is 0.
        estimated_credits: The price in the catalog, in credits of 0.001 USD; `None` for that of the quote. FLORA
            states 0 for models behind a gateway, although they are not free.
        pending: Seconds until a generation starts, as for `FakeTechnique`.
        running: Seconds from the start of a generation to its end, as for `FakeTechnique`.
        error_code: The error code of its generations, which then fail; or a function that is called once for
            each generation and returns `None` if it completes.
        error_message: The error message of its failed generations. Without an `error_code` all its generations fail.
        estimated_seconds: FLORA's estimate of the duration of a generation; `None` for no estimate.

    Raises:
        TypeError: A time is not a number.
        ValueError: The id is empty, FLORA does not have the type, or a time or the cost is negative or NaN.

    Example:
        >>> from flora_async.testing import FakeModel
        >>> FakeModel("veo-3", "video", estimated_seconds=420).name
        'Veo 3'
    """

    model_id: str = attrs.field(validator=attrs.validators.min_len(1))
    type: str = attrs.field(validator=_validate_kind)
    name: str = attrs.field(default=attrs.Factory(lambda model: _title(model.model_id), takes_self=True), kw_only=True)
    provider: str = attrs.field(default="local", kw_only=True)
    capabilities: Sequence[str] = attrs.field(default=(), kw_only=True)
    estimated_credits: int | None = attrs.field(default=None, kw_only=True)
    params: Sequence[Mapping[str, Any]] = attrs.field(default=(), kw_only=True)

    @property
    def ids(self) -> frozenset[str]:
        """Its id."""
        return frozenset({self.model_id})

    @property
    def input_types(self) -> Mapping[str, str]:
        """The prompt."""
        return {"prompt": "text"}

    @property
    def output_types(self) -> Mapping[str, str]:
        """The single output of a generation."""
        return {"output_1": OUTPUT_TYPES[self.type]}

    def reference(self) -> dict[str, Any]:
        """Return the field that names it in answers about its runs."""
        return {"model": {"model_id": self.model_id}}

    def payload(self) -> dict[str, Any]:
        """Return its entry in FLORA's catalog."""
        return {
            "model_id": self.model_id,
            "name": self.name,
            "provider": self.provider,
            "type": self.type,
            "capabilities": list(self.capabilities),
            "estimated_credits": round(self.price * 1000) if self.estimated_credits is None else self.estimated_credits,
            "estimated_seconds": self.estimated_seconds or 0,
            "params": [dict(param) for param in self.params],
        }


@attrs.frozen
class FakeAction(Work):
    """A built-in action, such as rotating an image.

    Args:
        action_id: The slug.
        inputs: Inputs, name → `image`, `video`, `audio` or `text`.
        outputs: Outputs, likewise.
        name: The title, by default derived from the slug.
        description: One sentence about it.
        params: Its parameters as FLORA's catalog describes them: `key`, `type` and more.
        run_cost: USD charged for a completed run.
        quote: USD that the catalog and the answer to a start state, by default `run_cost`.
        failed_cost: USD charged for a failed run. FLORA refunds most of them, so the default is 0.
        pending: Seconds until a run starts, as for `FakeTechnique`.
        running: Seconds from the start of a run to its end, as for `FakeTechnique`.
        error_code: The error code of its runs, which then fail; or a function that is called once for each
            run and returns `None` if it completes.
        error_message: The error message of its failed runs. Without an `error_code` all its runs fail.
        estimated_seconds: FLORA's estimate of the duration of a run; `None` for no estimate.

    Raises:
        TypeError: A time is not a number.
        ValueError: The slug is empty, FLORA does not have a type, or a time or the cost is negative or NaN.

    Example:
        >>> from flora_async.testing import FakeAction
        >>> FakeAction("reverse-video", inputs={"video": "video"}, outputs={"video": "video"}).name
        'Reverse video'
    """

    action_id: str = attrs.field(validator=attrs.validators.min_len(1))
    inputs: Mapping[str, str] = attrs.field(converter=frozen_mapping, validator=_validate_kinds, kw_only=True)
    outputs: Mapping[str, str] = attrs.field(converter=frozen_mapping, validator=_validate_kinds, kw_only=True)
    name: str = attrs.field(
        default=attrs.Factory(lambda action: _title(action.action_id), takes_self=True), kw_only=True
    )
    description: str = attrs.field(default="", kw_only=True)
    params: Sequence[Mapping[str, Any]] = attrs.field(default=(), kw_only=True)

    @property
    def ids(self) -> frozenset[str]:
        """Its id."""
        return frozenset({self.action_id})

    @property
    def input_types(self) -> Mapping[str, str]:
        """The inputs, id → type."""
        return self.inputs

    @property
    def output_types(self) -> Mapping[str, str]:
        """The outputs of a run, output id → type."""
        return {name: OUTPUT_TYPES[kind] for name, kind in self.outputs.items()}

    def reference(self) -> dict[str, Any]:
        """Return the field that names it in answers about its runs."""
        return {"action": {"action_id": self.action_id}}

    def payload(self) -> dict[str, Any]:
        """Return its entry in FLORA's catalog."""
        return {
            "action_id": self.action_id,
            "name": self.name,
            "description": self.description,
            "charged_cost": self.price,
            "language": "javascript",
            "inputs": [{"name": name, "type": kind} for name, kind in self.inputs.items()],
            "outputs": [{"name": name, "type": kind} for name, kind in self.outputs.items()],
            "params": [dict(param) for param in self.params],
        }


def _title(slug: str) -> str:
    return slug.removesuffix("-browser").replace("-", " ").capitalize()


def default_models(run_seconds: float) -> tuple[FakeModel, ...]:
    """Return the models of a new `FakeFlora`, one of each type, whose generations take `run_seconds` in all."""
    durations = split_duration(run_seconds)
    ratio = {
        "name": "aspect_ratio",
        "type": "string",
        "required": False,
        "default": "1:1",
        "options": [{"label": "Square", "value": "1:1"}, {"label": "Wide", "value": "16:9"}],
    }
    seed = {"name": "seed", "type": "seed", "required": False, "label": "Seed", "min": 0, "max": 2**31 - 1}
    params = {"image": (ratio, seed), "video": (ratio,)}
    models = (
        ("flux-pro", "image", "FLUX Pro", 0.05),
        ("veo-3", "video", "Veo 3", 0.5),
        ("narrator", "audio", "Narrator", 0.02),
        ("storyteller", "text", "Storyteller", 0.01),
    )
    return tuple(
        FakeModel(
            model_id,
            kind,
            name=name,
            capabilities=(f"text_to_{kind}",),
            params=params.get(kind, ()),
            run_cost=cost,
            estimated_seconds=run_seconds,
            **durations,
        )
        for model_id, kind, name, cost in models
    )


def default_actions(run_seconds: float) -> tuple[FakeAction, ...]:
    """Return the actions of a new `FakeFlora`, whose runs take `run_seconds` in all."""
    angle = {"key": "angle", "type": "number", "label": "Angle", "default_value": 90, "number_step": 1}
    separator = {"key": "separator", "type": "string", "label": "Separator", "default_value": ", "}
    actions = (
        ("rotate-image-browser", "image", "Rotates an image.", angle),
        ("concat-text-browser", "text", "Joins texts.", separator),
    )
    return tuple(
        FakeAction(
            action_id,
            inputs={kind: kind},
            outputs={kind: kind},
            description=description,
            params=(param,),
            run_cost=0.001,
            estimated_seconds=run_seconds,
            **split_duration(run_seconds),
        )
        for action_id, kind, description, param in actions
    )
