"""Runs a recipe: builds what the store does not hold, stage by stage, and delivers the result.

Interruption: the first Ctrl-C lets the current step end (trainers write a checkpoint), the second stops at once; in both cases,
as after a kill, the same command goes on. A finished stage is never built twice, an answered call never asked twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cogumi_core.api.errors import BudgetExceeded, CogumiError, Interrupted, Pending, StageError
from cogumi_core.api.events import Event, Listener, Note, StageFailed, StageFinished, StageProgress, StageStarted
from cogumi_core.api.interfaces import Executor, Inline, RunContext
from cogumi_core.api.types import JSON
from cogumi_core.calls import PaidCalls, open_calls
from cogumi_core.pipeline.planning import Plan, PlannedStage, check_ready, plan
from cogumi_core.pipeline.workspace import Workspace, open_workspace
from cogumi_core.plugins.guard import stage_running
from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.parse import Recipe
from cogumi_core.stages.base import Built, Stage, Work
from cogumi_core.store.artifacts import Artifact, Manifest
from cogumi_core.store.building import Building
from cogumi_core.store.fingerprint import fingerprint
from cogumi_core.store.store import Store
from cogumi_core.system.deliver import deliver

__all__ = ["Plan", "PlannedStage", "Run", "plan", "run"]

PROGRESS_SECONDS = 0.2  # no more than five progress events a second


@dataclass(frozen=True, slots=True)
class Run:
    """What a run did: every stage's artifact by name, the folder that received the result, and what lies in it."""

    recipe: Recipe
    stages: tuple[Stage, ...]
    artifacts: Mapping[str, Artifact]
    out: Path
    delivered: Mapping[str, Path]
    seconds: float


def run(
    recipe: Recipe | Path | str,
    *,
    out: Path | str,
    store: Store | Path | None = None,
    registry: Registry | None = None,
    only: str | None = None,
    max_cost: float | None = None,
    listener: Listener = lambda event: None,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Builds `recipe` and delivers the result into the folder `out`.

    `only` ends after that section. `max_cost` is a further limit in US dollars, for this run alone; the recipe's own holds
    over all its runs. `listener` receives events; `stop` is asked often, and True interrupts as soon as it is safe.

    Raises RecipeError or InputError before anything is built, StageError, BudgetExceeded or Interrupted afterwards; what is
    finished by then stays in the store."""
    started = time.monotonic()
    workspace = open_workspace(recipe, store=store, registry=registry, only=only)

    def tell(event: Event) -> None:
        listener(event)
        workspace.registry.host.notify(event)

    paying = open_calls(
        workspace.store.calls_path,
        root=workspace.recipe.root,
        recipe=workspace.recipe.name,
        usd=workspace.recipe.budget.usd,
        max_cost=max_cost,
        environ=workspace.registry.services.environ,
    )
    with paying as calls, _executor(workspace) as executor, workspace.store.in_use():
        check_ready(workspace)
        runner = _Runner(workspace, tell, stop, calls, executor)
        runner.build_all()
        delivered = deliver(
            workspace.recipe,
            workspace.registry,
            workspace.student,
            workspace.stages,
            runner.artifacts,
            Path(out),
            lambda message: tell(Note("system", message)),
        )
    return Run(workspace.recipe, workspace.stages, runner.artifacts, Path(out), delivered, time.monotonic() - started)


@contextmanager
def _executor(workspace: Workspace) -> Iterator[Executor]:
    """The recipe's executor; without one, work is done here."""
    use = workspace.recipe.executor
    executor: Executor = Inline() if use is None else workspace.registry.make(use)
    try:
        yield executor
    finally:
        if callable(close := getattr(executor, "close", None)):
            close()


@dataclass
class _Runner:
    workspace: Workspace
    tell: Listener
    stop: Callable[[], bool]
    calls: PaidCalls
    executor: Executor
    artifacts: dict[str, Artifact] = field(default_factory=dict)

    def build_all(self) -> None:
        for index, stage in enumerate(self.workspace.stages, start=1):
            key = stage.key({role: self.artifacts[name].input_digest for role, name in stage.inputs.items()})
            found = self.workspace.store.find(fingerprint(key), check=True)
            if found is None:
                found = self._build(stage, index, key)
            else:
                self.tell(StageFinished(stage.name, 0.0, True, found.digest, found.manifest.metrics.get("summary", "")))
            self.artifacts[stage.name] = found
            # After every stage, so that what a stopped run has finished is not collected before it goes on.
            reached = [artifact.manifest.fingerprint for artifact in self.artifacts.values()]
            self.workspace.store.pin(self.workspace.recipe.root, reached)

    def _build(self, stage: Stage, index: int, key: Mapping[str, JSON]) -> Artifact:
        started = time.monotonic()
        try:
            with self.workspace.store.building(fingerprint(key), waiting=self._waiting(stage)) as building:
                if building.hit is None:
                    count = len(self.workspace.stages)
                    self.tell(StageStarted(stage.name, stage.component, index, count, building.resumed))
                    built, spend = self._work(stage, building)
                    building.commit(self._manifest(stage, key, built, spend))
            artifact = self.workspace.store.find(fingerprint(key))
        except BaseException as exc:
            self.tell(StageFailed(stage.name, time.monotonic() - started, str(exc) or type(exc).__name__))
            _raise_as_ours(stage, exc)
            raise
        if artifact is None:
            message = (
                "its artifact disappeared from the store right after it was written; is something else cleaning the store?"
            )
            raise StageError(stage.name, message)
        metrics = artifact.manifest.metrics
        seconds = time.monotonic() - started
        self.tell(StageFinished(stage.name, seconds, False, artifact.digest, metrics.get("summary", ""), metrics))
        return artifact

    def _work(self, stage: Stage, building: Building) -> tuple[Built, Mapping[str, JSON]]:
        """What the stage built, and what it paid for model calls."""
        progress = _Throttled(stage.name, self.tell, self.stop)

        def log(message: str) -> None:
            self.tell(Note(stage.name, message))

        calls = self.calls.stage(stage.name, progress=progress, log=log)
        run = RunContext(
            seed=self.workspace.recipe.seed,
            scratch=building.scratch,
            services=self.workspace.registry.services,
            progress=progress,
            log=log,
            calls=calls,
            executor=self.executor,
            budget=self.workspace.recipe.budget,
        )
        inputs = {role: self.artifacts[name] for role, name in stage.inputs.items()}
        with ExitStack() as cleanup, stage_running(stage.name):
            built = stage.build(Work(inputs, building.output, run, self.workspace.registry, cleanup))
        return built, calls.spend

    def _manifest(self, stage: Stage, key: Mapping[str, JSON], built: Built, spend: Mapping[str, JSON]) -> Manifest:
        return Manifest(
            artifact=stage.artifact,
            stage_id=stage.id,
            component=stage.component,
            distribution=stage.steps[0].provided.distribution if stage.steps else "cogumi-core",
            fingerprint=fingerprint(key),
            fingerprint_inputs=key,
            stage=stage.name,
            recipe=self.workspace.recipe.name,
            deterministic=built.deterministic,
            why_not=built.why_not,
            metrics={**built.metrics, "summary": built.summary, **({"spend": spend} if spend else {})},
            format=built.format,
            facts=built.facts,
        )

    def _waiting(self, stage: Stage) -> Callable[[float], None]:
        def waiting(seconds: float) -> None:
            if self.stop():
                raise Interrupted(_RESUME)
            if seconds == 0:
                self.tell(Note(stage.name, "another run is building this; waiting for it"))

        return waiting


_RESUME = "stopped; what is finished is kept, and the same command goes on from here"


def _raise_as_ours(stage: Stage, exc: BaseException) -> None:
    """Turns what a component raised into an error of ours; usage errors and budgets keep their own exit codes."""
    if isinstance(exc, KeyboardInterrupt | Interrupted):
        message = f"'{stage.name}': {_RESUME}"
        raise Interrupted(message) from exc
    if isinstance(exc, BudgetExceeded | Pending | StageError) or not isinstance(exc, Exception):
        return
    if isinstance(exc, CogumiError):
        raise StageError(stage.name, str(exc)) from exc
    provider = ", ".join(step.provided.provider for step in stage.steps) or "cogumi-core"
    message = f"{type(exc).__name__}: {exc} (in {provider}; run again with --debug to see where)"
    raise StageError(stage.name, message) from exc


@dataclass
class _Throttled:
    """A component's progress as events, and the place where an interruption reaches it."""

    stage: str
    tell: Listener
    stop: Callable[[], bool]
    last: float = -1.0
    total: float | None = None

    def __call__(self, done: float, total: float | None = None, unit: str = "", **figures: float) -> None:
        if self.stop():
            raise Interrupted(_RESUME)
        now = time.monotonic()
        # The call engine, which shows progress while a stage waits for it, does not know how many there will be.
        total = self.total = self.total if total is None else total
        if now - self.last >= PROGRESS_SECONDS or done == total:
            self.last = now
            self.tell(StageProgress(self.stage, done, total, unit, figures))
