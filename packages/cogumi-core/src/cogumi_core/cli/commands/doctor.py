"""`cogumi doctor RECIPE`: whether this machine can run the recipe, asked before anything is spent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cogumi_core.cli.context import Cli
    from cogumi_core.plugins.registry import Registry
    from cogumi_core.recipe.parse import Recipe, Step


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer. `ok` None: a figure to know, neither good nor bad."""

    name: str
    ok: bool | None
    detail: str


@click.command("doctor")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--store", type=click.Path(path_type=Path), help="Folder of finished artifacts [default: the user's cache].")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.pass_context
def command(context: click.Context, recipe: Path, store: Path | None, as_json: bool) -> None:
    """Check keys, models, missing extras, free disk and memory for RECIPE. Ends with 1 when something is missing."""
    from dataclasses import asdict

    from cogumi_core.cli.output import print_json, print_table
    from cogumi_core.recipe.parse import load_recipe
    from cogumi_core.store.store import default_store

    cli: Cli = context.obj
    loaded = load_recipe(recipe, cli.registry)
    found = list(checks(loaded, cli.registry, cli.environ, store or default_store(cli.environ)))
    if as_json:
        print_json([asdict(check) for check in found])
    else:
        print_table(("check", "state", "detail"), [(check.name, _state(check), check.detail) for check in found])
    if any(check.ok is False for check in found):
        context.exit(1)


def _state(check: Check) -> str:
    return "-" if check.ok is None else "ok" if check.ok else "MISSING"


def checks(recipe: Recipe, registry: Registry, environ: Mapping[str, str], store: Path) -> Iterator[Check]:
    """Every check, in the order of the recipe."""
    yield Check("recipe", True, f"'{recipe.name}', {len(recipe.steps)} components")
    yield from _student(recipe)
    for step in recipe.steps:
        yield from _extras(step.label, step)
        yield from _keys(step.label, step, environ)
        yield from _files(step.label, step, recipe)
    if recipe.compress and not registry.names("engine"):
        yield Check("engine", None, "none installed: compression is not measured; pip install 'cogumi-serve[llama]'")
    yield _disk(store)
    yield from _memory()


def _student(recipe: Recipe) -> Iterator[Check]:
    from cogumi_core.api.errors import CogumiError
    from cogumi_core.recipe.student import find_student

    if recipe.student is None:
        return
    try:
        model = find_student(recipe.student, recipe.base_dir, lambda path: "")
    except CogumiError as exc:
        yield Check("student", False, str(exc))
        return
    yield Check("student", True, f"{model.format} at {model.path}")


def _extras(label: str, step: Step) -> Iterator[Check]:
    from cogumi_core.plugins.registry import missing_extras

    missing = missing_extras(step.provided)
    yield Check(label, not missing, missing or f"from {step.provided.provider}")


def _keys(label: str, step: Step, environ: Mapping[str, str]) -> Iterator[Check]:
    """Only whether a key is set; its value is never looked at."""
    from cogumi_core.run.planning import key_variables

    for variable in key_variables(step):
        present = bool(environ.get(variable))
        detail = f"{variable} is set" if present else f"set it with: export {variable}=..."
        yield Check(f"{label} key", present, detail)


def _files(label: str, step: Step, recipe: Recipe) -> Iterator[Check]:
    from cogumi_core.api.errors import InputError
    from cogumi_core.api.locate import locate
    from cogumi_core.store.fingerprint import input_files

    for name, text in input_files(step.settings).items():
        try:
            found = "the recipe's student" if text == "student" else str(locate(text, recipe.base_dir))
            yield Check(f"{label}.{name}", True, found)
        except InputError as exc:
            yield Check(f"{label}.{name}", False, str(exc))


def _disk(store: Path) -> Check:
    existing = next(folder for folder in (store, *store.absolute().parents) if folder.exists())
    return Check("free disk", None, f"{shutil.disk_usage(existing).free / 1e9:.1f} GB at {existing}")


def _memory() -> Iterator[Check]:
    """Linux tells it in a file; elsewhere nothing is said rather than something wrong."""
    info = Path("/proc/meminfo")
    if info.exists():
        rows = dict(line.split(":", 1) for line in info.read_text(encoding="utf-8").splitlines())
        kilobytes = int(rows["MemAvailable"].split()[0])
        yield Check("free memory", None, f"{kilobytes * 1024 / 1e9:.1f} GB")
