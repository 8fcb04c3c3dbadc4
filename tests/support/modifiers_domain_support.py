"""A third party's benchmark that a tiny random model can learn, and builds of its modifier that other processes can run too."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from pydantic import Field

from cogumi_core import (
    Component,
    Grade,
    InputError,
    Message,
    ModelRef,
    ModifierReport,
    Registry,
    RunContext,
    Services,
    Settings,
    Task,
    hookimpl,
)

SETTINGS = {
    "lora_r": 8,
    "learning_rate": 2e-2,
    "epochs": 6.0,
    "max_tokens": 12,
    "max_prompt_tokens": 128,
    # More threads than free cores make a tiny model many times slower.
    "engine": {"use": "llama-cpp", "with": {"threads": 1}},
}
ANSWER = '{"fox": 3}'
SCHEMA = {"type": "object", "properties": {"fox": {"type": "integer"}}, "required": ["fox"], "additionalProperties": False}


class FoxSettings(Settings):
    """What varies from test to test. `words`: how long the first question of each split is."""

    has_schema: bool = Field(True, description="whether answers are constrained")
    validate_tasks: int = Field(12, ge=0, le=100, description="held-out tasks")
    words: int = Field(1, ge=0, le=1000, description="words at the end of each split's first question")
    references: bool = Field(True, description="whether tasks say a right answer")


class Foxes:
    """How many foxes? Always three; a random model does not know. `asked` and `graded` keep what a modifier wanted of it."""

    domain = "foxes"
    asked: list[str]
    graded: list[str]

    def __init__(self, settings: FoxSettings, services: Services) -> None:
        self._settings = settings
        self._sizes = {"mine": 6, "train": 24, "validate": settings.validate_tasks}
        self.asked, self.graded = [], []
        MADE.append(self)

    def tasks(self, split: str, run: RunContext) -> Iterator[Task]:
        self.asked.append(split)
        if split not in self._sizes:
            message = f"no split '{split}'; the splits are {', '.join(self._sizes)}"
            raise InputError(message)
        for index in range(self._sizes[split]):
            question = f"how many foxes in {split} {index}?" + " dog" * (self._settings.words if index == 0 else 0)
            yield Task(
                id=f"{split}-{index}",
                messages=(Message("user", question),),
                domain=self.domain,
                group=f"{split}-{index}",
                expected=ANSWER,
                reference=ANSWER if self._settings.references else None,
                schema=SCHEMA if self._settings.has_schema else None,
            )

    def grade(self, task: Task, answer: str, run: RunContext) -> Grade:
        self.graded.append(task.id)
        correct = answer.strip() == task.expected
        return Grade(correct, float(correct), "" if correct else "wrong number")


MADE: list[Foxes] = []
"""Every one that was made, the newest last."""


def zoo(version: str = "1") -> SimpleNamespace:
    """A plugin that offers the benchmark, and nothing else."""

    @hookimpl
    def cogumi_register_benchmarks() -> list[Component]:
        return [Component("benchmark", "foxes", "counts foxes", config=FoxSettings, factory=Foxes, version=version)]

    return SimpleNamespace(cogumi_register_benchmarks=cogumi_register_benchmarks)


def registry_with_foxes(version: str = "1") -> Registry:
    """What is installed here, and the third party's plugin."""
    registry = Registry.installed()
    registry.host.register(zoo(version), "zoo", "zoo", "1.0")
    return registry


def build(
    base: Path,
    folder: Path,
    progress: Callable[..., None] | None = None,
    benchmark: dict[str, Any] | None = None,
    **settings: Any,
) -> ModifierReport:
    """Builds in `folder`, goes on from what is there, and writes into `folder/output`. `benchmark`: settings of the foxes."""
    for name in ("scratch", "output"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    registry = registry_with_foxes()
    foxes = {"use": "foxes", "with": benchmark or {}}
    modifier = registry.create("modifier", "domain", benchmark=foxes, **{**SETTINGS, **settings})
    run = RunContext(17, folder / "scratch", registry.services, **({"progress": progress} if progress else {}))
    report: ModifierReport = modifier.build(ModelRef(base, "gguf", ""), folder / "output", run)
    return report


class KilledAt:
    """Progress that kills its own process, as the system would, at the given call."""

    def __init__(self, call: int) -> None:
        self._left = call

    def __call__(self, done: float, total: float | None = None, unit: str = "", **figures: float) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Arguments: BASE FOLDER THREADS CALL."""
    base, folder, threads, call = sys.argv[1:]
    torch.set_num_threads(int(threads))
    build(Path(base), Path(folder), KilledAt(int(call)))


if __name__ == "__main__":
    main()
