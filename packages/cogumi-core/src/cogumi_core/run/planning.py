"""What a run would do: the stages of a recipe, and for each a hit or a miss and why.

Where the digests of all inputs of a stage are known, its fingerprint is, and the store says hit or miss; behind a miss
nothing can be known yet. Because keys are made of content digests, a stage that is rebuilt into the same bytes costs nothing
further down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cogumi_core.api.errors import MissingKey
from cogumi_core.api.types import Estimate
from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.parse import Recipe, Step
from cogumi_core.run.forecast import estimate
from cogumi_core.run.workspace import Session, open_session
from cogumi_core.stages.base import Stage
from cogumi_core.store.artifacts import Artifact
from cogumi_core.store.fingerprint import explain_difference, fingerprint
from cogumi_core.store.store import Store


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


def plan(
    recipe: Recipe | Path | str, *, store: Store | Path | None = None, registry: Registry | None = None, only: str | None = None
) -> Plan:
    """Hit or miss for each stage, and why; nothing is built or written."""
    session = open_session(recipe, store=store, registry=registry, only=only)
    known: dict[str, Artifact | None] = {}
    rows = []
    for row in _walk(session, known):
        rows.append(row if row.state == "hit" else replace(row, estimate=estimate(row.stage, session, known)))
    return Plan(session.recipe, tuple(rows))


def _walk(session: Session, known: dict[str, Artifact | None]) -> Iterator[PlannedStage]:
    for stage in session.stages:
        row = _look_up(stage, known, session.store)
        known[stage.name] = row.artifact
        yield row


def check_keys(session: Session) -> None:
    """Before anything is spent: every key that a stage to be built names must be set. Raises MissingKey, naming all."""
    environ = session.registry.services.environ
    missing = [
        f"{step.label} needs {variable}, which is not set"
        for row in _walk(session, {})
        for step in row.stage.steps
        if row.state != "hit"
        for variable in key_variables(step)
        if not environ.get(variable)
    ]
    if missing:
        names = "; ".join(missing)
        message = f"{names}. Set it with: export NAME=... (a key is never written into a recipe)"
        raise MissingKey(message)


def key_variables(step: Step) -> list[str]:
    """Names of the environment variables that hold the keys of a step: the values of its settings that end in `_env`."""
    values = step.settings.model_dump().items()
    return [value for name, value in values if name.endswith("_env") and isinstance(value, str)]


def _look_up(stage: Stage, known: Mapping[str, Artifact | None], store: Store) -> PlannedStage:
    missing = [name for name in stage.inputs.values() if known[name] is None]
    if missing:
        return PlannedStage(stage, "waits", tuple(f"for {name}" for name in missing))
    key = stage.key({role: artifact.input_digest for role, name in stage.inputs.items() if (artifact := known[name])})
    found = store.find(fingerprint(key))
    if found is not None:
        return PlannedStage(stage, "hit", fingerprint=fingerprint(key), artifact=found)
    nearest = store.nearest(kind_of(stage), stage.component, key)
    why = tuple(explain_difference(nearest.fingerprint_inputs, key)) if nearest else ("never built here",)
    return PlannedStage(stage, "miss", why or ("its artifact is gone or damaged",), fingerprint(key))


def kind_of(stage: Stage) -> str:
    return type(stage).__name__.removesuffix("Stage").lower()
