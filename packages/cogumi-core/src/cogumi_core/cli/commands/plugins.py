"""`cogumi plugins`: what is installed, from where, and in which state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cogumi_core.cli.context import Cli
from cogumi_core.cli.output import print_json, print_table

if TYPE_CHECKING:
    from cogumi_core.api.sections import Section
    from cogumi_core.plugins.host import PluginState
    from cogumi_core.plugins.registry import ComponentState


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(cli: Cli, as_json: bool) -> None:
    """List every component: kind, name, distribution and state; and every section of a recipe.

    State is ok, failed (with the reason) or conflict (with whom). COGUMI_PLUGINS limits what is loaded: names of entry
    points or distributions, separated by commas.
    """
    from cogumi_core.cli.main import BUILT_IN
    from cogumi_core.recipe.sections import sections as recipe_sections

    host = cli.host
    host.add_commands(click.Group(), reserved=BUILT_IN)  # to see what is wrong with commands as well
    components, plugins, kinds = cli.registry.states(), host.plugins, cli.registry.kinds
    sections = [_section_row(section) for section in recipe_sections(host.sections).values()]
    if as_json:
        print_json(
            {
                "components": [_component_row(item) for item in components],
                "plugins": [_plugin_row(item) for item in plugins],
                "kinds": list(kinds),
                "sections": sections,
            }
        )
        return
    rows = [_component_row(item) for item in components]
    print_table(
        ["KIND", "NAME", "STATE", "FROM", "SUMMARY"],
        [[row["kind"], row["name"], row["state"], f"{row['distribution']} {row['version']}", row["summary"]] for row in rows],
    )
    click.echo()
    print_table(
        ["SECTION", "KINDS", "HOLDS", "SUMMARY"],
        [[row["name"], ", ".join(row["kinds"]), "a list" if row["many"] else "one", row["summary"]] for row in sections],
    )
    _print_troubles(components, plugins, _absent(kinds, components, plugins))


def _absent(kinds: tuple[str, ...], components: tuple[ComponentState, ...], plugins: tuple[PluginState, ...]) -> list[str]:
    """A line for each kind that nothing is installed of."""
    from cogumi_core.plugins.catalogue import distribution_for

    here, present = {item.distribution for item in plugins}, {item.provided.component.kind for item in components}
    lines = []
    for kind in kinds:
        if kind not in present:
            known = distribution_for(kind=kind)
            remedy = f"; try: pip install {known}" if known is not None and known not in here else ""
            lines.append(f"no {kind} is there{remedy}")
    return lines


def _print_troubles(components: tuple[ComponentState, ...], plugins: tuple[PluginState, ...], absent: list[str]) -> None:
    troubles = [f"plugin '{item.name}' ({item.provider}) {item.state}: {item.error}" for item in plugins if item.state != "ok"]
    troubles += dict.fromkeys(f"{item.state}: {item.error}" for item in components if item.state != "ok")
    troubles += absent
    if troubles:
        click.echo()
    for line in troubles:
        click.echo(line)


def _component_row(item: ComponentState) -> dict[str, str]:
    component = item.provided.component
    return {
        "kind": component.kind,
        "name": component.name,
        "summary": component.summary,
        "distribution": item.provided.distribution,
        "version": item.provided.version,
        "state": item.state,
        "error": item.error,
    }


def _section_row(section: Section) -> dict[str, Any]:
    return {"name": section.name, "kinds": list(section.kinds), "many": section.many, "summary": section.summary}


def _plugin_row(item: PluginState) -> dict[str, str]:
    return {"name": item.name, "distribution": item.distribution, "state": item.state, "error": item.error}
