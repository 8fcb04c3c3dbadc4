"""`cogumi plugins`: what is installed, from where, and in which state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cogumi_core.cli.context import Cli
from cogumi_core.cli.output import print_json, print_table

if TYPE_CHECKING:
    from cogumi_core.plugins.host import PluginState
    from cogumi_core.plugins.registry import ComponentState


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(cli: Cli, as_json: bool) -> None:
    """List every component: kind, name, distribution and state.

    State is ok, failed (with the reason) or conflict (with whom). COGUMI_PLUGINS limits what is loaded: names of entry
    points or distributions, separated by commas.
    """
    from cogumi_core.cli.main import BUILT_IN

    host = cli.host
    host.add_commands(click.Group(), reserved=BUILT_IN)  # to see what is wrong with commands as well
    components, plugins = cli.registry.states(), host.plugins
    if as_json:
        print_json({"components": [_component_row(c) for c in components], "plugins": [_plugin_row(p) for p in plugins]})
        return
    rows = [_component_row(item) for item in components]
    print_table(
        ["KIND", "NAME", "STATE", "FROM", "SUMMARY"],
        [[row["kind"], row["name"], row["state"], f"{row['distribution']} {row['version']}", row["summary"]] for row in rows],
    )
    _print_troubles(components, plugins)


def _print_troubles(components: tuple[ComponentState, ...], plugins: tuple[PluginState, ...]) -> None:
    troubles = [f"plugin '{item.name}' ({item.provider}) {item.state}: {item.error}" for item in plugins if item.state != "ok"]
    troubles += dict.fromkeys(f"{item.state}: {item.error}" for item in components if item.state != "ok")
    if not plugins:
        troubles.append("no plugin is installed; try: pip install cogumi-compress")
    if components and troubles:
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


def _plugin_row(item: PluginState) -> dict[str, str]:
    return {"name": item.name, "distribution": item.distribution, "state": item.state, "error": item.error}
