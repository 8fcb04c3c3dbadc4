"""What the tests of training share: a small model, rows, and one training that other processes can run too."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from cogumi_core import Example, ModelFacts, ModelRef, ModelReport, Registry, RunContext, Services
from cogumi_core.store.digests import DigestCache, digest_path
from cogumi_core.testing import written_dataset
from cogumi_modifiers.students.hf import load_student
from cogumi_modifiers.trainers.qlora import Qlora
from cogumi_modifiers.trainers.settings import QloraSettings
from cogumi_modifiers.training.adapters import add_adapters
from cogumi_modifiers.training.rows import RowEncoder, TrainingRow

SHORT = {"max_steps": 12, "save_steps": 4, "learning_rate": 5e-3, "lora_r": {"attention": 8, "ffn": 4}, "lora_dropout": 0.1}


def examples(count: int = 24) -> list[Example]:
    return [Example.of(str(i), f"what is {i} plus {i}?", f"the answer is {2 * i}") for i in range(count)]


def reference(path: Path, facts: ModelFacts | None = None) -> ModelRef:
    digest = digest_path(path, DigestCache(None))
    return ModelRef(path, "hf" if path.is_dir() else "gguf", digest, facts or ModelFacts())


def services() -> Services:
    return Registry.installed().services


def adapted(path: Path, dtype: torch.dtype = torch.float32, rank: int = 4) -> tuple[Any, Any]:
    """(a model with fresh adapters, its tokenizer)."""
    model, tokenizer = load_student(reference(path), dtype)
    both = {"attention": rank, "ffn": rank}
    return add_adapters(model, rank=both, alpha={"attention": 2.0 * rank, "ffn": 2.0 * rank}, seed=3), tokenizer


def rows(tokenizer: Any, count: int = 8) -> list[TrainingRow]:
    encoder = RowEncoder(tokenizer)
    return [encoder.row(row.prompt, row.answer.text) for row in examples(count)]


def train(
    base: Path | ModelRef,
    folder: Path,
    data: Iterable[Example] | None = None,
    run: dict[str, Any] | None = None,
    **settings: Any,
) -> ModelReport:
    """Trains in `folder`, goes on from what is there, and writes the student into `folder/output`. `run`: fields of its
    context."""
    (folder / "scratch").mkdir(parents=True, exist_ok=True)
    dataset = written_dataset(folder / "data", examples() if data is None else data)
    context = RunContext(17, folder / "scratch", services(), **(run or {}))
    trainer = Qlora(QloraSettings(**{**SHORT, **settings}), services())
    return trainer.train(base if isinstance(base, ModelRef) else reference(base), dataset, folder / "output", context)


def main() -> None:
    """Arguments: BASE FOLDER THREADS SETTINGS. One training that holds at step 6 for ever, so that it can be killed there."""
    base, folder, threads, settings = sys.argv[1:]
    torch.set_num_threads(int(threads))
    train(Path(base), Path(folder), run={"progress": hold_at_step_6}, **json.loads(settings))


def hold_at_step_6(done: float, *_: Any, **__: Any) -> None:
    while done >= 6:
        time.sleep(60)


if __name__ == "__main__":
    main()
