"""From a recipe to its stages, in the order in which they run.

The table of sections says which section feeds which; here it is followed. Nothing is loaded: a stage is described by its
components, settings and the digests of the files they name. What is put between the sections is here too: the uncompressed
student in a form that runs, the measurement behind each step that an engine can run, the choice among adapters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cogumi_core.api.component import load_object
from cogumi_core.api.errors import PluginError
from cogumi_core.api.locate import locate
from cogumi_core.api.sections import Section
from cogumi_core.api.types import ModelRef
from cogumi_core.api.use import Use
from cogumi_core.measure.fidelity import HELD_OUT
from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.form import Recipe, Step
from cogumi_core.stages.base import UNCOMPRESSED, Stage, uses_of
from cogumi_core.stages.choose import ChooseStage
from cogumi_core.stages.data.prompts import DatasetStage
from cogumi_core.stages.models.compress import CompressStage
from cogumi_core.stages.models.measure import MeasureStage
from cogumi_core.store.fingerprint import input_files

STUDENT: Final = "student"
REFERENCE: Final = "reference"
CHOICE: Final = "choose"
PACKED: Final = "packed"

Digest = Callable[[Path], str]


def build_chain(recipe: Recipe, registry: Registry, student: ModelRef | None, digest: Digest) -> tuple[Stage, ...]:
    """The stages of `recipe`. Raises InputError when a file that the settings name is missing."""
    return tuple(_Chain(recipe, registry, student, digest).stages())


def section_of(stage: Stage) -> str:
    """The section of the recipe that a stage belongs to."""
    if isinstance(stage, DatasetStage):
        return "dataset"
    if isinstance(stage, ChooseStage):
        return "modifiers"
    if isinstance(stage, MeasureStage) or stage.name == REFERENCE:
        return "compress"
    return stage.steps[0].section


def runnable_formats(registry: Registry, engine: Use[Any] | None) -> frozenset[str]:
    """The formats that the engine runs; none without an engine."""
    return frozenset() if engine is None else registry.get("engine", engine.name).component.accepts


@dataclass
class _Chain:
    recipe: Recipe
    registry: Registry
    student: ModelRef | None
    digest: Digest
    roles: dict[str, list[str]] = field(default_factory=dict)
    reference: Stage | None = None

    def __post_init__(self) -> None:
        self.runnable = runnable_formats(self.registry, self.recipe.engine)

    def stages(self) -> Iterator[Stage]:
        recipe = self.recipe
        if recipe.dataset is not None:
            content = self.digest(locate(recipe.dataset, recipe.base_dir))
            yield self._given(DatasetStage(name="dataset", seed=recipe.seed, files={"rows": content}, location=recipe.dataset))
        for name, steps in recipe.sections.items():
            section = recipe.table[name]
            if name == "compress":
                if model := self._newest("model"):
                    self.roles[UNCOMPRESSED] = [model]
                yield from self._uncompressed(steps)
            for group in [(step,) for step in steps] if section.each else [steps]:
                stage = self._stage(section, group)
                yield stage
                self._take(section, stage)
                if section.gives == "model" and name == "compress":
                    yield from self._measurement(stage)
            if section.gives == "adapters":
                yield self._choice()

    def _given(self, stage: Stage) -> Stage:
        self.roles.setdefault("dataset", []).append(stage.name)
        return stage

    def _take(self, section: Section, stage: Stage) -> None:
        """What the stage gives is there for those that follow."""
        if section.gives is not None:
            self.roles.setdefault(section.gives, []).append(stage.name)
        if section.gives != "model":
            return
        component = stage.steps[-1].component
        if component.produces in self.runnable:
            self.roles.setdefault("runnable", []).append(stage.name)
            self.roles.pop(PACKED, None)  # what was packed before is not the base any more
        elif component.packs:
            self.roles[PACKED] = [stage.name]

    def _stage(self, section: Section, steps: Sequence[Step]) -> Stage:
        kind: Any = load_object(section.stage)
        if not (isinstance(kind, type) and issubclass(kind, Stage)):
            message = f"the section '{section.name}' names the stage '{section.stage}', which is no cogumi_core.Stage"
            raise PluginError(message)
        inputs = kind.wiring(section, steps, self.roles)
        files = self._step_files(steps)
        uses = {name for step in steps for name in uses_of(step)}
        of_models = {"model", "runnable"} & {*section.inputs, *section.optional}
        starts = bool(of_models) and not {"model", "runnable"} & inputs.keys()
        if starts or STUDENT in uses or ("reference" in uses and "reference" not in inputs):
            files |= self._student_file()
        return kind(
            name=section.name if not section.each else steps[0].label,
            seed=self.recipe.seed,
            steps=tuple(steps),
            inputs=inputs,
            files=files,
        )

    # --- what stands between the sections ---

    def _uncompressed(self, steps: Sequence[Step]) -> Iterator[Stage]:
        """The model before compression in a form that an engine runs, where it is not in one already and something needs it."""
        if not self._measurable(steps) or (self._newest("model") is None and self._student_runs()):
            return
        provided = self.registry.exporter(self.runnable)
        if provided is None:
            return
        settings = self.registry.settings_model(provided).model_validate(dict(provided.component.exact or {}))
        step = Step(section="compress", index=None, kind="compressor", provided=provided, settings=settings, share=None)
        model = self._newest("model")
        inputs = {} if model is None else {"model": model}
        files = self._step_files((step,)) | ({} if inputs else self._student_file())
        self.reference = CompressStage(name=REFERENCE, seed=self.recipe.seed, steps=(step,), inputs=inputs, files=files)
        yield self.reference

    def _measurable(self, steps: Sequence[Step]) -> bool:
        """Measuring needs an engine for what the chain gives, and a way to run what it starts from."""
        gives = any(step.component.produces in self.runnable for step in steps)
        starts = self._newest("model") is None and self._student_runs()
        return self.recipe.measure.enabled and gives and (starts or self.registry.exporter(self.runnable) is not None)

    def _measurement(self, stage: Stage) -> Iterator[Stage]:
        step = stage.steps[-1]
        if self.recipe.engine is None or step.component.produces not in self.runnable:
            return
        if not self._measurable(stage.steps) and self.reference is None:
            return
        measure = self.recipe.measure
        reference = {} if self.reference is None else {"reference": self.reference.name}
        yield MeasureStage(
            name=f"measure:{stage.name}",
            seed=self.recipe.seed,
            inputs={"candidate": stage.name, **reference},
            files={} if reference else self._student_file(),
            engine=self.recipe.engine,
            text=locate(measure.text, self.recipe.base_dir) if measure.text else HELD_OUT,
            tokens=measure.tokens,
            context=measure.context,
        )

    def _choice(self) -> Stage:
        """Which adapters the system carries, under its bytes."""
        adapters = {f"adapters[{index}]": name for index, name in enumerate(self.roles["adapters"])}
        base = self._newest("runnable")
        packed = self._newest(PACKED)
        inputs = {**adapters, **({"base": base} if base else {}), **({"packed": packed} if packed else {})}
        files = {} if base else self._student_file()
        stage = ChooseStage(
            name=CHOICE,
            seed=self.recipe.seed,
            inputs=inputs,
            files=files,
            limit=self.recipe.budget.bytes,
            names=tuple(step.component.name for step in self.recipe.of("modifiers")),
        )
        self.roles["choice"] = [stage.name]
        return stage

    # --- what is there ---

    def _newest(self, role: str) -> str | None:
        names = self.roles.get(role)
        return names[-1] if names else None

    def _student_runs(self) -> bool:
        return self.student is not None and self.student.format in self.runnable

    def _step_files(self, steps: Sequence[Step]) -> dict[str, str]:
        """Content digests of the files that settings name; `student` in a file field means the recipe's student."""
        found: dict[str, str] = {}
        for number, step in enumerate(steps):
            for name, text in input_files(step.settings).items():
                is_student = text == STUDENT and self.student is not None
                content = self._student_file()[STUDENT] if is_student else self.digest(locate(text, self.recipe.base_dir))
                found[f"{step.component.name}[{number}].{name}"] = content
        return found

    def _student_file(self) -> dict[str, str]:
        return {STUDENT: self.student.digest} if self.student else {}
