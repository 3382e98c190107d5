"""How notebooks show runs and techniques."""

from typing import TYPE_CHECKING, Final

from flora_async._html import SPACE, Html, card, element, preview, seconds, table, usd

if TYPE_CHECKING:
    from flora_async.models import Run, RunOutput, Technique

_MAX_PREVIEWS: Final = 8


def run_html(run: "Run") -> Html:
    """Show a run: its status, what it cost, and its outputs."""
    return card(f"Run {run.run_id}", run_facts(run), *previews(run.outputs))


def run_facts(run: "Run") -> dict[str, object]:
    """What there is to say about a run in a few words."""
    return {
        "status": str(run.status),
        "progress": f"{run.progress:.0f} %" if run.progress and not run.is_terminal else None,
        "time": seconds(run.duration),
        "cost": usd(run.charged_cost) if run.is_terminal else None,
        "error": ": ".join(filter(None, (run.error_code, run.error_message))) if run.failure else None,
        "hint": run.failure and run.failure.hint,
    }


def previews(outputs: "tuple[RunOutput, ...]") -> list[Html]:
    """Show the first outputs, and how many more there are."""
    shown = [
        element("div", element("code", output.output_id), SPACE, preview(output.type, output.url))
        if output.text is None
        else element("div", element("code", output.output_id), SPACE, output.text)
        for output in outputs[:_MAX_PREVIEWS]
    ]
    if len(outputs) > _MAX_PREVIEWS:
        shown.append(element("div", f"and {len(outputs) - _MAX_PREVIEWS} more outputs"))
    return shown


def technique_html(technique: "Technique") -> Html:
    """Show a technique: what a run takes, gives and costs."""
    facts = {"id": technique.technique_id, "about": technique.description, "price": usd(technique.run_cost)}
    parts = [
        table(
            (heading, "type", "", "about"),
            [
                (part.id, part.type, "optional" if part.optional else "", part.description or part.name)
                for part in described
            ],
        )
        for heading, described in (("input", technique.inputs), ("output", technique.outputs))
        if described
    ]
    return card(f"Technique {technique.name}", facts, *parts)
