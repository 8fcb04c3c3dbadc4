"""`cogumi plan RECIPE`: what a run would do, and what it would cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cogumi_core.cli.context import Cli
    from cogumi_core.pipeline.planning import Plan, PlannedStage


@click.command("plan")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--store", type=click.Path(path_type=Path), help="Folder of finished artifacts [default: the user's cache].")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.pass_obj
def command(cli: Cli, recipe: Path, store: Path | None, as_json: bool) -> None:
    """Show each stage of RECIPE with hit or miss and why, and a forecast. Nothing is built."""
    from cogumi_core.cli.output import print_json, print_table
    from cogumi_core.pipeline.forecast import forecast
    from cogumi_core.pipeline.planning import plan

    planned = plan(recipe, store=store, registry=cli.registry)
    totals = forecast(planned)
    if as_json:
        stages = [_row(row) for row in planned.stages]
        to_fetch = planned.to_fetch or None
        head = {"recipe": planned.recipe.name, "to_fetch": to_fetch, "pending": list(planned.pending)}
        print_json({**head, "stages": stages, "forecast": totals})
        return
    print_table(("stage", "state", "why", "forecast"), [_cells(row) for row in planned.stages])
    if planned.to_fetch:
        click.echo(f"student: {planned.to_fetch} is not here yet; a run downloads it from Hugging Face first")
    for sentence in planned.pending:
        click.echo(f"pending: {sentence}")
    for line in _budget_lines(planned, totals):
        click.echo(line)


def _row(planned: PlannedStage) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "name": planned.stage.name,
        "state": planned.state,
        "why": list(planned.why),
        "fingerprint": planned.fingerprint,
        "artifact": str(planned.artifact.path) if planned.artifact else None,
        "estimate": asdict(planned.estimate) if planned.estimate else None,
    }


def _cells(planned: PlannedStage) -> tuple[str, str, str, str]:
    summary = planned.artifact.manifest.metrics.get("summary", "") if planned.artifact else ""
    return planned.stage.name, planned.state, "; ".join(planned.why) or summary, _forecast(planned)


def _forecast(planned: PlannedStage) -> str:
    """Of every stage that a teacher is paid in, whichever it is, the dollars, or that they are not known."""
    from cogumi_core.api.types import Estimate
    from cogumi_core.pipeline.estimates import pays

    if planned.state == "hit":
        return ""
    estimate = planned.estimate or Estimate()
    unknown = "dollars not known" if pays(planned.stage) else ""
    parts = [
        f"${estimate.usd:.2f}" if estimate.usd is not None else unknown,
        f"{estimate.bytes / 1e6:.1f} MB" if estimate.bytes is not None else "",
        f"{estimate.seconds:.0f} s" if estimate.seconds is not None else "",
        f"{estimate.memory_bytes / 1e9:.1f} GB of memory" if estimate.memory_bytes is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def _budget_lines(planned: Plan, totals: Mapping[str, Any]) -> list[str]:
    """What the budgets allow against what is known; what is not known is said to be."""
    from cogumi_core.pipeline.estimates import pays

    budget = planned.recipe.budget
    lines = []
    paying = [row.stage.name for row in planned.stages if row.state != "hit" and pays(row.stage)]
    if budget.usd is not None or paying:
        allowed = "no limit is set" if budget.usd is None else f"at most ${budget.usd:.2f} are allowed over all runs"
        whose = f" (asked by {', '.join(paying)})" if paying else ""
        known = "not known before a run" if totals["usd"] is None else f"at most ${totals['usd']:.2f}"
        lines.append(f"dollars: {allowed}; forecast: {known}{whose}")
    if budget.bytes is not None:
        size = totals["bytes"]
        known = "not known before a run" if size is None else f"at most {size / 1e6:.1f} MB, {_fits(size, budget.bytes)}"
        lines.append(f"bytes: the system may weigh {budget.bytes / 1e6:.1f} MB; forecast: {known}")
    return lines


def _fits(size: int, limit: int) -> str:
    return f"which fits with {(limit - size) / 1e6:.1f} MB to spare" if size <= limit else "which does not fit"
