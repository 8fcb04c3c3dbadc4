"""`cogumi store ls|gc`: what the store holds, and the removal of what no recipe reaches."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cogumi_core.store.collection import Removed, Stored
    from cogumi_core.store.store import Store

_store = click.option(
    "--store", "root", type=click.Path(path_type=Path), help="Folder of the store (default: COGUMI_STORE or the user's cache)."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("store")
def command() -> None:
    """What the store holds, and what can go."""


@command.command("ls")
@_store
@_json
def ls(root: Path | None, as_json: bool) -> None:
    """List the artifacts: recipe, stage, size, age and fingerprint."""
    from cogumi_core.store.collection import stored

    store = _open(root)
    found = stored(store)
    if as_json:
        click.echo(json.dumps({"store": str(store.root), "artifacts": [_row(item) for item in found]}, indent=1))
        return
    for item in found:
        click.echo(_line(item))
    total = sum(item.artifact.manifest.size for item in found)
    click.echo(f"{len(found)} artifacts, {_bytes(total)} in {store.root}")


@command.command("gc")
@_store
@_json
@click.option("--older-than", "days", type=click.FloatRange(min=0), default=0.0, help="Only what is older than DAYS.")
@click.option("--forget", multiple=True, metavar="RECIPE", help="No longer keep what this recipe reaches (as 'ls' names it).")
@click.option("--dry-run", is_flag=True, help="Say what would go; remove nothing.")
def gc(root: Path | None, as_json: bool, days: float, forget: tuple[str, ...], dry_run: bool) -> None:
    """Remove artifacts that no recipe reaches. Paid model calls are always kept."""
    from cogumi_core.store.collection import collect

    store = _open(root)
    _check_known(store, forget)
    removed = collect(store, older_than=days * 86_400, forget=forget, dry_run=dry_run)
    total = sum(item.size for item in removed)
    if as_json:
        rows = [{"path": str(item.path), "bytes": item.size} for item in removed]
        click.echo(json.dumps({"store": str(store.root), "removed": rows, "bytes": total, "dry_run": dry_run}, indent=1))
        return
    _say_removed(removed, total, "would remove" if dry_run else "removed")


def _open(root: Path | None) -> Store:
    from cogumi_core.store.store import Store, default_store

    return Store(root if root is not None else default_store(os.environ))


def _check_known(store: Store, recipes: tuple[str, ...]) -> None:
    from cogumi_core.api.errors import UsageError

    known = {name for name, _ in store.roots.read()}
    for recipe in recipes:
        if recipe not in known:
            message = f"the store {store.root} knows no recipe '{recipe}'; it knows: {', '.join(sorted(known)) or 'none'}"
            raise UsageError(message)


def _row(item: Stored) -> dict[str, object]:
    manifest = item.artifact.manifest
    return {
        "path": str(item.artifact.path),
        "artifact": manifest.artifact,
        "stage_id": manifest.stage_id,
        "component": manifest.component,
        "stage": manifest.stage,
        "fingerprint": manifest.fingerprint,
        "digest": manifest.digest,
        "bytes": manifest.size,
        "age_seconds": round(item.age, 1),
        "recipes": list(item.recipes),
    }


def _line(item: Stored) -> str:
    manifest = item.artifact.manifest
    recipes = ", ".join(item.recipes) or "(no recipe)"
    named = manifest.component != manifest.stage  # a stage without a component goes by its own name
    made = f"{manifest.stage_id} {manifest.component}" if named else manifest.stage
    return f"{_bytes(manifest.size):>9}  {_age(item.age):>5}  {made:<28} {item.artifact.path.name}  {recipes}"


def _say_removed(removed: list[Removed], total: int, verb: str) -> None:
    for item in removed:
        click.echo(f"{verb} {item.path.name} ({_bytes(item.size)})")
    click.echo(f"{verb} {len(removed)} folders, {_bytes(total)}")


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
