"""The catalog of generation models, with their parameters."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from flora_async.models._model import Model


@frozen(kw_only=True)
class ModelReference(Model):
    """The model that a run belongs to.

    Attributes:
        model_id: FLORA's endpoint id, or None.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> ModelReference(model_id="flux-pro").model_id
        'flux-pro'
    """

    model_id: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ParameterOption(Model):
    """A value that a parameter of a model or action accepts.

    Attributes:
        value: The value to send; it may be empty.
        label: The display name.
        description: A description.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> ParameterOption(value="16:9", label="Wide").value
        '16:9'
    """

    value: str
    label: str = ""
    description: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ParameterRange(Model):
    """The range of a number inside an object parameter.

    Attributes:
        default: The number used when it is left out.
        min: The minimum.
        max: The maximum.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> ParameterRange(default=0.5, min=0, max=1).default
        0.5
    """

    default: float | None = None
    min: float | None = None
    max: float | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ModelParameter(Model):
    """A parameter of a model (FLORA's `GET /models`).

    Attributes:
        name: The key in the `params` of a generation.
        type: `string`, `string[]`, `bool`, `int`, `int?`, `seed`, `float` or `dict`; other values are possible.
        required: Whether a generation must set it.
        default: The value used when it is left out, of any JSON type.
        label: The display name.
        description: A description.
        min: The minimum, for numbers.
        max: The maximum.
        options: The values it accepts; empty = any value of its type.
        properties: The range of each number of an object, under FLORA's names.
        extra: Unknown fields and unreadable values, under FLORA's names.

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
class GenerationModel(Model):
    """A model for generations (FLORA's `GET /models`).

    Attributes:
        model_id: FLORA's endpoint id, which `generations.create` takes as `model`.
        name: The display name.
        type: `image`, `video`, `audio` or `text`; other values are possible.
        provider: The company behind it.
        capabilities: Its capabilities, under FLORA's names.
        estimated_seconds: The expected duration of a generation in seconds.
        estimated_credits: The expected price in FLORA's credits; 0 does not mean that it is free.
        params: Its parameters besides the prompt.
        beta: Whether FLORA marks it as beta.
        extra: Unknown fields and unreadable values, under FLORA's names.

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
