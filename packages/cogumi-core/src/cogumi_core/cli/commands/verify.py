"""`cogumi verify PATH`: re-hashes an artifact, a system or a packed file against its manifest."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("verify")
@click.argument("path", type=click.Path(path_type=Path))
@click.pass_context
def command(context: click.Context, path: Path) -> None:
    """Compare every file of an artifact, a system or a packed file with its manifest.

    Ends with 1 and a line for each file that was changed, is missing or was added."""
    from cogumi_core.store.artifacts import listed_files, verify

    problems = verify(path)
    for problem in problems:
        click.echo(problem)
    if problems:
        context.exit(1)
    entries = listed_files(path)
    click.echo(f"ok: {len(entries)} files, {sum(entry.size for entry in entries)} bytes")
