"""Trains the adapter of a modifier on the weights that will be served, and writes it as GGUF.

The base is the compressed GGUF, dequantised: an adapter fitted on the original weights would meet the error of the compression
for the first time when it is served. Everything is resumable: the finished adapter is kept in scratch, the losses beside it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch

from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import LossPoint, ModelRef, Task
from cogumi_core.store.atomic import write_atomic
from cogumi_modifiers.config import DomainSettings
from cogumi_modifiers.students.hf import load_student
from cogumi_modifiers.training.adapters import add_adapters
from cogumi_modifiers.training.lora_gguf import export_adapter
from cogumi_modifiers.training.sft import FineTuneSettings, encode, fine_tune

ADAPTER: Final = "adapter.gguf"
SAVE_STEPS: Final = 10  # a checkpoint of a small adapter takes a fraction of a step


@dataclass(frozen=True, slots=True)
class TrainedAdapter:
    """`seconds` are those of the attempt that finished; `device` is `cpu` or `cuda`."""

    path: Path
    losses: tuple[LossPoint, ...]
    seconds: float
    device: str


def train_adapter(
    base: ModelRef, tasks: Sequence[Task], settings: DomainSettings, *, domain: str, run: RunContext
) -> TrainedAdapter:
    """Fits an adapter on every linear layer to the tasks' references. Goes on from where a killed attempt stopped."""
    path, facts = run.scratch / ADAPTER, run.scratch / "training.json"
    if not path.exists():
        _train(base, tasks, settings, domain=domain, run=run, path=path, facts=facts)
    stored = json.loads(facts.read_text(encoding="utf-8"))
    losses = tuple(LossPoint(**point) for point in stored["losses"])
    return TrainedAdapter(path, losses, stored["seconds"], stored["device"])


def _train(
    base: ModelRef, tasks: Sequence[Task], settings: DomainSettings, *, domain: str, run: RunContext, path: Path, facts: Path
) -> None:
    started = time.monotonic()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, tokenizer = load_student(base, torch.bfloat16)
    ranks = dict.fromkeys(("attention", "ffn"), settings.lora_r)
    alphas = dict.fromkeys(("attention", "ffn"), float(settings.lora_alpha))
    adapted = add_adapters(model, rank=ranks, alpha=alphas, seed=run.seed).to(device)
    rows = [encode(tokenizer, task.messages, task.reference or "") for task in tasks]
    losses = fine_tune(adapted, tokenizer, rows, _fine_tuning(settings), scratch=run.scratch / "training", run=run)
    adapted.save_pretrained(run.scratch / "peft")
    # The adapter comes last: where it exists, the rest is there too.
    report = {"losses": [asdict(point) for point in losses], "seconds": time.monotonic() - started, "device": device}
    write_atomic(facts, json.dumps(report))
    export_adapter(run.scratch / "peft", base.path, path, domain=domain, tensor_type=settings.adapter_type)


def _fine_tuning(settings: DomainSettings) -> FineTuneSettings:
    return FineTuneSettings(
        learning_rate=settings.learning_rate,
        epochs=settings.epochs,
        micro_batch_size=settings.batch_size,
        save_steps=SAVE_STEPS,
    )
