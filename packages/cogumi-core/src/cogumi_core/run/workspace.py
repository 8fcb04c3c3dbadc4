"""A recipe with all that planning and running it needs, laid out once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cogumi_core.api.errors import UsageError
from cogumi_core.api.types import ModelRef
from cogumi_core.plugins.near import did_you_mean
from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.parse import Recipe, load_recipe
from cogumi_core.recipe.student import find_student
from cogumi_core.stages.base import Stage
from cogumi_core.stages.chain import SECTIONS, build_chain, section_of
from cogumi_core.store.artifacts import digest_path
from cogumi_core.store.store import Store, default_store


@dataclass(frozen=True)
class Session:
    """Made by `open_session`."""

    recipe: Recipe
    registry: Registry
    store: Store
    student: ModelRef | None
    stages: tuple[Stage, ...]


def open_session(
    recipe: Recipe | Path | str, *, store: Store | Path | None = None, registry: Registry | None = None, only: str | None = None
) -> Session:
    """Finds the student and the files that settings name, and lays out the stages. Raises InputError, RecipeError."""
    registry = registry or Registry.installed()
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(Path(recipe), registry)
    opened = _store(store, registry)

    def digest(path: Path) -> str:
        return digest_path(path, opened.digests)

    student = find_student(loaded.student, loaded.base_dir, digest) if loaded.student else None
    ready = registry.with_services(base_dir=loaded.base_dir, student=student)
    return Session(loaded, ready, opened, student, _up_to(build_chain(loaded, ready, student, digest), only))


def _store(store: Store | Path | None, registry: Registry) -> Store:
    if isinstance(store, Store):
        return store
    return Store(store or default_store(registry.services.environ))


def _up_to(stages: tuple[Stage, ...], only: str | None) -> tuple[Stage, ...]:
    """The stages up to and including section `only`."""
    if only is None:
        return stages
    if only not in SECTIONS:
        message = f"--only {only}: there is no such section.{did_you_mean(only, SECTIONS)} Sections: {', '.join(SECTIONS)}"
        raise UsageError(message)
    last = SECTIONS.index(only)
    kept = tuple(stage for stage in stages if SECTIONS.index(section_of(stage)) <= last)
    if not any(section_of(stage) == only for stage in kept):
        message = f"--only {only}: the recipe has no section '{only}'"
        raise UsageError(message)
    return kept
