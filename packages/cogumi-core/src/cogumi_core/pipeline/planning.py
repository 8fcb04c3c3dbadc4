"""What a run would do: the stages of a recipe, and for each a hit or a miss and why.

Where the digests of all inputs of a stage are known, its fingerprint is, and the store says hit or miss; behind a miss
nothing can be known yet. Because keys are made of content digests, a stage that is rebuilt into the same bytes costs nothing
further down. Nothing is downloaded: a student that is not here yet is said to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cogumi_core.api.errors import MissingDependency, MissingKey
from cogumi_core.api.settings import Settings
from cogumi_core.api.types import Estimate
from cogumi_core.calls import open_calls
from cogumi_core.pipeline.estimates import estimate
from cogumi_core.pipeline.workspace import Workspace, open_workspace
from cogumi_core.plugins.registry import Registry, missing_extras
from cogumi_core.recipe.parse import Recipe
from cogumi_core.stages.base import Stage
from cogumi_core.stages.chain import STUDENT
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
    """What a run would do. `to_fetch` is the Hugging Face id of a student that a run would download first, empty otherwise."""

    recipe: Recipe
    stages: tuple[PlannedStage, ...]
    to_fetch: str = ""
    pending: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(f"{planned.state:5} {planned.stage.name}" for planned in self.stages)


def plan(
    recipe: Recipe | Path | str,
    *,
    store: Store | Path | str | None = None,
    registry: Registry | None = None,
    only: str | None = None,
) -> Plan:
    """Hit or miss for each stage, and why; nothing is built, written or downloaded."""
    workspace = open_workspace(recipe, store=store, registry=registry, only=only, fetch=False)
    known: dict[str, Artifact | None] = {}
    rows = []
    for row in walk(workspace, known):
        rows.append(row if row.state == "hit" else replace(row, estimate=estimate(row.stage, workspace, known)))
    return Plan(workspace.recipe, tuple(rows), workspace.to_fetch, tuple(_pending(workspace)))


def _pending(workspace: Workspace) -> Iterator[str]:
    path, recipe = workspace.store.calls_path, workspace.recipe
    if path.exists():
        with open_calls(path, root=recipe.root, recipe=recipe.name) as calls:
            yield from (batch.sentence() for batch in calls.pending())


def walk(workspace: Workspace, known: dict[str, Artifact | None]) -> Iterator[PlannedStage]:
    """Each stage looked up in the store; `known` receives the artifacts."""
    for stage in workspace.stages:
        row = _look_up(stage, known, workspace)
        known[stage.name] = row.artifact
        yield row


def check_ready(workspace: Workspace) -> None:
    """Before anything is spent or built: every key and every library that a stage to be built needs must be there. Raises
    MissingKey or MissingDependency, naming all."""
    environ = workspace.registry.services.environ
    waiting = [row.stage for row in walk(workspace, {}) if row.state != "hit"]
    used = [(step, provided, settings) for stage in waiting for step in stage.steps for provided, settings in step.used]
    lacking = dict.fromkeys(text for _, provided, _ in used if (text := missing_extras(provided)))
    if lacking:
        raise MissingDependency("; ".join(lacking))
    unset = [
        f"{step.label} needs {variable}, which is not set"
        for step, _, settings in used
        for variable in key_variables(settings)
        if not environ.get(variable)
    ]
    if unset:
        names = "; ".join(dict.fromkeys(unset))
        message = f"{names}. Set it with: export NAME=... (a key is never written into a recipe)"
        raise MissingKey(message)


def key_variables(settings: Settings) -> list[str]:
    """Names of the environment variables that hold keys: the values of settings that end in `_env`."""
    fields = ((name, getattr(settings, name)) for name in type(settings).model_fields)
    return [value for name, value in fields if name.endswith("_env") and isinstance(value, str) and value]


def _look_up(stage: Stage, known: Mapping[str, Artifact | None], workspace: Workspace) -> PlannedStage:
    missing = [f"for {name}" for name in stage.inputs.values() if known[name] is None]
    if workspace.to_fetch and STUDENT in stage.files:
        missing.insert(0, f"for the student, to be fetched from Hugging Face: {workspace.to_fetch}")
    if missing:
        return PlannedStage(stage, "waits", tuple(missing))
    key = stage.key({role: artifact.input_digest for role, name in stage.inputs.items() if (artifact := known[name])})
    found = workspace.store.find(fingerprint(key))
    if found is not None:
        return PlannedStage(stage, "hit", fingerprint=fingerprint(key), artifact=found)
    nearest = workspace.store.nearest(stage.id, stage.component, key)
    why = tuple(explain_difference(nearest.fingerprint_inputs, key)) if nearest else ("never built here",)
    return PlannedStage(stage, "miss", why or ("its artifact is gone or damaged",), fingerprint(key))
