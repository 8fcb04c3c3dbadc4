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

from cogumi_core import LossPoint, ModelRef, RunContext, Task
from cogumi_modifiers.domains.settings import DomainSettings
from cogumi_modifiers.students.hf import load_student
from cogumi_modifiers.training.adapters import TARGETS, add_adapters
from cogumi_modifiers.training.lora_gguf import export_adapter
from cogumi_modifiers.training.rows import RowEncoder
from cogumi_modifiers.training.sft import FineTuneSettings, fine_tune

SAVE_STEPS: Final = 10  # a checkpoint of a small adapter takes a fraction of a step


@dataclass(frozen=True, slots=True)
class TrainedAdapter:
    """`seconds` are those of the attempt that finished; `device` is `cpu` or `cuda`."""

    path: Path
    rank: int
    losses: tuple[LossPoint, ...]
    seconds: float
    device: str


def train_adapter(
    base: ModelRef, tasks: Sequence[Task], settings: DomainSettings, *, rank: int, domain: str, run: RunContext
) -> TrainedAdapter:
    """Fits an adapter on every linear layer to the tasks' references. Goes on from where a killed attempt stopped."""
    folder = run.scratch / f"rank-{rank}"
    path, facts = folder / "adapter.gguf", folder / "training.json"
    if not path.exists():
        folder.mkdir(exist_ok=True)
        losses, seconds, device = _train(base, tasks, settings, rank, folder, run)
        facts.write_text(json.dumps({"losses": [asdict(point) for point in losses], "seconds": seconds, "device": device}))
        # The adapter comes last and all at once: where it exists, the rest is there too.
        export_adapter(folder / "peft", base.path, path, domain=domain, tensor_type=settings.adapter_type)
    stored = json.loads(facts.read_text(encoding="utf-8"))
    return TrainedAdapter(
        path, rank, tuple(LossPoint(**point) for point in stored["losses"]), stored["seconds"], stored["device"]
    )


def _train(
    base: ModelRef, tasks: Sequence[Task], settings: DomainSettings, rank: int, folder: Path, run: RunContext
) -> tuple[list[LossPoint], float, str]:
    """Leaves the adapter in PEFT's form in `folder`; returns the losses, seconds and device."""
    started = time.monotonic()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, tokenizer = load_student(base, torch.bfloat16)
    ranks, alphas = dict.fromkeys(TARGETS, rank), dict.fromkeys(TARGETS, settings.scale(rank))
    adapted = add_adapters(model, rank=ranks, alpha=alphas, seed=run.seed).to(device)
    encoder = RowEncoder(tokenizer)
    rows = [encoder.row(task.messages, task.reference or "") for task in tasks]
    how = FineTuneSettings(
        learning_rate=settings.learning_rate,
        epochs=settings.epochs,
        micro_batch_size=settings.batch_size,
        save_steps=SAVE_STEPS,
    )
    losses = fine_tune(adapted, tokenizer, rows, how, scratch=folder / "training", run=run)
    adapted.save_pretrained(folder / "peft")
    return losses, time.monotonic() - started, device
