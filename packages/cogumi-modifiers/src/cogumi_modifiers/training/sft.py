"""Supervised fine-tuning: the one training loop that the trainer and the domain modifiers share.

The loss is on the answer and its end-of-turn token only; the prompt is what serving renders, token for token. A killed or
interrupted training goes on from its newest complete checkpoint and, on a CPU with the same number of threads, ends in the
same bits as an undisturbed one. Several devices and packing of short rows into one sequence are left out.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from datasets import Dataset
from transformers import PrinterCallback
from trl import SFTConfig

from cogumi_core import JSON, InputError, LossPoint
from cogumi_modifiers.training.answer_trainer import (
    IGNORED,
    AnswerTrainer,
    Collator,
    DivergenceError,
    Patience,
    ProgressCallback,
)
from cogumi_modifiers.training.checkpoints import newest_checkpoint
from cogumi_modifiers.training.quiet import quiet
from cogumi_modifiers.training.rows import TrainingRow

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from cogumi_core import RunContext

__all__ = ["DivergenceError", "FineTuneSettings", "Meter", "TrainingRow", "fine_tune"]


@dataclass(frozen=True, slots=True)
class FineTuneSettings:
    """One optimiser step sees `micro_batch_size` x `gradient_accumulation_steps` rows. `max_steps` None: `epochs` decides.
    `warmup` is a share of the steps. `save_steps` 0: a checkpoint only at an interruption. `held_out` > 0: that share of the
    rows is only measured on, every `save_steps`, training stops when it has not improved `patience` times in a row, and the
    best weights are kept."""

    learning_rate: float
    epochs: float = 1.0
    max_steps: int | None = None
    micro_batch_size: int = 4
    gradient_accumulation_steps: int = 1
    warmup: float = 0.0
    weight_decay: float = 0.0
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    max_grad_norm: float = 1.0
    save_steps: int = 50
    pad_to_multiple_of: int = 32
    gradient_checkpointing: bool = False
    held_out: float = 0.0
    patience: int = 3


@dataclass(slots=True)
class Meter:
    """Filled in by `fine_tune`. `tokens` (padding left out) counts the whole training, `tokens_here` and `seconds` what this
    process did of it; `held_out_losses` are (step, nats a token)."""

    tokens: int = 0
    tokens_here: int = 0
    seconds: float = 0.0
    held_out_losses: list[tuple[int, float]] = field(default_factory=list)

    def figures(self) -> dict[str, JSON]:
        """For a report."""
        speed = round(self.tokens_here / self.seconds, 1) if self.seconds else None
        figures: dict[str, JSON] = {"tokens": self.tokens, "tokens_per_second": speed, "seconds": round(self.seconds, 2)}
        return {**figures, "held_out_losses": self.held_out_losses} if self.held_out_losses else figures


def fine_tune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[TrainingRow],
    settings: FineTuneSettings,
    *,
    scratch: Path,
    run: RunContext,
    meter: Meter | None = None,
) -> list[LossPoint]:
    """Trains the parameters of `model` that require gradients, in place and on its device, and returns the loss of every step.

    `scratch` keeps the checkpoints and must be empty or of the same training. Raises InputError (no rows), DivergenceError,
    and Interrupted after having saved a checkpoint."""
    learned, held_out = _split(rows, settings.held_out, run.seed)
    progress = ProgressCallback(run)
    with quiet():
        trainer = AnswerTrainer(
            model=model,
            args=_arguments(settings, scratch, run.seed, on_cpu=model.device.type == "cpu", rows=len(learned)),
            train_dataset=_dataset(learned),
            eval_dataset=_dataset(held_out) if held_out else None,
            data_collator=Collator(settings.pad_to_multiple_of),
            processing_class=tokenizer,
            callbacks=[progress, *([Patience(settings.patience)] if held_out else [])],
        )
        trainer.remove_callback(PrinterCallback)
        newest = newest_checkpoint(scratch)
        started = time.monotonic()
        try:
            trainer.train(resume_from_checkpoint=str(newest) if newest else None)
        finally:
            _release(model)
    if progress.interrupted is not None:
        raise progress.interrupted
    history = trainer.state.log_history
    if meter is not None:
        meter.seconds, meter.tokens_here = time.monotonic() - started, trainer.tokens_seen
        meter.tokens = int(trainer.state.num_input_tokens_seen)
        meter.held_out_losses = [(row["step"], row["eval_loss"]) for row in history if "eval_loss" in row]
    return [LossPoint(row["step"], row["loss"], row["learning_rate"]) for row in history if "loss" in row]


def steps_of(settings: FineTuneSettings, rows: int) -> int:
    """How many optimiser steps a training on `rows` rows takes."""
    if settings.max_steps is not None:
        return settings.max_steps
    batches = math.ceil(rows / settings.micro_batch_size)
    return math.ceil(settings.epochs * math.ceil(batches / settings.gradient_accumulation_steps))


def _split(rows: Sequence[TrainingRow], share: float, seed: int) -> tuple[Sequence[TrainingRow], Sequence[TrainingRow]]:
    """(rows to learn from, rows to measure on), in the order they came in."""
    if not rows:
        message = "there is no row to train on; check what the filters dropped"
        raise InputError(message)
    count = math.ceil(share * len(rows))
    if count == 0:
        return rows, ()
    if count == len(rows):
        message = f"holding out {share:.0%} of {len(rows)} rows leaves none to train on; give more or hold out less"
        raise InputError(message)
    measured = set(random.Random(seed).sample(range(len(rows)), count))
    return [row for i, row in enumerate(rows) if i not in measured], [rows[i] for i in sorted(measured)]


def _dataset(rows: Sequence[TrainingRow]) -> Dataset:
    return Dataset.from_dict(
        {
            "input_ids": [[*row.prompt_ids, *row.answer_ids] for row in rows],
            "labels": [[*[IGNORED] * len(row.prompt_ids), *row.answer_ids] for row in rows],
        }
    )


def _arguments(settings: FineTuneSettings, scratch: Path, seed: int, *, on_cpu: bool, rows: int) -> SFTConfig:
    arguments = SFTConfig(
        output_dir=str(scratch),
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        per_device_train_batch_size=settings.micro_batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        warmup_steps=math.ceil(settings.warmup * steps_of(settings, rows)),
        weight_decay=settings.weight_decay,
        lr_scheduler_type=settings.schedule,
        max_grad_norm=settings.max_grad_norm,
        gradient_checkpointing=settings.gradient_checkpointing,
        save_strategy="steps" if settings.save_steps else "no",
        save_steps=settings.save_steps or 1,
        save_total_limit=2,
        eval_strategy="steps" if settings.held_out else "no",
        eval_steps=settings.save_steps or 1,
        load_best_model_at_end=settings.held_out > 0,
        logging_steps=1,
        logging_nan_inf_filter=False,
        seed=seed,
        data_seed=seed,
        use_cpu=on_cpu,
        **_PLAIN,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # with several GPUs the trainer would split batches, and TRL refuses that
    return arguments


# The model's own types decide the precision, rows come ready, and nobody is reported to but Cogumi.
_PLAIN: dict[str, Any] = {
    "bf16": False,
    "fp16": False,
    "max_length": None,
    "dataset_kwargs": {"skip_prepare_dataset": True},
    "remove_unused_columns": False,
    "dataloader_pin_memory": False,
    "prediction_loss_only": True,
    "include_num_input_tokens_seen": "non_padding",
    "report_to": [],
    "disable_tqdm": True,
}


def _release(model: Any) -> None:
    """Takes off what the trainer hung on the model: TRL's patched forward, and gradient hooks."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    causal.__dict__.pop("forward", None)
    if causal.is_gradient_checkpointing:
        causal.gradient_checkpointing_disable()
    model.eval()
