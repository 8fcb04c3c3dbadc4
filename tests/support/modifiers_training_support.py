"""What the tests of training share: a small model, rows, and one training that other processes can run too."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from cogumi_core.api.interfaces import RunContext, Services
from cogumi_core.api.types import Example, Message, ModelRef, TrainReport
from cogumi_core.plugins.registry import Registry
from cogumi_core.store.digests import DigestCache, digest_path
from cogumi_modifiers.config import QloraSettings
from cogumi_modifiers.students.hf import load_student
from cogumi_modifiers.trainers.qlora import Qlora
from cogumi_modifiers.training.adapters import add_adapters
from cogumi_modifiers.training.sft import TrainingRow, encode

SHORT = {"max_steps": 12, "save_steps": 4, "learning_rate": 5e-3, "lora_r": {"attention": 8, "ffn": 4}, "lora_dropout": 0.1}


def examples(count: int = 24) -> list[Example]:
    return [Example(str(i), f"what is {i} plus {i}?", f"the answer is {2 * i}") for i in range(count)]


def reference(path: Path) -> ModelRef:
    return ModelRef(path, "hf" if path.is_dir() else "gguf", digest_path(path, DigestCache(None)))


def services() -> Services:
    return Registry.installed().services


def adapted(path: Path, dtype: torch.dtype = torch.float32, rank: int = 4) -> tuple[Any, Any]:
    """(a model with fresh adapters, its tokenizer)."""
    model, tokenizer = load_student(reference(path), dtype)
    both = {"attention": rank, "ffn": rank}
    return add_adapters(model, rank=both, alpha={"attention": 2.0 * rank, "ffn": 2.0 * rank}, seed=3), tokenizer


def rows(tokenizer: Any, count: int = 8) -> list[TrainingRow]:
    return [encode(tokenizer, [Message("user", row.instruction)], row.response) for row in examples(count)]


def train(base: Path, folder: Path, data: Any = None, progress: Any = None, **settings: Any) -> TrainReport:
    """Trains in `folder`, goes on from what is there, and writes the student into `folder/output`."""
    (folder / "scratch").mkdir(parents=True, exist_ok=True)
    run = RunContext(17, folder / "scratch", services(), **({"progress": progress} if progress else {}))
    trainer = Qlora(QloraSettings(**{**SHORT, **settings}), services())
    return trainer.train(reference(base), examples() if data is None else data, folder / "output", run)


def main() -> None:
    """Arguments: BASE FOLDER THREADS SETTINGS. One training that holds at step 6 for ever, so that it can be killed there."""
    base, folder, threads, settings = sys.argv[1:]
    torch.set_num_threads(int(threads))
    train(Path(base), Path(folder), progress=hold_at_step_6, **json.loads(settings))


def hold_at_step_6(done: float, *_: Any, **__: Any) -> None:
    while done >= 6:
        time.sleep(60)


if __name__ == "__main__":
    main()
