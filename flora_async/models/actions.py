"""Actions: small prebuilt programs that process media and text."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from flora_async.models._model import Model
from flora_async.models.catalog import ParameterOption


@frozen(kw_only=True)
class ActionReference(Model):
    """The action that a run belongs to.

    Attributes:
        action_id: FLORA's slug; empty when it is not known.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> ActionReference(action_id="rotate-image-browser").action_id
        'rotate-image-browser'
    """

    action_id: str = ""
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class SlotBounds(Model):
    """The number of values that a slot takes.

    Attributes:
        min: The minimum, or None.
        max: The maximum, or None.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> SlotBounds(min=2).max is None
        True
    """

    min: int | None = None
    max: int | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ActionSlot(Model):
    """An input or output of an action (FLORA's `GET /actions/{action_id}`).

    Attributes:
        name: The name that an `ActionInput` uses; it may be empty.
        type: `image`, `video`, `audio` or `text`; other values are possible.
        optional: Whether it may be left out. Bounds in `multiple` take precedence.
        multiple: Whether it takes several values, and within which bounds where FLORA has any.
        dynamic: FLORA's older name for `multiple`.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> ActionSlot(name="image", type="image").multiple
        False
    """

    name: str
    type: str = ""
    optional: bool = False
    multiple: bool | SlotBounds = False
    dynamic: bool = False
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ActionParameter(Model):
    """A parameter of an action (FLORA's `GET /actions/{action_id}`).

    Attributes:
        key: The key in `params` of a run.
        type: The kind of control in FLORA's editor.
        label: The display name.
        info_tooltip: A description.
        default_value: The value used when it is left out, of any JSON type.
        available_values: The values it accepts; empty = any.
        min_number_value: The minimum.
        max_number_value: The maximum.
        number_step: The step between two numbers.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> ActionParameter(key="angle", type="number", default_value=90).default_value
        90
    """

    key: str
    type: str = ""
    label: str | None = None
    info_tooltip: str | None = None
    default_value: Any = field(default=None, hash=False)
    available_values: tuple[ParameterOption, ...] = ()
    min_number_value: float | None = None
    max_number_value: float | None = None
    number_step: float | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class Action(Model):
    """An action, with its inputs, outputs, parameters and price (FLORA's `GET /actions/{action_id}`).

    Attributes:
        action_id: FLORA's slug, such as `rotate-image-browser`.
        name: The display name.
        description: A description.
        language: Its programming language: `javascript` or `python`.
        charged_cost: The price of a run in USD, or None.
        inputs: The inputs of a run.
        outputs: The outputs of a run.
        params: The parameters of a run.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> Action(action_id="rotate-image-browser", charged_cost=0.0).charged_cost
        0.0
    """

    action_id: str
    name: str = ""
    description: str | None = None
    language: str = ""
    charged_cost: float | None = None
    inputs: tuple[ActionSlot, ...] = ()
    outputs: tuple[ActionSlot, ...] = ()
    params: tuple[ActionParameter, ...] = ()
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ActionInput(Model):
    """One value for a run of an action (FLORA's `POST /runs/action`).

    Attributes:
        type: `image`, `video`, `audio` or `text`.
        name: The slot; None = the first one that fits.
        text: The value, for `text`.
        url: The URL of an image, video or audio file.

    Example:
        >>> ActionInput(type="image", url="https://example.com/photo.png").text is None
        True
    """

    type: str
    name: str | None = None
    text: str | None = None
    url: str | None = None


@frozen(kw_only=True)
class ActionNode(Model):
    """The canvas node created for an action (FLORA's `POST /projects/{project_id}/actions`).

    Attributes:
        node_id: FLORA's id of the node, which `projects.actions.run` takes.
        action_id: The action of the node.
        project_id: The project it is in (`prj_…`).
        canvas_url: The URL of the canvas in FLORA's editor.
        extra: Unknown fields and unreadable values, under FLORA's names.

    Example:
        >>> ActionNode(node_id="node_1", action_id="rotate-image-browser").action_id
        'rotate-image-browser'
    """

    node_id: str
    action_id: str = ""
    project_id: str = ""
    canvas_url: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
