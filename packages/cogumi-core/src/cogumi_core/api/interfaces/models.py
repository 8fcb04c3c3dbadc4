"""Kinds that make and grade models: trainers, compressors, benchmarks, modifiers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from cogumi_core.api.interfaces.context import Dataset, RunContext
from cogumi_core.api.types import Grade, ModelRef, ModelReport, ModifierReport, Task


@runtime_checkable
class Trainer(Protocol):
    """Fits a student. Writes a Hugging Face model (safetensors, tokenizer, chat template) into `output`; keeps checkpoints in
    `run.scratch` and goes on from the newest one. In `compress:` it recovers what a step before it damaged: it honours
    `base.facts` (masks are held), and `run.reference` is the model from before the damage."""

    def train(self, base: ModelRef, dataset: Dataset, output: Path, run: RunContext) -> ModelReport: ...


@runtime_checkable
class Compressor(Protocol):
    """One step that makes a model smaller, from a format its `Component` `accepts` to the one it `produces`. Writes the model
    into `output`: a Hugging Face directory as it is, `model.gguf`, or a packed file. Reports the facts of its result: of
    `model.facts` it passes on what still holds. A component that uses `calibration` finds texts in `run.calibration`."""

    def compress(self, model: ModelRef, output: Path, run: RunContext) -> ModelReport: ...


@runtime_checkable
class Benchmark(Protocol):
    """Graded tasks in disjoint splits `mine`, `train`, `validate` (the same seed gives the same splits; no `group` is in two).
    `grade` must not raise on any answer, however odd, and grades `task.reference` as correct where there is one. `domain` names
    what its tasks are about."""

    domain: str

    def tasks(self, split: str, run: RunContext) -> Iterator[Task]: ...

    def grade(self, task: Task, answer: str, run: RunContext) -> Grade: ...


@runtime_checkable
class Modifier(Protocol):
    """Builds adapters of one domain for exactly the base that will be served. Writes a folder for each adapter that it offers
    (`AdapterOffer.folder`), with `adapter.gguf` and `outcomes.jsonl` in it."""

    def build(self, base: ModelRef, output: Path, run: RunContext) -> ModifierReport: ...
