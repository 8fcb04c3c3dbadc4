"""A domain that a tiny random model can learn, and builds of its modifier that other processes can run too."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import Grade, Message, ModelRef, ModifierReport, Task
from cogumi_core.plugins.registry import Registry
from cogumi_modifiers.config import DomainSettings
from cogumi_modifiers.domains.domain import DomainModifier

SETTINGS = {
    "lora_r": 8,
    "lora_alpha": 16,
    "learning_rate": 2e-2,
    "epochs": 6.0,
    "max_tokens": 12,
    "max_prompt_tokens": 128,
    # More threads than free cores make a tiny model many times slower.
    "engine_threads": 1,
}
ANSWER = '{"fox": 3}'
SCHEMA = {"type": "object", "properties": {"fox": {"type": "integer"}}, "required": ["fox"], "additionalProperties": False}


class Foxes:
    """How many foxes? Always three; a random model does not know. With a schema, if asked for."""

    domain = "foxes"

    def __init__(self, *, schema: bool = True, validate: int = 12, words: int = 1, references: bool = True) -> None:
        self._schema, self._words, self._references = schema, words, references
        self._sizes = {"mine": 6, "train": 24, "validate": validate}

    def tasks(self, split: str) -> Iterator[Task]:
        for index in range(self._sizes[split]):
            question = f"how many foxes in {split} {index}?" + " dog" * (self._words if index == 0 else 0)
            yield Task(
                id=f"{split}-{index}",
                messages=(Message("user", question),),
                domain=self.domain,
                group=f"{split}-{index}",
                expected=ANSWER,
                reference=ANSWER if self._references else None,
                schema=SCHEMA if self._schema else None,
            )

    def grade(self, task: Task, answer: str) -> Grade:
        correct = answer.strip() == task.expected
        return Grade(correct, float(correct), "" if correct else "wrong number")


def build(base: Path, folder: Path, progress: Any = None, benchmark: Any = None, **settings: Any) -> ModifierReport:
    """Builds in `folder`, goes on from what is there, and writes into `folder/output`."""
    for name in ("scratch", "output"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    services = Registry.installed().services
    run = RunContext(17, folder / "scratch", services, **({"progress": progress} if progress else {}))
    modifier = DomainModifier("foxes", benchmark or Foxes(), DomainSettings(**{**SETTINGS, **settings}), services)
    return modifier.build(ModelRef(base, "gguf", ""), folder / "output", run)


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
