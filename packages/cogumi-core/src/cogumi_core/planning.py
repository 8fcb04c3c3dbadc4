"""What a run would do: the stages of a recipe, and for each a hit or a miss and why.

Where the digests of all inputs of a stage are known, its fingerprint is, and the store says hit or miss; behind a miss
nothing can be known yet. Because keys are made of content digests, a stage that is rebuilt into the same bytes costs nothing
further down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cogumi_core.artifacts import Artifact, digest_path
from cogumi_core.component import load_object
from cogumi_core.errors import UsageError
from cogumi_core.fingerprint import explain_difference, fingerprint
from cogumi_core.near import did_you_mean
from cogumi_core.recipe import Recipe, load_recipe
from cogumi_core.registry import Registry
from cogumi_core.stages.base import Stage
from cogumi_core.stages.chain import SECTIONS, build_chain, section_of
from cogumi_core.store import Store, default_store
from cogumi_core.student import find_student
from cogumi_core.types import Estimate, ModelRef


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """`state` is `hit`, `miss` or `waits` (an input is not built yet); `why` has a line for each reason of a miss."""

    stage: Stage
    state: str
    why: tuple[str, ...] = ()
    fingerprint: str | None = None
    artifact: Artifact | None = None
    estimate: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do."""

    recipe: Recipe
    stages: tuple[PlannedStage, ...]

    def __str__(self) -> str:
        return "\n".join(f"{planned.state:5} {planned.stage.name}" for planned in self.stages)


@dataclass(frozen=True)
class Session:
    """A recipe with all that planning and running it needs; made once by `open_session`."""

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


def plan(
    recipe: Recipe | Path | str, *, store: Store | Path | None = None, registry: Registry | None = None, only: str | None = None
) -> Plan:
    """Hit or miss for each stage, and why; nothing is built or written."""
    session = open_session(recipe, store=store, registry=registry, only=only)
    known: dict[str, Artifact | None] = {}
    planned = []
    for stage in session.stages:
        row = _look_up(stage, known, session.store)
        known[stage.name] = row.artifact
        planned.append(row)
    return Plan(session.recipe, tuple(planned))


def _look_up(stage: Stage, known: Mapping[str, Artifact | None], store: Store) -> PlannedStage:
    missing = [name for name in stage.inputs.values() if known[name] is None]
    estimate = _estimate(stage)
    if missing:
        return PlannedStage(stage, "waits", tuple(f"for {name}" for name in missing), estimate=estimate)
    key = stage.key({role: artifact.input_digest for role, name in stage.inputs.items() if (artifact := known[name])})
    found = store.find(fingerprint(key))
    if found is not None:
        return PlannedStage(stage, "hit", fingerprint=fingerprint(key), artifact=found)
    nearest = store.nearest(kind_of(stage), stage.component, key)
    why = tuple(explain_difference(nearest.fingerprint_inputs, key)) if nearest else ("never built here",)
    return PlannedStage(stage, "miss", why or ("its artifact is gone or damaged",), fingerprint(key), estimate=estimate)


def kind_of(stage: Stage) -> str:
    return type(stage).__name__.removesuffix("Stage").lower()


def _estimate(stage: Stage) -> Estimate | None:
    """The forecast of the stage's one component, where it makes one."""
    if len(stage.steps) != 1 or stage.steps[0].component.estimate is None:
        return None
    estimate = stage.steps[0].component.estimate
    function: Callable[..., Estimate] = load_object(estimate) if isinstance(estimate, str) else estimate
    return function(stage.steps[0].settings, {})


def forecast(planned: Plan) -> dict[str, float | int | None]:
    """Dollars, seconds and bytes of what is not built yet. `bytes` is that of the finished system as it is carried elsewhere,
    built parts included; None where a part cannot be known beforehand."""
    waiting = [row for row in planned.stages if row.state != "hit"]
    teachers = [row.estimate.usd if row.estimate else None for row in waiting if row.stage.name == "distill"]
    usd = None if None in teachers else sum(value for value in teachers if value is not None)
    seconds = sum(row.estimate.seconds or 0.0 for row in waiting if row.estimate)
    return {"usd": usd, "seconds": seconds or None, "bytes": _system_bytes(planned)}


def _system_bytes(planned: Plan) -> int | None:
    """The last compressed model and every adapter."""
    models = [row for row in planned.stages if section_of(row.stage) == "compress" and row.stage.kind == "model"]
    parts = [*models[-1:], *(row for row in planned.stages if row.stage.kind == "adapter")]
    sizes = [row.artifact.manifest.size if row.artifact else row.estimate.bytes if row.estimate else None for row in parts]
    return None if not sizes or None in sizes else sum(size for size in sizes if size is not None)
