"""The catalog of generation models: what each takes, costs and needs."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen


@frozen(kw_only=True)
class ModelReference:
    """The model that a run belongs to.

    Attributes:
        model_id: FLORA's endpoint id, or None.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> ModelReference(model_id="flux-pro").model_id
        'flux-pro'
    """

    model_id: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ParameterOption:
    """One of the values that a parameter of a model or an action may have.

    Attributes:
        value: What to send.
        label: What people call it.
        description: What it does.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> ParameterOption(value="16:9", label="Wide").value
        '16:9'
    """

    value: str
    label: str = ""
    description: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ParameterRange:
    """The numbers that one property of an object parameter may have.

    Attributes:
        default: The number when it is left out.
        min: The least.
        max: The most.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> ParameterRange(default=0.5, min=0, max=1).default
        0.5
    """

    default: float | None = None
    min: float | None = None
    max: float | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ModelParameter:
    """One parameter that a model takes (FLORA's `GET /models`).

    Attributes:
        name: The key in `params` of a generation.
        type: `string`, `string[]`, `bool`, `int`, `int?`, `seed`, `float` or `dict`; an unknown kind stays as it is.
        required: Whether a generation has to give it.
        default: The value when it is left out, of any JSON type.
        label: What people call it.
        description: What it does.
        min: The least number.
        max: The most.
        options: The values it may have; empty when any value of its type will do.
        properties: Of an object: the range of each of its numbers, by FLORA's names.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> ModelParameter(name="aspect_ratio", type="string", default="1:1").required
        False
    """

    name: str
    type: str = ""
    required: bool = False
    default: Any = field(default=None, hash=False)
    label: str | None = None
    description: str | None = None
    min: float | None = None
    max: float | None = None
    options: tuple[ParameterOption, ...] = ()
    properties: Mapping[str, ParameterRange] = field(factory=dict, hash=False)
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class GenerationModel:
    """A model that generations can use (FLORA's `GET /models`).

    Attributes:
        model_id: FLORA's endpoint id, which `generations.create` takes as `model`.
        name: What people call it.
        type: `image`, `video`, `audio` or `text`; an unknown kind stays as it is.
        provider: Who made it.
        capabilities: What it can do, in FLORA's words.
        estimated_seconds: How long a generation is expected to take.
        estimated_credits: How many of FLORA's credits it is expected to cost.
        params: What it takes besides the prompt.
        beta: Whether FLORA calls it unfinished.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> GenerationModel(model_id="flux-pro", type="image", estimated_seconds=20).estimated_seconds
        20
    """

    model_id: str
    name: str = ""
    type: str = ""
    provider: str = ""
    capabilities: tuple[str, ...] = ()
    estimated_seconds: float | None = None
    estimated_credits: float | None = None
    params: tuple[ModelParameter, ...] = ()
    beta: bool = False
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
