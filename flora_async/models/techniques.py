"""Techniques: the workflows that runs execute."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from flora_async.models._model import Model


@frozen
class TechniqueReference(Model):
    """The technique of a run in the history (FLORA's page "List technique run history").

    Attributes:
        technique_id: FLORA's id (`tech_…`).
        name: The technique's name.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> TechniqueReference(technique_id="tech_1", name="CCTV cam").name
        'CCTV cam'
    """

    technique_id: str = ""
    name: str = ""
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class TechniqueInput(Model):
    """An input of a technique (FLORA's page "Get a technique").

    Attributes:
        id: The name of the input in the `inputs` of a start.
        name: The display name.
        type: `text`, `imageUrl`, `videoUrl`, `audioUrl` or `documentUrl`; other values are possible.
        optional: Whether a start may leave it out.
        accepts_element: Whether its value can be the id of an element.
        allow_multiple: Whether a list of values is accepted, which starts several runs.
        description: Its purpose.
        specified_aspect_ratio: The required aspect ratio.
        specified_duration: The required duration in seconds.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> TechniqueInput(id="prompt", type="text").optional
        False
    """

    id: str
    name: str = ""
    type: str = ""
    optional: bool = False
    accepts_element: bool = False
    allow_multiple: bool = False
    description: str | None = None
    specified_aspect_ratio: str | None = None
    specified_duration: float | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class TechniqueOutput(Model):
    """An output of a technique (FLORA's page "Get a technique").

    Attributes:
        id: The `output_id` of a run's output.
        name: The display name.
        type: Its kind, as for inputs; other values are possible.
        optional: Whether a run can complete without it.
        accepts_element: FLORA's flag of the same name, as for inputs.
        allow_multiple: FLORA's flag of the same name, as for inputs.
        description: Its purpose.
        specified_aspect_ratio: The aspect ratio of the output.
        specified_duration: The duration of the output in seconds.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> TechniqueOutput(id="image", type="imageUrl").name
        ''
    """

    id: str
    name: str = ""
    type: str = ""
    optional: bool = False
    accepts_element: bool = False
    allow_multiple: bool = False
    description: str | None = None
    specified_aspect_ratio: str | None = None
    specified_duration: float | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class Technique(Model):
    """A technique, with its inputs, outputs and price (FLORA's page "Get a technique").

    Attributes:
        technique_id: FLORA's id (`tech_…`).
        name: The display name.
        description: A description.
        run_cost: The price of a run in USD, or None.
        inputs: The inputs of a run.
        outputs: The outputs of a completed run.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> Technique(technique_id="tech_1", run_cost=0.05).run_cost
        0.05
    """

    technique_id: str
    name: str = ""
    description: str | None = None
    run_cost: float | None = None
    inputs: tuple[TechniqueInput, ...] = ()
    outputs: tuple[TechniqueOutput, ...] = ()
    extra: Mapping[str, Any] = field(factory=dict, hash=False)

    def _repr_html_(self) -> str:
        from flora_async.models._display import technique_html  # noqa: PLC0415 - for notebooks alone

        return technique_html(self)
