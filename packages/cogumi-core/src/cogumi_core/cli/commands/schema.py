"""`cogumi schema`: JSON schema of a recipe, for editors."""

from __future__ import annotations

import click

from cogumi_core.cli.context import Cli
from cogumi_core.cli.output import print_json


@click.command("schema")
@click.pass_obj
def command(cli: Cli) -> None:
    """Print the JSON schema of a recipe for the plugins installed now.

    Save it and name it in a recipe's first line, and the editor completes and checks:
    # yaml-language-server: $schema=recipe.schema.json
    """
    from cogumi_core.recipe.schema import json_schema

    print_json(json_schema(cli.registry))
