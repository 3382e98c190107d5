"""Techniques of the local FLORA: what they take, what they give, how long they run and how they end."""

from collections.abc import Mapping
from typing import Any

import attrs

from flora_async.testing._state.work import Work, frozen_mapping, timing

_INPUT_TYPES = {"text", "imageUrl", "videoUrl"}


def _known_types(_: object, attribute: "attrs.Attribute[Any]", value: Mapping[str, str]) -> None:
    if unknown := set(value.values()) - _INPUT_TYPES:
        raise ValueError(f"{attribute.name} must be of types text, imageUrl or videoUrl, not {sorted(unknown)}")


def _title(technique: "FakeTechnique") -> str:
    return technique.slug.replace("-", " ").capitalize()


def _public_id(technique: "FakeTechnique") -> str:
    return f"tech_{technique.slug.replace('-', '_')}"


@attrs.frozen
class FakeTechnique(Work):
    """A technique that the local FLORA can run.

    Its runs complete, unless it has an `error_code` or an `error_message`: then they fail with those.

    Args:
        slug: The readable name in addresses.
        technique_id: The public id, by default `tech_` and the slug.
        name: The title, by default made from the slug.
        inputs: Required inputs, id → type (`text`, `imageUrl`, `videoUrl`).
        optional_inputs: Inputs that a start request may leave out, id → type.
        outputs: Outputs, id → type. A `text` output says the technique's name and the values it was given;
            for `imageUrl`, `videoUrl`, `audioUrl` and `documentUrl` the media host has a small file.
        run_cost: USD charged for a run that completes.
        pending: Seconds before a run begins; `math.inf` holds it until `FakeFlora.finish`.
        running: Seconds from its beginning to its end, `math.inf` likewise; or a function that draws them for each run.
        error_code: Why its runs fail, for machines.
        error_message: Why its runs fail, for people.
        estimated_seconds: How long FLORA says a run takes; `None` if it does not say.
        workspace_id: The workspace its runs are listed under.
        project_id: The project its runs are listed under.

    Raises:
        TypeError: A time is not a number.
        ValueError: The slug is empty, an input type is not one of FLORA's, or a time or the cost is negative
            or NaN.

    Example:
        >>> from flora_async.testing import FakeTechnique
        >>> FakeTechnique("slow-film", outputs={"film": "videoUrl"}, running=600).name
        'Slow film'
    """

    slug: str = attrs.field(validator=attrs.validators.min_len(1))
    technique_id: str = attrs.field(default=attrs.Factory(_public_id, takes_self=True), kw_only=True)
    name: str = attrs.field(default=attrs.Factory(_title, takes_self=True), kw_only=True)
    inputs: Mapping[str, str] = attrs.field(
        factory=lambda: {"prompt": "text"}, converter=frozen_mapping, validator=_known_types, kw_only=True
    )
    optional_inputs: Mapping[str, str] = attrs.field(
        factory=dict, converter=frozen_mapping, validator=_known_types, kw_only=True
    )
    outputs: Mapping[str, str] = attrs.field(
        factory=lambda: {"output_1": "imageUrl"}, converter=frozen_mapping, kw_only=True
    )
    workspace_id: str = attrs.field(default="ws_local", kw_only=True)
    project_id: str = attrs.field(default="prj_local", kw_only=True)

    @property
    def gives(self) -> Mapping[str, str]:
        """The outputs of a run."""
        return self.outputs

    def reference(self) -> dict[str, Any]:
        """How the answer to a start names it."""
        return {"technique": {"technique_id": self.technique_id, "name": self.name}}

    def payload(self) -> dict[str, Any]:
        """What FLORA answers about it."""
        inputs = [(name, kind, False) for name, kind in self.inputs.items()]
        inputs += [(name, kind, True) for name, kind in self.optional_inputs.items()]
        return {
            "technique_id": self.technique_id,
            "name": self.name,
            "run_cost": self.run_cost,
            "inputs": [
                {"id": name, "name": name, "type": kind, "optional": left_out} for name, kind, left_out in inputs
            ],
            "outputs": [{"id": name, "name": name, "type": kind} for name, kind in self.outputs.items()],
        }


def ready_techniques(run_seconds: float, workspace_id: str = "ws_local") -> tuple[FakeTechnique, ...]:
    """The techniques of a new `FakeFlora`, whose runs take `run_seconds` in all."""
    times = timing(run_seconds)
    techniques = (
        FakeTechnique("cctv-cam", name="CCTV cam", inputs={"input_image": "imageUrl"}, **times),
        FakeTechnique("caption", outputs={"output_1": "text"}, run_cost=0.01, **times),
        FakeTechnique(
            "always-fails",
            error_code="safety_blocked",
            error_message="The request was blocked by the safety system.",
            **times,
        ),
    )
    return tuple(attrs.evolve(technique, workspace_id=workspace_id) for technique in techniques)
