"""`cogumi doctor RECIPE`: whether this machine can run the recipe, asked before anything is spent. Nothing is downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cogumi_core.api.component import Provided
    from cogumi_core.api.settings import Settings
    from cogumi_core.cli.context import Cli
    from cogumi_core.plugins.registry import Registry
    from cogumi_core.recipe.form import Recipe, Step


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
    yield Check("recipe", True, f"'{recipe.name}', {len(recipe.steps)} component{'' if len(recipe.steps) == 1 else 's'}")
    yield from _student(recipe)
    for label, provided, settings in _used(recipe):
        yield from _component(label, provided, settings, environ)
    for step in recipe.steps:
        yield from _files(step, recipe)
    if recipe.engine is None and recipe.student is not None:
        yield _no_engine(registry)
    yield _disk(store)
    yield from _memory()


def _used(recipe: Recipe) -> Iterator[tuple[str, Provided, Settings]]:
    """Every component with its settings under a label: those of the sections, those inside them, and what stands at the top."""
    from cogumi_core.plugins.nesting import nested

    for step in recipe.steps:
        (own, settings), *inside = step.used
        yield step.label, own, settings
        for provided, settings in inside:
            yield f"{step.label} > {provided.component.kind}:{provided.component.name}", provided, settings
    for name, top in (("engine", recipe.engine), ("executor", recipe.executor)):
        for use in nested(top):
            if use.provided is not None and use.settings is not None:
                yield f"{name}:{use.name}" if use is top else f"{name} > {use.kind}:{use.name}", use.provided, use.settings


def _component(label: str, provided: Provided, settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    """What one component needs: libraries, and keys, of which only whether they are set is looked at."""
    from cogumi_core.pipeline.planning import key_variables
    from cogumi_core.plugins.registry import missing_extras

    missing = missing_extras(provided)
    yield Check(label, not missing, missing or f"from {provided.provider}")
    for variable in key_variables(settings):
        present = bool(environ.get(variable))
        yield Check(f"{label} key", present, f"{variable} is set" if present else f"set it with: export {variable}=...")


def _files(step: Step, recipe: Recipe) -> Iterator[Check]:
    """The files that a step's settings name, those of components inside it too."""
    from cogumi_core.api.errors import InputError
    from cogumi_core.api.locate import locate
    from cogumi_core.store.fingerprint import input_files

    for name, text in input_files(step.settings).items():
        try:
            found = "the recipe's student" if text == "student" else str(locate(text, recipe.base_dir))
            yield Check(f"{step.label}.{name}", True, found)
        except InputError as exc:
            yield Check(f"{step.label}.{name}", False, str(exc))


def _student(recipe: Recipe) -> Iterator[Check]:
    """A model on Hugging Face is named, not fetched."""
    from cogumi_core.api.errors import CogumiError
    from cogumi_core.recipe.student import ToFetch, find_student

    if recipe.student is None:
        return
    try:
        model = find_student(recipe.student, recipe.base_dir, lambda path: "", fetch=False)
    except CogumiError as exc:
        yield Check("student", False, str(exc))
        return
    if isinstance(model, ToFetch):
        yield Check("student", None, f"{model.id} is not here yet; a run downloads it from Hugging Face first")
    else:
        yield Check("student", True, f"{model.format} at {model.path}")


def _no_engine(registry: Registry) -> Check:
    """Without one nothing is measured, and no system can be served."""
    from cogumi_core.plugins.catalogue import distribution_for
    from cogumi_core.plugins.registry import missing_extras

    lacking = [missing_extras(registry.get("engine", name)) for name in registry.names("engine")]
    known = distribution_for(kind="engine")
    remedy = "; ".join(lacking) or f"none is installed{f'; try: pip install {known}' if known else ''}"
    return Check("engine", None, f"compression is not measured, and a system cannot be served: {remedy}")


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
