"""Techniques: the workflows that runs are runs of."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen


@frozen
class TechniqueReference:
    """The technique that an item of the run history belongs to (FLORA's page "List technique run history").

    Attributes:
        technique_id: FLORA's id (`tech_…`).
        name: The technique's name.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> TechniqueReference(technique_id="tech_1", name="CCTV cam").name
        'CCTV cam'
    """

    technique_id: str = ""
    name: str = ""
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class TechniqueInput:
    """One input that a technique takes (FLORA's page "Get a technique").

    Attributes:
        id: What `inputs` of a start call it.
        name: What people call it.
        type: `text`, `imageUrl`, `videoUrl`, `audioUrl` or `documentUrl`; an unknown kind stays as it is.
        optional: Whether a start may leave it out.
        accepts_element: Whether an element's id can be its value.
        allow_multiple: Whether several values make several runs.
        description: What it is for.
        specified_aspect_ratio: The aspect ratio that it must have.
        specified_duration: The duration in seconds that it must have.
        extra: Fields that this version does not know, under FLORA's names.

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
class TechniqueOutput:
    """One output that a technique gives (FLORA's page "Get a technique").

    Attributes:
        id: The `output_id` of a run's output.
        name: What people call it.
        type: What it is; an unknown kind stays as it is.
        optional: Whether a run may lack it.
        accepts_element: Whether it is an element.
        allow_multiple: Whether a run may give several.
        description: What it is for.
        specified_aspect_ratio: The aspect ratio that it has.
        specified_duration: The duration in seconds that it has.
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
class Technique:
    """A technique: what it takes, what it gives, what a run of it costs (FLORA's page "Get a technique").

    Attributes:
        technique_id: FLORA's id (`tech_…`).
        name: What people call it.
        description: What it does.
        run_cost: What a run costs in USD; None when FLORA does not say.
        inputs: What a start has to give.
        outputs: What a completed run has.
        extra: Fields that this version does not know, under FLORA's names.

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
