"""From a recipe to its stages, in the order in which they run.

This is the one place that knows which section feeds which. Nothing is loaded here: a stage is described by its components,
settings and the digests of the files they name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cogumi_core.api.locate import locate
from cogumi_core.api.types import ModelRef
from cogumi_core.measure.fidelity import HELD_OUT
from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.parse import Recipe, Step
from cogumi_core.stages.base import Stage
from cogumi_core.stages.data.distill import DistillStage
from cogumi_core.stages.data.prompts import DatasetStage, PromptsStage
from cogumi_core.stages.data.select import DedupStage, FilterStage
from cogumi_core.stages.experts import ModifierStage, RouterStage
from cogumi_core.stages.models.measure import MeasureStage
from cogumi_core.stages.models.models import CompressStage, TrainStage
from cogumi_core.store.fingerprint import input_files

SECTIONS: Final = ("sources", "dataset", "distill", "filter", "dedup", "train", "compress", "modifiers", "router")
STUDENT: Final = "student"
CALIBRATION: Final = "calibration"
REFERENCE: Final = "reference"
REFERENCE_TYPE: Final = "BF16"  # holds every bf16 and every dequantised 4-bit weight without loss
RUNNABLE: Final = "gguf"
"""The format that engines run, that adapters are made for, and that a system carries."""


def build_chain(
    recipe: Recipe, registry: Registry, student: ModelRef | None, digest: Callable[[Path], str]
) -> tuple[Stage, ...]:
    """The stages of `recipe`. Raises InputError when a file that the settings name is missing."""
    return tuple(_Chain(recipe, registry, student, digest).stages())


@dataclass
class _Chain:
    recipe: Recipe
    registry: Registry
    student: ModelRef | None
    digest: Callable[[Path], str]
    data: str | None = None
    model: str | None = None
    runnable: str | None = None

    def stages(self) -> Iterator[Stage]:
        yield from self._data()
        yield from self._training()
        yield from self._compression()
        yield from self._experts()

    def _data(self) -> Iterator[Stage]:
        recipe = self.recipe
        if recipe.dataset is not None:
            self.data = "dataset"
            content = self.digest(locate(recipe.dataset, recipe.base_dir))
            yield DatasetStage(name=self.data, seed=recipe.seed, files={"rows": content}, location=recipe.dataset)
        if recipe.sources:
            yield self._stage(PromptsStage, "sources", recipe.sources, {})
            self.data = "distill"
            yield self._stage(DistillStage, self.data, recipe.distill, {"prompts": "sources"})
        for step in (*recipe.filter, *([recipe.dedup] if recipe.dedup else [])):
            kind = FilterStage if step.section == "filter" else DedupStage
            yield self._stage(kind, step.label, (step,), self._from(dataset=self.data))
            self.data = step.label

    def _training(self) -> Iterator[Stage]:
        if self.recipe.train:
            step = self.recipe.train
            yield self._stage(TrainStage, step.label, (step,), self._from(dataset=self.data, model=self.model))
            self.model = step.label

    def _compression(self) -> Iterator[Stage]:
        reference = self._reference() if self._measurable() else None
        if reference is not None:
            yield reference
        for step in self.recipe.compress:
            texts = self.data if CALIBRATION in step.component.uses else None
            yield self._stage(CompressStage, step.label, (step,), self._from(dataset=texts, model=self.model))
            self.model = step.label
            if step.component.produces == RUNNABLE:
                self.runnable = step.label
                if self._measurable():
                    yield self._measurement(step, reference)

    def _reference(self) -> Stage | None:
        """The uncompressed student in a form that an engine runs, where it is not in one already."""
        if self.model is None and self.student is not None and self.student.format == RUNNABLE:
            return None
        provided = self.registry.get("compressor", "gguf")
        settings = self.registry.settings_model(provided).model_validate({"type": REFERENCE_TYPE})
        step = Step(section=REFERENCE, index=None, kind="compressor", provided=provided, settings=settings, share=None)
        return self._stage(CompressStage, REFERENCE, (step,), self._from(model=self.model))

    def _measurable(self) -> bool:
        """Measuring needs an engine, and the exporter to make the student runnable; without them the report says so."""
        chain_runs = any(step.component.produces == RUNNABLE for step in self.recipe.compress)
        has_exporter = "gguf" in self.registry.names("compressor")
        return self.recipe.measure.enabled and chain_runs and has_exporter and engine_name(self.registry) is not None

    def _measurement(self, step: Step, reference: Stage | None) -> Stage:
        measure = self.recipe.measure
        text = locate(measure.text, self.recipe.base_dir) if measure.text else HELD_OUT
        own = {} if reference else self._student_file()
        return MeasureStage(
            name=f"measure:{step.label}",
            seed=self.recipe.seed,
            inputs=self._from(candidate=step.label, reference=reference.name if reference else None),
            files=own,
            engine=engine_name(self.registry) or "",
            text=text,
            tokens=measure.tokens,
            context=measure.context,
        )

    def _experts(self) -> Iterator[Stage]:
        roles: dict[str, str] = {}
        for index, step in enumerate(self.recipe.modifiers):
            yield self._stage(ModifierStage, step.label, (step,), self._from(model=self.runnable))
            roles[f"modifier[{index}]"] = step.label
        if self.recipe.router:
            inputs = {**roles, **self._from(dataset=self.data)}
            yield self._stage(RouterStage, self.recipe.router.label, (self.recipe.router,), inputs)

    def _stage(self, kind: Callable[..., Stage], name: str, steps: tuple[Step, ...], inputs: Mapping[str, str]) -> Stage:
        files = self._step_files(steps)
        needs_model = kind in (TrainStage, CompressStage, ModifierStage) and "model" not in inputs
        if needs_model or any(STUDENT in step.component.uses for step in steps):
            files |= self._student_file()
        return kind(name=name, seed=self.recipe.seed, steps=steps, inputs=inputs, files=files)

    def _step_files(self, steps: tuple[Step, ...]) -> dict[str, str]:
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

    @staticmethod
    def _from(**roles: Any) -> dict[str, str]:
        return {role: name for role, name in roles.items() if name is not None}


def engine_name(registry: Registry) -> str | None:
    """The engine that measures: llama-cpp where it is installed, else the first there is."""
    names = registry.names("engine")
    return "llama-cpp" if "llama-cpp" in names else next(iter(names), None)


def section_of(stage: Stage) -> str:
    """The recipe section that a stage belongs to; a measurement belongs to compression."""
    if stage.steps and stage.name != REFERENCE:
        return stage.steps[0].section
    return "dataset" if isinstance(stage, DatasetStage) else "compress"


__all__ = ["REFERENCE", "RUNNABLE", "SECTIONS", "build_chain", "engine_name", "section_of"]
