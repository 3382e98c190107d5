"""Models and actions of the local FLORA: what generations and canvases run."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from flora_async.testing._state.work import Work, frozen_mapping, timing

OUTPUT_TYPES: Final = {"image": "imageUrl", "video": "videoUrl", "audio": "audioUrl", "text": "text"}
KINDS: Final = tuple(OUTPUT_TYPES)

_kind = attrs.validators.in_(KINDS)
_kinds = attrs.validators.deep_mapping(attrs.validators.instance_of(str), _kind)


@attrs.frozen
class FakeModel(Work):
    """A model that generations can ask for.

    Args:
        model_id: The endpoint id, such as `flux-pro`.
        type: What it makes: `image`, `video`, `audio` or `text`. A text says the model's name and the prompt.
        name: The title, by default made from the id.
        provider: Who makes it.
        capabilities: What it can do, in FLORA's words.
        params: The parameters it describes, each as in FLORA's catalogue: `name`, `type`, `required` and more.
        run_cost: USD charged for a generation that completes.
        pending: Seconds before a generation begins, as for `FakeTechnique`.
        running: Seconds from its beginning to its end, as for `FakeTechnique`.
        error_code: Why its generations fail, for machines.
        error_message: Why its generations fail, for people.
        estimated_seconds: How long FLORA says a generation takes; `None` if it does not say.

    Raises:
        TypeError: A time is not a number.
        ValueError: The id is empty, the type is not one of FLORA's, or a time or the cost is negative or NaN.

    Example:
        >>> from flora_async.testing import FakeModel
        >>> FakeModel("veo-3", "video", estimated_seconds=420).name
        'Veo 3'
    """

    model_id: str = attrs.field(validator=attrs.validators.min_len(1))
    type: str = attrs.field(validator=_kind)
    name: str = attrs.field(default=attrs.Factory(lambda model: _words(model.model_id), takes_self=True), kw_only=True)
    provider: str = attrs.field(default="local", kw_only=True)
    capabilities: Sequence[str] = attrs.field(default=(), kw_only=True)
    params: Sequence[Mapping[str, Any]] = attrs.field(default=(), kw_only=True)

    @property
    def gives(self) -> Mapping[str, str]:
        """The one output of a generation."""
        return {"output_1": OUTPUT_TYPES[self.type]}

    def reference(self) -> dict[str, Any]:
        """How the answer to a start names it."""
        return {"model": {"model_id": self.model_id}}

    def payload(self) -> dict[str, Any]:
        """What FLORA's catalogue says about it."""
        return {
            "model_id": self.model_id,
            "name": self.name,
            "provider": self.provider,
            "type": self.type,
            "capabilities": list(self.capabilities),
            "estimated_credits": round(self.run_cost * 100),
            "estimated_seconds": self.estimated_seconds or 0,
            "params": [dict(param) for param in self.params],
        }


@attrs.frozen
class FakeAction(Work):
    """A ready-made action, such as turning an image.

    Args:
        action_id: The slug.
        inputs: What it takes, name → `image`, `video`, `audio` or `text`.
        outputs: What it gives, name → likewise.
        name: The title, by default made from the slug.
        description: What it does.
        params: The parameters it describes, each as in FLORA's catalogue: `key`, `type` and more.
        run_cost: USD charged for a run that completes.
        pending: Seconds before a run begins, as for `FakeTechnique`.
        running: Seconds from its beginning to its end, as for `FakeTechnique`.
        error_code: Why its runs fail, for machines.
        error_message: Why its runs fail, for people.
        estimated_seconds: How long FLORA says a run takes; `None` if it does not say.

    Raises:
        TypeError: A time is not a number.
        ValueError: The slug is empty, a type is not one of FLORA's, or a time or the cost is negative or NaN.

    Example:
        >>> from flora_async.testing import FakeAction
        >>> FakeAction("reverse-video", inputs={"video": "video"}, outputs={"video": "video"}).name
        'Reverse video'
    """

    action_id: str = attrs.field(validator=attrs.validators.min_len(1))
    inputs: Mapping[str, str] = attrs.field(converter=frozen_mapping, validator=_kinds, kw_only=True)
    outputs: Mapping[str, str] = attrs.field(converter=frozen_mapping, validator=_kinds, kw_only=True)
    name: str = attrs.field(
        default=attrs.Factory(lambda action: _words(action.action_id), takes_self=True), kw_only=True
    )
    description: str = attrs.field(default="", kw_only=True)
    params: Sequence[Mapping[str, Any]] = attrs.field(default=(), kw_only=True)

    @property
    def gives(self) -> Mapping[str, str]:
        """The outputs of a run."""
        return {name: OUTPUT_TYPES[kind] for name, kind in self.outputs.items()}

    def reference(self) -> dict[str, Any]:
        """How the answer to a start names it."""
        return {"action": {"action_id": self.action_id}}

    def payload(self) -> dict[str, Any]:
        """What FLORA's catalogue says about it."""
        return {
            "action_id": self.action_id,
            "name": self.name,
            "description": self.description,
            "charged_cost": self.run_cost,
            "language": "javascript",
            "inputs": [{"name": name, "type": kind} for name, kind in self.inputs.items()],
            "outputs": [{"name": name, "type": kind} for name, kind in self.outputs.items()],
            "params": [dict(param) for param in self.params],
        }


def _words(slug: str) -> str:
    return slug.removesuffix("-browser").replace("-", " ").capitalize()


def ready_models(run_seconds: float) -> tuple[FakeModel, ...]:
    """The models of a new `FakeFlora`, one of each type, whose generations take `run_seconds` in all."""
    times = timing(run_seconds)
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
            **times,
        )
        for model_id, kind, name, cost in models
    )


def ready_actions(run_seconds: float) -> tuple[FakeAction, ...]:
    """The actions of a new `FakeFlora`, whose runs take `run_seconds` in all."""
    angle = {"key": "angle", "type": "number", "label": "Angle", "default_value": 90, "number_step": 1}
    separator = {"key": "separator", "type": "string", "label": "Separator", "default_value": ", "}
    actions = (
        ("rotate-image-browser", "image", "Turns an image.", angle),
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
            **timing(run_seconds),
        )
        for action_id, kind, description, param in actions
    )
