"""Check the arguments of a generation or an action against the catalog, before money is spent.

FLORA accepts a parameter whose name or value a model does not know, runs with the model's default, and charges for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, field, frozen

from flora_async.errors import FieldError
from flora_async.media.content import Content, is_file_source
from flora_async.resources._hints import did_you_mean, join_names, nearest
from flora_async.resources._prepare import InputPreparer, medium_problem, read_value

if TYPE_CHECKING:
    from flora_async import models

_IMAGE_URL: Final = ("image_url", "imageUrl", False)
# Parameters for media depend on the model's family, and are not in the catalog: name, kind, whether it is a list.
_FAMILIES: Final = {
    "i2i-": _IMAGE_URL,
    "i2v-": _IMAGE_URL,
    "i2t-": ("image_urls", "imageUrl", True),
    "v2t-": ("video_urls", "videoUrl", True),
}
_MEDIA_NAMES: Final = frozenset(name for name, _, _ in _FAMILIES.values()) | {"video_url"}
_MAX_DEPTH: Final = 100
_SLOT_KINDS: Final = {"image": "imageUrl", "video": "videoUrl", "audio": "audioUrl"}


async def read_files(name: str, value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON value
    """Copy a mapping or list, reading each file in it, at any depth, as content that can be uploaded.

    Raises:
        ValueError: It contains itself, or is nested too deeply; a text cannot be meant, or a file cannot be uploaded.
        OSError: A file cannot be read.
    """
    if depth > _MAX_DEPTH:
        raise ValueError(f"{name:.60}… is nested more than {_MAX_DEPTH} levels deep, or contains itself")
    if isinstance(value, Mapping):
        return {key: await read_files(f"{name}[{key!r}]", item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [await read_files(f"{name}[{number}]", item, depth + 1) for number, item in enumerate(value)]
    return await read_value(name, value) if isinstance(value, str) or is_file_source(value) else value


async def upload_files(value: Any, preparer: InputPreparer, workspace_id: str | None) -> Any:  # noqa: ANN401 - any JSON value
    """Upload the files in a value, and return it with their URLs in their place."""
    if isinstance(value, Mapping):
        return {key: await upload_files(item, preparer, workspace_id) for key, item in value.items()}
    if isinstance(value, list):
        return [await upload_files(item, preparer, workspace_id) for item in value]
    return await preparer.sendable(value, workspace_id) if isinstance(value, Content) else value


def generation_problems(
    catalog: "Mapping[str, models.GenerationModel]", medium: str, model_id: str | None, params: Mapping[str, Any]
) -> list[FieldError]:
    """What is wrong with the model and the parameters of a generation."""
    if model_id is None:
        # Which model FLORA chooses is not known before the run is paid for.
        return [FieldError("model", f"is needed, as params are: {', '.join(params)}")] if params else []
    model = catalog.get(model_id)
    if model is None:
        of_type = [known.model_id for known in catalog.values() if known.type == medium]
        near = nearest(model_id, of_type) or nearest(model_id, catalog)
        hint = f"did you mean {near!r}?" if near else f"models.list(type={medium!r}) lists them"
        return [FieldError("model", f"{model_id!r:.60} is unknown: {hint}")]
    problems = []
    if model.type and model.type != medium:
        problems.append(FieldError("type", f"is {medium!r}, but {model_id!r:.60} makes {model.type}"))
    return problems + list(_parameter_problems(model, params))


def _parameter_problems(model: "models.GenerationModel", params: Mapping[str, Any]) -> Iterator[FieldError]:
    known = {param.name: param for param in model.params}
    medium = next((rule for prefix, rule in _FAMILIES.items() if model.model_id.startswith(prefix)), None)
    names = [*known, *([medium[0]] if medium else [])]
    for name, value in params.items():
        if name in known:
            why = _value_problem(_Rule.of_model(known[name]), value)
        elif medium is not None and name == medium[0]:
            why = _media_problem(medium[1], value, is_list=medium[2])
        elif name in _MEDIA_NAMES:
            takes = f"it takes {medium[0]!r}" if medium else f"models that take media begin with {', '.join(_FAMILIES)}"
            why = f"is ignored by this model: {takes}"
        else:
            why = f"is unknown: {did_you_mean(name, names)}"
        if why is not None:
            yield FieldError(name, why)
    for name, param in known.items():
        if param.required and name not in params:
            yield FieldError(name, "is missing")


def _media_problem(kind: str, value: object, *, is_list: bool) -> str | None:
    if not is_list:
        return _medium_problem(kind, value) if not isinstance(value, list) else "takes one URL as text, not a list"
    if not isinstance(value, list):
        return "takes a list of URLs"
    return next((why for item in value if (why := _medium_problem(kind, item)) is not None), None)


def _medium_problem(kind: str, value: object) -> str | None:
    if not isinstance(value, str | Content):
        return f"takes an https URL or a file, not {value!r:.40}"
    return medium_problem(value, kind)


def action_problems(
    action: "models.Action", inputs: Sequence[Mapping[str, Any]], params: Mapping[str, Any]
) -> list[FieldError]:
    """What is wrong with the inputs and the settings of an action."""
    problems = list(_slot_problems(action, inputs)) if action.inputs else []
    known = {param.key: param for param in action.params}
    for name, value in params.items():
        why = (
            _value_problem(_Rule.of_action(known[name]), value)
            if name in known
            else f"is unknown: {did_you_mean(name, known)}"
        )
        if why is not None:
            problems.append(FieldError(name, why))
    return problems


def _slot_problems(action: "models.Action", inputs: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    slots = {slot.name: slot for slot in action.inputs}
    filled = dict.fromkeys(slots, 0)
    for number, given in enumerate(inputs):
        path, kind, name = f"inputs[{number}]", given.get("type"), given.get("name")
        slot = slots.get(name) if isinstance(name, str) else _free_slot(action, filled, kind)
        if slot is None:
            kinds = ", ".join(dict.fromkeys(item.type for item in action.inputs))
            yield FieldError(
                path,
                f"there is no free slot for {kind!r:.40}: it takes {kinds}"
                if name is None
                else f"slot {name!r:.40} is unknown: {did_you_mean(str(name), slots)}",
            )
            continue
        filled[slot.name] += 1
        why = _slot_problem(slot, given)
        if why is not None:
            yield FieldError(path, why)
    for slot in action.inputs:
        low, high = _bounds(slot)
        if filled[slot.name] < low:
            yield FieldError(slot.name, "is missing" if low == 1 else f"takes at least {low} values")
        elif high is not None and filled[slot.name] > high:
            yield FieldError(slot.name, f"takes at most {high} value{'s' * (high != 1)}, not {filled[slot.name]}")


def _free_slot(action: "models.Action", filled: Mapping[str, int], kind: object) -> "models.ActionSlot | None":
    """The first slot of a kind that has room, as FLORA fills inputs without a name."""
    for slot in action.inputs:
        high = _bounds(slot)[1]
        if slot.type == kind and (high is None or filled[slot.name] < high):
            return slot
    return None


def _bounds(slot: "models.ActionSlot") -> tuple[int, int | None]:
    minimum = 0 if slot.optional else 1
    if isinstance(slot.multiple, bool):
        return minimum, None if slot.multiple or slot.dynamic else 1
    return minimum if slot.multiple.min is None else slot.multiple.min, slot.multiple.max


def _slot_problem(slot: "models.ActionSlot", given: Mapping[str, Any]) -> str | None:
    kind = given.get("type")
    if slot.type and kind != slot.type:
        return f"is {kind!r:.40}, but slot {slot.name!r:.40} takes {slot.type}"
    if kind == "text":
        return None if isinstance(given.get("text"), str) else "has no text"
    if kind not in _SLOT_KINDS:
        return None
    url = given.get("url")
    return "has no url" if url is None else _medium_problem(_SLOT_KINDS[kind], url)


@frozen
class _Rule:
    """What a parameter takes, whether a model or an action has it."""

    kind: str
    options: "tuple[models.ParameterOption, ...]"
    low: float | None
    high: float | None
    properties: "Mapping[str, models.ParameterRange]" = field(factory=dict)

    @classmethod
    def of_model(cls, param: "models.ModelParameter") -> "_Rule":
        return cls(param.type, param.options, param.min, param.max, param.properties)

    @classmethod
    def of_action(cls, param: "models.ActionParameter") -> "_Rule":
        # The type of an action's parameter is a control of FLORA's editor: of these, a number's value is known.
        kind = "float" if param.type in {"number", "slider"} else ""
        return cls(kind, param.available_values, param.min_number_value, param.max_number_value)


def _value_problem(rule: _Rule, value: object) -> str | None:
    """Why a value does not fit a parameter; None = it does, or this version cannot tell."""
    match rule.kind:
        case "int" | "int?" | "seed" | "float":
            why = _number_problem(rule, value)
        case "bool":
            why = None if isinstance(value, bool) else f"takes true or false, not {value!r:.40}"
        case "string":
            why = _option_problem(rule, value) if isinstance(value, str) else f"takes text, not {value!r:.40}"
        case "string[]":
            why = _texts_problem(rule, value)
        case "dict":
            why = _object_problem(rule, value)
        case _:
            why = _option_problem(rule, value)
    return why


def _texts_problem(rule: _Rule, value: object) -> str | None:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return f"takes a list of texts, not {value!r:.40}"
    return next((why for item in value if (why := _option_problem(rule, item)) is not None), None)


def _number_problem(rule: _Rule, value: object) -> str | None:
    if value is None and rule.kind == "int?":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"takes a number, not {value!r:.40}"
    if rule.kind != "float" and isinstance(value, float) and not value.is_integer():
        return f"takes a whole number, not {value!r:.40}"
    if rule.low is not None and value < rule.low:
        return f"must be at least {rule.low:g}, not {value!r:.40}"
    if rule.high is not None and value > rule.high:
        return f"must be at most {rule.high:g}, not {value!r:.40}"
    return _option_problem(rule, value)


def _option_problem(rule: _Rule, value: object) -> str | None:
    """Compare as text, since FLORA lists numbers as text, too."""
    options = [option.value for option in rule.options]
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if not options or text in options:
        return None
    near = nearest(text, options) if any(map(str.isalpha, text)) else None  # 16:10 is not a misspelled 1:1
    hint = f"did you mean {near!r}?" if near is not None else f"it takes {join_names(list(map(repr, options)))}"
    return f"{value!r:.40} is not one of its options: {hint}"


def _object_problem(rule: _Rule, value: object) -> str | None:
    if not isinstance(value, Mapping):
        return f"takes an object, not {value!r:.40}"
    for name, item in value.items():
        allowed = rule.properties.get(name)
        if rule.properties and allowed is None:
            return f"has no property {name!r:.40}: {did_you_mean(str(name), rule.properties)}"
        if allowed is not None:
            why = _number_problem(evolve(rule, kind="float", options=(), low=allowed.min, high=allowed.max), item)
            if why is not None:
                return f"{name!r:.40} {why}"
    return None
