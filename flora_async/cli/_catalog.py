"""The commands that show what there is: `techniques`, `models` and `workspaces`."""

from typing import Any

from flora_async.cli._connection import connect
from flora_async.cli._exit import ExitCode, execute
from flora_async.cli._output import Format, show, show_item
from flora_async.cli._runs import take
from flora_async.models._codec import to_dict
from flora_async.resources.models import Medium


def list_techniques(query: str | None, limit: int, output: Format, *, fake: bool) -> ExitCode:
    """List techniques."""

    async def command() -> ExitCode:
        async with connect(fake=fake) as flora:
            found = await take(aiter(flora.techniques.list(query=query, limit=min(limit, 100))), limit)
        columns = ("technique_id", "name", "run_cost", "inputs")
        show([_summary(to_dict(item), output) for item in found], output, columns)
        return ExitCode.OK

    return execute(command)


def show_technique(technique: str, output: Format, *, fake: bool) -> ExitCode:
    """Show a technique with its inputs and outputs."""

    async def command() -> ExitCode:
        async with connect(fake=fake) as flora:
            show_item(to_dict(await flora.techniques.retrieve(technique)), output)
        return ExitCode.OK

    return execute(command)


def list_models(medium: Medium | None, output: Format, *, fake: bool) -> ExitCode:
    """List models for generations."""

    async def command() -> ExitCode:
        async with connect(fake=fake) as flora:
            found = [to_dict(model) async for model in flora.models.list(type=medium)]
        show(found, output, ("model_id", "type", "provider", "estimated_seconds", "estimated_credits"))
        return ExitCode.OK

    return execute(command)


def show_model(model_id: str, output: Format, *, fake: bool) -> ExitCode:
    """Show a model with its parameters."""

    async def command() -> ExitCode:
        async with connect(fake=fake) as flora:
            models = [model async for model in flora.models.list()]
        for model in models:
            if model.model_id == model_id:
                show_item(to_dict(model), output)
                return ExitCode.OK
        raise ValueError(f"there is no model {model_id!r:.100}: see flora-async models list")

    return execute(command)


def list_workspaces(output: Format, *, fake: bool) -> ExitCode:
    """List the workspaces that the key reaches."""

    async def command() -> ExitCode:
        async with connect(fake=fake) as flora:
            found = [to_dict(workspace) async for workspace in flora.workspaces.list()]
        show(found, output, ("workspace_id", "name", "role"))
        return ExitCode.OK

    return execute(command)


def _summary(technique: dict[str, Any], output: Format) -> dict[str, Any]:
    if output != "table":
        return technique
    names = [f"{item['id']}{'?' if item.get('optional') else ''}" for item in technique.get("inputs", ())]
    return {**technique, "inputs": " ".join(names)}
