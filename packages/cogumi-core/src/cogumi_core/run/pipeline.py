"""Runs a recipe: builds what the store does not hold, stage by stage, and delivers the result.

Interruption: the first Ctrl-C lets the current step end (trainers write a checkpoint), the second stops at once; in both cases,
as after a kill, the same command goes on. A finished stage is never built twice, an answered call never asked twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from cogumi_core.api.errors import BudgetExceeded, CogumiError, Interrupted, StageError
from cogumi_core.api.events import Event, Listener, Note, StageFailed, StageFinished, StageProgress, StageStarted
from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import JSON
from cogumi_core.calls import Dispatcher, open_dispatcher
from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.parse import Recipe
from cogumi_core.run.planning import Plan, PlannedStage, check_keys, kind_of, plan
from cogumi_core.run.workspace import Session, open_session
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
    session = open_session(recipe, store=store, registry=registry, only=only)

    def tell(event: Event) -> None:
        listener(event)
        session.registry.host.notify(event)

    paying = open_dispatcher(
        session.store.calls_path,
        recipe=session.recipe.name,
        usd=session.recipe.budget.usd,
        max_cost=max_cost,
        environ=session.registry.services.environ,
    )
    with paying as dispatcher:
        runner = _Runner(session, tell, stop, dispatcher)
        with session.store.in_use():
            check_keys(session)
            runner.build_all()
            delivered = deliver(session, runner.artifacts, Path(out), lambda message: tell(Note("system", message)))
    return Run(session.recipe, session.stages, runner.artifacts, Path(out), delivered, time.monotonic() - started)


def _root(recipe: Recipe) -> str:
    """What the store calls the recipe: its file, so that two recipes of one name keep their own artifacts."""
    return str(recipe.path.resolve()) if recipe.path else recipe.name


@dataclass
class _Runner:
    session: Session
    tell: Listener
    stop: Callable[[], bool]
    dispatcher: Dispatcher
    artifacts: dict[str, Artifact] = field(default_factory=dict)

    def build_all(self) -> None:
        for index, stage in enumerate(self.session.stages, start=1):
            key = stage.key({role: self.artifacts[name].input_digest for role, name in stage.inputs.items()})
            found = self.session.store.find(fingerprint(key), check=True)
            if found is None:
                found = self._build(stage, index, key)
            else:
                self.tell(StageFinished(stage.name, 0.0, True, found.digest, found.manifest.metrics.get("summary", "")))
            self.artifacts[stage.name] = found
            # After every stage, so that what a stopped run has finished is not collected before it goes on.
            self.session.store.pin(_root(self.session.recipe), [a.manifest.fingerprint for a in self.artifacts.values()])

    def _build(self, stage: Stage, index: int, key: Mapping[str, JSON]) -> Artifact:
        started = time.monotonic()
        try:
            with self.session.store.building(fingerprint(key), waiting=self._waiting(stage)) as building:
                if building.hit is None:
                    event = StageStarted(stage.name, stage.component, index, len(self.session.stages), building.resumed)
                    self.tell(event)
                    with ExitStack() as cleanup:
                        built = stage.build(self._work(stage, building, cleanup))
                    building.commit(self._manifest(stage, key, built))
            artifact = self.session.store.find(fingerprint(key))
        except BaseException as exc:
            self.tell(StageFailed(stage.name, time.monotonic() - started, str(exc) or type(exc).__name__))
            _raise_as_ours(stage, exc)
            raise
        if artifact is None:
            message = (
                "its artifact disappeared from the store right after it was written; is something else cleaning the store?"
            )
            raise StageError(stage.name, message)
        summary = artifact.manifest.metrics.get("summary", "")
        seconds = time.monotonic() - started
        self.tell(StageFinished(stage.name, seconds, False, artifact.digest, summary, artifact.manifest.metrics))
        return artifact

    def _work(self, stage: Stage, building: Building, cleanup: ExitStack) -> Work:
        session = self.session
        context = RunContext(
            seed=session.recipe.seed,
            scratch=building.scratch,
            services=session.registry.services,
            progress=_Throttled(stage.name, self.tell, self.stop),
            log=lambda message: self.tell(Note(stage.name, message)),
        )
        inputs = {role: self.artifacts[name] for role, name in stage.inputs.items()}
        return Work(inputs, building.output, context, session.registry, self.dispatcher, cleanup)

    def _manifest(self, stage: Stage, key: Mapping[str, JSON], built: Built) -> Manifest:
        return Manifest(
            artifact=stage.kind,
            kind=kind_of(stage),
            component=stage.component,
            distribution=stage.steps[0].provided.distribution if stage.steps else "cogumi-core",
            fingerprint=fingerprint(key),
            fingerprint_inputs=key,
            stage=stage.name,
            recipe=self.session.recipe.name,
            deterministic=built.deterministic,
            why_not=built.why_not,
            metrics={**built.metrics, "summary": built.summary},
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
    if isinstance(exc, BudgetExceeded | StageError) or not isinstance(exc, Exception):
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

    def __call__(self, done: float, total: float | None = None, unit: str = "", **figures: float) -> None:
        if self.stop():
            raise Interrupted(_RESUME)
        now = time.monotonic()
        if now - self.last >= PROGRESS_SECONDS or done == total:
            self.last = now
            self.tell(StageProgress(self.stage, done, total, unit, figures))
