"""Actions: the small prebuilt programs that FLORA runs on media and text."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from flora_async.models.catalog import ParameterOption


@frozen(kw_only=True)
class ActionReference:
    """The action that a run belongs to.

    Attributes:
        action_id: FLORA's slug; empty when FLORA does not say.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> ActionReference(action_id="rotate-image-browser").action_id
        'rotate-image-browser'
    """

    action_id: str = ""
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class SlotBounds:
    """How many values a slot takes.

    Attributes:
        min: The least; None = FLORA does not say.
        max: The most; None = FLORA does not say.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> SlotBounds(min=2).max is None
        True
    """

    min: int | None = None
    max: int | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ActionSlot:
    """One thing that an action takes or gives (FLORA's `GET /actions/{action_id}`).

    Attributes:
        name: What an `ActionInput` calls it.
        type: `image`, `video`, `audio` or `text`; an unknown kind stays as it is.
        optional: Whether it may stay empty. Bounds in `multiple` come before this.
        multiple: Whether it takes many values, and how many if FLORA bounds them.
        dynamic: FLORA's older word for `multiple`.
        extra: Fields that this version does not know, under FLORA's names.

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
class ActionParameter:
    """One setting of an action (FLORA's `GET /actions/{action_id}`).

    Attributes:
        key: The key in `params` of a run.
        type: The kind of control that FLORA's editor shows for it.
        label: What people call it.
        info_tooltip: What it does.
        default_value: The value when it is left out, of any JSON type.
        available_values: The values it may have; empty when any will do.
        min_number_value: The least number.
        max_number_value: The most.
        number_step: The step between two numbers.
        extra: Fields that this version does not know, under FLORA's names.

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
class Action:
    """An action: what it takes, what it gives, what a run of it costs (FLORA's `GET /actions/{action_id}`).

    Attributes:
        action_id: FLORA's slug, such as `rotate-image-browser`.
        name: What people call it.
        description: What it does.
        language: What it is written in: `javascript` or `python`.
        charged_cost: What a run costs in USD; None when FLORA does not say.
        inputs: What a run takes.
        outputs: What a run gives.
        params: What can be set.
        extra: Fields that this version does not know, under FLORA's names.

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
class ActionInput:
    """One value for a run of an action (FLORA's `POST /runs/action`).

    Attributes:
        type: `image`, `video`, `audio` or `text`.
        name: The slot it is for; None = the first that fits.
        text: The value of a text.
        url: The address of a medium.

    Example:
        >>> ActionInput(type="image", url="https://example.com/photo.png").text is None
        True
    """

    type: str
    name: str | None = None
    text: str | None = None
    url: str | None = None


@frozen(kw_only=True)
class ActionNode:
    """The canvas node that an action was placed as (FLORA's `POST /projects/{project_id}/actions`).

    Attributes:
        node_id: FLORA's id of the node, which `projects.actions.run` takes.
        action_id: The action it runs.
        project_id: The project it is in (`prj_…`).
        canvas_url: Where people see the canvas.
        extra: Fields that this version does not know, under FLORA's names.

    Example:
        >>> ActionNode(node_id="node_1", action_id="rotate-image-browser").action_id
        'rotate-image-browser'
    """

    node_id: str
    action_id: str = ""
    project_id: str = ""
    canvas_url: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
