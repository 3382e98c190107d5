"""Techniques of the local FLORA."""

from collections.abc import Collection, Mapping
from typing import Any

import attrs

from flora_async.testing._state.work import Work, frozen_mapping, split_duration

_INPUT_TYPES = {"text", "imageUrl", "videoUrl"}


def _validate_input_types(_: object, attribute: "attrs.Attribute[Any]", value: Mapping[str, str]) -> None:
    if unknown := set(value.values()) - _INPUT_TYPES:
        raise ValueError(f"{attribute.name} must be of types text, imageUrl or videoUrl, not {sorted(unknown)}")


def _validate_input_ids(technique: "FakeTechnique", attribute: "attrs.Attribute[Any]", value: Collection[str]) -> None:
    if unknown := set(value) - technique.input_types.keys():
        raise ValueError(f"{attribute.name} must have ids of inputs, not {sorted(unknown)}")


def _default_name(technique: "FakeTechnique") -> str:
    return technique.slug.replace("-", " ").capitalize()


def _default_id(technique: "FakeTechnique") -> str:
    return f"tech_{technique.slug.replace('-', '_')}"


@attrs.frozen
class FakeTechnique(Work):
    """A technique that the local FLORA can run.

    Its runs complete, unless it has an `error_code` or an `error_message`: then they fail with those.

    Args:
        slug: The readable name in URLs.
        technique_id: The public id, by default `tech_` and the slug.
        name: The title, by default derived from the slug.
        inputs: Required inputs, id → type (`text`, `imageUrl`, `videoUrl`).
        optional_inputs: Optional inputs, id → type.
        allow_multiple: The ids of inputs that take a list of values in `POST /runs/technique`. There is one run for
            each value; with several lists there is one for each combination.
        accepts_element: The ids of inputs that take the id of an element.
        outputs: Outputs, id → type. A `text` output consists of the technique's name and the values of the inputs;
            for `imageUrl`, `videoUrl`, `audioUrl` and `documentUrl` the storage host has a small file.
        run_cost: USD charged for a completed run.
        quote: USD that the catalog and the answers to starts state as `run_cost` and `charged_cost`; `None` for
            `run_cost`, and no `charged_cost` in the answer to `POST /techniques/{technique_id}/runs`.
        failed_cost: USD charged for a failed run. FLORA refunds most of them, so the default is 0.
        pending: Seconds until a run starts; `math.inf` keeps it pending until `FakeFlora.finish`.
        running: Seconds from the start of a run to its end, `math.inf` likewise; or a function that is called once for
            each run.
        error_code: The error code of its runs, which then fail; or a function that is called once for each
            run and returns `None` if it completes.
        error_message: The error message of its failed runs. Without an `error_code` all its runs fail.
        estimated_seconds: FLORA's estimate of the duration of a run; `None` for no estimate.
        workspace_id: The workspace that its runs belong to.
        project_id: The project that its runs belong to.

    Raises:
        TypeError: A time is not a number.
        ValueError: The slug is empty, FLORA does not have an input type, there is no such input, or a time or a cost is
            negative or NaN.

    Example:
        >>> from flora_async.testing import FakeTechnique
        >>> FakeTechnique("slow-film", outputs={"film": "videoUrl"}, running=600).name
        'Slow film'
    """

    slug: str = attrs.field(validator=attrs.validators.min_len(1))
    technique_id: str = attrs.field(default=attrs.Factory(_default_id, takes_self=True), kw_only=True)
    name: str = attrs.field(default=attrs.Factory(_default_name, takes_self=True), kw_only=True)
    inputs: Mapping[str, str] = attrs.field(
        factory=lambda: {"prompt": "text"}, converter=frozen_mapping, validator=_validate_input_types, kw_only=True
    )
    optional_inputs: Mapping[str, str] = attrs.field(
        factory=dict, converter=frozen_mapping, validator=_validate_input_types, kw_only=True
    )
    allow_multiple: Collection[str] = attrs.field(default=(), validator=_validate_input_ids, kw_only=True)
    accepts_element: Collection[str] = attrs.field(default=(), validator=_validate_input_ids, kw_only=True)
    outputs: Mapping[str, str] = attrs.field(
        factory=lambda: {"output_1": "imageUrl"}, converter=frozen_mapping, kw_only=True
    )
    workspace_id: str = attrs.field(default="ws_local", kw_only=True)
    project_id: str = attrs.field(default="prj_local", kw_only=True)

    @property
    def ids(self) -> frozenset[str]:
        """Its slug and its public id."""
        return frozenset({self.slug, self.technique_id})

    @property
    def output_types(self) -> Mapping[str, str]:
        """The outputs of a run, output id → type."""
        return self.outputs

    @property
    def input_types(self) -> Mapping[str, str]:
        """All inputs, id → type."""
        return {**self.inputs, **self.optional_inputs}

    def reference(self) -> dict[str, Any]:
        """Return the field that names it in answers about its runs."""
        return {"technique": {"technique_id": self.technique_id, "name": self.name}}

    def payload(self) -> dict[str, Any]:
        """Return FLORA's description of it."""
        return {
            "technique_id": self.technique_id,
            "name": self.name,
            "run_cost": self.price,
            "inputs": [
                {
                    "id": name,
                    "name": name,
                    "type": type_,
                    "optional": name in self.optional_inputs,
                    "allow_multiple": name in self.allow_multiple,
                    "accepts_element": name in self.accepts_element,
                }
                for name, type_ in self.input_types.items()
            ],
            "outputs": [{"id": name, "name": name, "type": type_} for name, type_ in self.outputs.items()],
        }


def default_techniques(run_seconds: float, workspace_id: str = "ws_local") -> tuple[FakeTechnique, ...]:
    """Return the techniques of a new `FakeFlora`, whose runs take `run_seconds` in all."""
    durations = split_duration(run_seconds)
    techniques = (
        FakeTechnique("cctv-cam", name="CCTV cam", inputs={"input_image": "imageUrl"}, **durations),
        FakeTechnique("caption", outputs={"output_1": "text"}, run_cost=0.01, **durations),
        FakeTechnique(
            "always-fails",
            error_code="safety_blocked",
            error_message="The request was blocked by the safety system.",
            **durations,
        ),
    )
    return tuple(attrs.evolve(technique, workspace_id=workspace_id) for technique in techniques)
