"""What every stage is: a name, its inputs, what identifies its result, and how to build it.

A stage turns a narrow component into files: it opens the inputs, calls the component, writes the output and counts. It never
decides where things are stored, whether they are needed, or what comes next: that is the pipeline's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import JSON
from cogumi_core.store.fingerprint import settings_for_fingerprint

if TYPE_CHECKING:
    from cogumi_core.calls import Dispatcher
    from cogumi_core.plugins.registry import Registry
    from cogumi_core.recipe.parse import Step
    from cogumi_core.store.artifacts import Artifact


@dataclass(frozen=True, slots=True)
class Work:
    """What a stage builds with. `dispatcher` pays for model calls; `cleanup` ends with the stage."""

    inputs: Mapping[str, Artifact]
    output: Path
    run: RunContext
    registry: Registry
    dispatcher: Dispatcher
    cleanup: ExitStack

    def make(self, step: Step) -> Any:
        """The component of `step`, with its settings. One that has a `close` is closed when the stage ends."""
        component = self.registry.build(step.provided, step.settings)
        if callable(close := getattr(component, "close", None)):
            self.cleanup.callback(close)
        return component


@dataclass(frozen=True, slots=True)
class Built:
    """What a stage has to say of its result. `summary` is one line for a person; `facts` travel with a model."""

    summary: str
    metrics: Mapping[str, JSON] = field(default_factory=dict)
    facts: Mapping[str, JSON] = field(default_factory=dict)
    deterministic: bool = True
    why_not: str = ""


@dataclass(frozen=True, kw_only=True)
class Stage(ABC):
    """One node of the plan. `inputs` maps a role to the name of the stage that provides it; `files` maps a role to the
    content digest of something outside the plan (the student, files that settings name)."""

    kind: ClassVar[str] = "dataset"
    """Kind of the artifact: dataset, model, adapter, router or measurement."""

    name: str
    seed: int
    steps: tuple[Step, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def component(self) -> str:
        """Name for people and for the store's folders."""
        return "+".join(step.component.name for step in self.steps) or self.name

    def key(self, digests: Mapping[str, str]) -> dict[str, JSON]:
        """Everything that determines the result; `digests` maps each role of `inputs` to a content digest."""
        return {
            "schema": 1,
            "stage": type(self).__name__,
            "components": [_step_key(step) for step in self.steps],
            "inputs": {**digests, **self.files},
            "seed": self.seed,
            **self.extra_key(),
        }

    def extra_key(self) -> Mapping[str, JSON]:
        """What else determines the result of this kind of stage."""
        return {}

    @abstractmethod
    def build(self, work: Work) -> Built:
        """Writes the payload into `work.output`."""


def _step_key(step: Step) -> dict[str, JSON]:
    key: dict[str, JSON] = {
        "kind": step.kind,
        "component": step.component.name,
        "version": step.component.version,
        "settings": settings_for_fingerprint(step.settings),
    }
    return key if step.share is None else {**key, "share": step.share}


def declared(steps: tuple[Step, ...]) -> tuple[bool, str]:
    """Whether all components of `steps` declare themselves deterministic, and why not."""
    reasons = [f"{step.component.name}: {step.component.why_not}" for step in steps if not step.component.deterministic]
    return not reasons, "; ".join(reasons)
