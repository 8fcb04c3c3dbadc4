"""`cogumi run RECIPE`: builds what the store does not hold and delivers the result."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cogumi_core.cli.context import Cli
    from cogumi_core.pipeline.running import Run


@click.command("run")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--store", type=click.Path(path_type=Path), help="Folder of finished artifacts [default: the user's cache].")
@click.option("--out", type=click.Path(path_type=Path), help="Folder that receives the result [default: ./NAME-out].")
@click.option("--only", metavar="SECTION", help="Stop after this section of the recipe.")
@click.option("--max-cost", type=click.FloatRange(min=0), metavar="USD", help="Spend at most this in this run.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def command(
    cli: Cli, recipe: Path, store: Path | None, out: Path | None, only: str | None, max_cost: float | None, as_json: bool
) -> None:
    """Build what RECIPE describes. After an interruption or a kill, the same command goes on."""
    from cogumi_core.cli.progress import progress_listener
    from cogumi_core.pipeline.running import run
    from cogumi_core.recipe.parse import load_recipe

    loaded = load_recipe(recipe, cli.registry)
    target = out or Path(f"{loaded.name}-out")
    with _ctrl_c() as stop, progress_listener() as listener:
        done = run(
            loaded,
            out=target,
            store=store,
            registry=cli.registry,
            only=only,
            max_cost=max_cost,
            listener=listener,
            stop=stop,
        )
    _print(done, as_json)


def _print(done: Run, as_json: bool) -> None:
    from cogumi_core.cli.output import print_json

    if as_json:
        stages = {
            name: {"digest": artifact.digest, "path": str(artifact.path), "metrics": artifact.manifest.metrics}
            for name, artifact in done.artifacts.items()
        }
        delivered = {name: str(path) for name, path in done.delivered.items()}
        print_json({"recipe": done.recipe.name, "seconds": round(done.seconds, 3), "delivered": delivered, "stages": stages})
        return
    click.echo(f"{done.recipe.name}: done in {done.seconds:.1f} s")
    for name, path in done.delivered.items():
        click.echo(f"  {name:8} {path}")


@contextmanager
def _ctrl_c() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C asks the run to stop at a good moment; the second stops it at once."""
    asked = False

    def note(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        click.echo("stopping at the next safe moment; Ctrl-C again stops at once", err=True)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
