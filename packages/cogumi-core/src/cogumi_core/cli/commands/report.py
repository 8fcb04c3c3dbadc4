"""`cogumi report SYSTEM`: draws the report again from the figures kept beside the system."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("system", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The HTML file to write.",
)
def command(system: Path, out: Path) -> None:
    """Write the HTML report of SYSTEM, the folder that `cogumi run --out` wrote.

    Nothing is measured again. The file stands outside the system by default, so that `cogumi verify` still finds it
    unchanged."""
    from cogumi_core.report.files import from_system, write_report

    write_report(from_system(system), out)
    click.echo(str(out))
