"""What every stage is: an id, its inputs, what identifies its result, and how to build it.

A stage turns narrow components into files: it opens the inputs, calls the component, writes the output and counts. It never
decides where things are stored, whether they are needed, or what comes next: that is the pipeline's. A plugin's section brings
a stage of this kind too."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from cogumi_core.api.component import KINDS
from cogumi_core.api.errors import PluginError
from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import JSON, ModelFacts
from cogumi_core.store.fingerprint import component_for_fingerprint

if TYPE_CHECKING:
    from cogumi_core.api.sections import Section
    from cogumi_core.plugins.registry import Registry
    from cogumi_core.recipe.form import Step
    from cogumi_core.store.artifacts import Artifact

Made = TypeVar("Made")
Roles = Mapping[str, Sequence[str]]
"""What flows from section to section: role to the names of the stages that gave it, the newest last."""
UNCOMPRESSED: Final = "uncompressed"
"""The role of the model that `compress:` starts from, where a stage made it."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a stage builds with. `cleanup` ends with the stage."""

    inputs: Mapping[str, Artifact]
    output: Path
    run: RunContext
    registry: Registry
    cleanup: ExitStack

    def make(self, step: Step, kind: type[Made]) -> Made:
        """The component of `step`, with its settings. One that has a `close` is closed when the stage ends."""
        component: Made = self.registry.build(step.provided, step.settings)
        # The registry has checked the kinds that it knows; of one that a plugin brought, the stage's own protocol tells.
        if step.kind not in KINDS and getattr(kind, "_is_runtime_protocol", False) and not isinstance(component, kind):
            owner = f"{step.kind} '{step.component.name}' of {step.provided.provider}"
            message = f"{owner} is no {kind.__name__}: a method is missing"
            raise PluginError(message)
        if callable(close := getattr(component, "close", None)):
            self.cleanup.callback(close)
        return component


@dataclass(frozen=True, slots=True)
class Built:
    """What a stage has to say of its result. `summary` is one line for a person; `format` and `facts` are a model's."""

    summary: str
    metrics: Mapping[str, JSON] = field(default_factory=dict)
    facts: ModelFacts | None = None
    format: str = ""
    deterministic: bool = True
    why_not: str = ""


@dataclass(frozen=True, kw_only=True)
class Stage(ABC):
    """One node of the plan. `inputs` maps a role to the name of the stage that provides it; `files` maps a role to the
    content digest of something outside the plan (the student, files that settings name)."""

    id: ClassVar[str]
    """What the stage is called in fingerprints and manifests; it never changes, whatever becomes of the class."""
    artifact: ClassVar[str] = "dataset"
    """What it gives: dataset, model, adapter, router, measurement, or a plugin's own word."""

    name: str
    seed: int
    steps: tuple[Step, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def wiring(cls, section: Section, steps: Sequence[Step], roles: Roles) -> dict[str, str]:
        """The inputs for these steps, of what the sections before have given: the newest of each role; all adapters,
        numbered."""
        found: dict[str, str] = {}
        for role in (*section.inputs, *section.optional):
            names = roles.get(role, ())
            if role == "adapters":
                found |= {f"adapters[{index}]": name for index, name in enumerate(names)}
            elif names:
                found[role] = names[-1]
        return found

    @property
    def component(self) -> str:
        """Name for people and for the store's folders."""
        return "+".join(step.component.name for step in self.steps) or self.name

    def key(self, digests: Mapping[str, str]) -> dict[str, JSON]:
        """Everything that determines the result; `digests` maps each role of `inputs` to a content digest."""
        return {
            "schema": 2,
            "stage": self.id,
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


def _step_key(step: Step) -> dict[str, Any]:
    key = component_for_fingerprint(step.provided, step.settings)
    return key if step.share is None else {**key, "share": step.share}


def uses_of(step: Step) -> frozenset[str]:
    """What the component and those inside it use beyond the usual inputs. A trainer in `compress:` always has its rows and the
    uncompressed model."""
    trains = {"dataset", "reference"} if step.kind == "trainer" and step.section == "compress" else set()
    return frozenset(trains).union(*(provided.component.uses for provided, _ in step.used))


def declared(steps: Sequence[Step]) -> tuple[bool, str]:
    """Whether all components of `steps`, and those inside them, declare themselves deterministic, and why not."""
    components = [provided.component for step in steps for provided, _ in step.used]
    reasons = [f"{component.name}: {component.why_not}" for component in components if not component.deterministic]
    return not reasons, "; ".join(reasons)
