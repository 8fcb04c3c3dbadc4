"""A recipe with all that planning and running it needs, laid out once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cogumi_core.api.errors import UsageError
from cogumi_core.api.types import ModelRef
from cogumi_core.plugins.near import did_you_mean
from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.parse import Recipe, load_recipe
from cogumi_core.recipe.student import ToFetch, find_student
from cogumi_core.stages.base import Stage
from cogumi_core.stages.chain import build_chain, section_of
from cogumi_core.store.artifacts import digest_path
from cogumi_core.store.store import Store, default_store


@dataclass(frozen=True)
class Workspace:
    """Made by `open_workspace`. `to_fetch` is the Hugging Face id of a student that is not here yet, empty otherwise."""

    recipe: Recipe
    registry: Registry
    store: Store
    student: ModelRef | None
    stages: tuple[Stage, ...]
    to_fetch: str = ""


def open_workspace(
    recipe: Recipe | Path | str,
    *,
    store: Store | Path | str | None = None,
    registry: Registry | None = None,
    only: str | None = None,
    fetch: bool = True,
) -> Workspace:
    """Finds the student and the files that settings name, and lays out the stages. Without `fetch` nothing is downloaded.
    Raises InputError, RecipeError."""
    registry = registry or Registry.installed()
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(Path(recipe), registry)
    opened = store if isinstance(store, Store) else Store(Path(store) if store else default_store(registry.services.environ))

    def digest(path: Path) -> str:
        return digest_path(path, opened.digests)

    found = find_student(loaded.student, loaded.base_dir, digest, fetch=fetch) if loaded.student else None
    missing = found.id if isinstance(found, ToFetch) else ""
    # What is not here yet has no digest; its stages are planned as waiting for it.
    student = ModelRef(Path(missing), "hf", "") if isinstance(found, ToFetch) else found
    ready = registry.with_services(base_dir=loaded.base_dir, student=student, engine=loaded.engine)
    stages = build_chain(loaded, ready, student, digest)
    return Workspace(loaded, ready, opened, student, _up_to(stages, loaded, only), missing)


def _up_to(stages: tuple[Stage, ...], recipe: Recipe, only: str | None) -> tuple[Stage, ...]:
    """The stages up to and including section `only`."""
    if only is None:
        return stages
    names = ["dataset", *recipe.table]
    if only not in names:
        message = f"--only {only}: there is no such section.{did_you_mean(only, names)} Sections: {', '.join(names)}"
        raise UsageError(message)
    kept = tuple(stage for stage in stages if names.index(section_of(stage)) <= names.index(only))
    if not any(section_of(stage) == only for stage in kept):
        message = f"--only {only}: the recipe has no section '{only}'"
        raise UsageError(message)
    return kept
