"""TRL's supervised trainer, with the loss computed where answers are, exact checkpoints and progress through Cogumi's events.

TRL scores every position on a CPU and masks afterwards; with a vocabulary of 49,000 and short answers most of that time is
wasted, so the output layer runs on answer positions only. Checkpoints hold exactly the trainable weights in their own type:
PEFT's loading would turn 16-bit adapters into 32-bit ones, and a resumed run would no longer equal an undisturbed one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.checkpoint import checkpoint as recompute
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback
from trl import SFTTrainer

from cogumi_core import CogumiError, Interrupted
from cogumi_modifiers.training.checkpoints import mark_complete
from cogumi_modifiers.training.optimizer import MasterAdamW

if TYPE_CHECKING:
    from cogumi_core import RunContext

IGNORED = -100
_WEIGHTS = "trainable.safetensors"
_LOGITS_AT_ONCE = 1 << 26  # 256 MiB in 32 bits; beyond, positions are scored in pieces and recomputed in the backward pass


class DivergenceError(CogumiError):
    """The loss is no longer a number."""


class Collator:
    """Pads a batch to a multiple of `multiple` tokens: on a CPU each new shape is compiled anew, which costs more than
    the padding."""

    def __init__(self, multiple: int) -> None:
        self._multiple = multiple

    def __call__(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        width = -(-longest // self._multiple) * self._multiple
        shape = (len(rows), width)
        # The padding's id is never seen: attention and labels leave it out.
        batch = {"input_ids": torch.zeros(shape, dtype=torch.long), "labels": torch.full(shape, IGNORED)}
        batch["attention_mask"] = torch.zeros(shape, dtype=torch.long)
        for index, row in enumerate(rows):
            length = len(row["input_ids"])
            for name in ("input_ids", "labels"):
                batch[name][index, :length] = torch.tensor(row[name])
            batch["attention_mask"][index, :length] = 1
        return batch


class ProgressCallback(TrainerCallback):  # type: ignore[misc]
    """Reports each step, stops at a loss that is no number, and turns an interruption into a checkpoint and a clean end."""

    def __init__(self, run: RunContext) -> None:
        self._run = run
        self._figures: dict[str, float] = {}
        self.interrupted: Interrupted | None = None

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if loss != loss or abs(loss) == float("inf"):
            message = (
                f"training diverged: the loss is {loss} at step {state.global_step} (last one: "
                f"{self._figures.get('loss', 'none')}); lower learning_rate (it is {args.learning_rate:g}) or raise warmup"
            )
            raise DivergenceError(message)
        self._figures = {"loss": loss}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        try:
            self._run.progress(state.global_step, state.max_steps, "steps", **self._figures)
        except Interrupted as exc:
            self.interrupted = exc
            control.should_save = True
            control.should_training_stop = True


class Patience(EarlyStoppingCallback):  # type: ignore[misc]
    """Early stopping that a killed run, resumed where it had stopped, still remembers."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True


class AnswerTrainer(SFTTrainer):  # type: ignore[misc]
    """`SFTTrainer` on rows of `input_ids` and `labels` that are ready. `tokens_seen` counts what this process trained on."""

    optimizer: MasterAdamW | None
    lr_scheduler: LambdaLR | None
    tokens_seen = 0

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Negative log-likelihood of the answer tokens, in nats: their sum over `num_items_in_batch` (the answer tokens of the
        whole step, so that accumulation weighs tokens, not batches), or their mean."""
        if self.model.training:
            self.tokens_seen += int(inputs["attention_mask"].sum())
        total, count = answer_loss(model, inputs["input_ids"], inputs["labels"])
        loss = total / (count if num_items_in_batch is None else num_items_in_batch)
        return (loss, None) if return_outputs else loss

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
        with torch.no_grad():
            return self.compute_loss(model, self._prepare_inputs(inputs)).detach(), None, None

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None:
            trainable = [weight for weight in self.model.parameters() if weight.requires_grad]
            self.optimizer = MasterAdamW(trainable, lr=self.args.learning_rate, weight_decay=self.args.weight_decay)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        if self.lr_scheduler is None:
            factor = partial(
                learning_rate_factor,
                schedule=str(self.args.lr_scheduler_type.value),
                warmup=self.args.warmup_steps,
                total=num_training_steps,
            )
            self.lr_scheduler = LambdaLR(self.create_optimizer(), factor)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self._trainable().items()}
        save_file(weights, folder / _WEIGHTS)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # TRL's own would add a model card, which belongs to nobody here.
        Trainer._save_checkpoint(self, model, trial)
        mark_complete(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self._read_weights(Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        self._read_weights(Path(self.state.best_model_checkpoint))

    def _read_weights(self, folder: Path) -> None:
        stored = load_file(folder / _WEIGHTS)
        with torch.no_grad():
            for name, weight in self._trainable().items():
                weight.copy_(stored[name])

    def _trainable(self) -> dict[str, torch.Tensor]:
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}


def learning_rate_factor(step: int, *, schedule: str, warmup: int, total: int) -> float:
    """The share of the highest learning rate that step `step` (from 0) of `total` uses. The library's own warm-up spends the
    first step at 0, which a short training cannot spare."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    left = 1 - (step - warmup) / max(1, total - warmup)
    match schedule:
        case "linear":
            return max(0.0, left)
        case "cosine":
            return 0.5 * (1 - math.cos(math.pi * max(0.0, left)))
        case _:
            return 1.0


def answer_loss(model: Any, input_ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(sum of the negative log-likelihood of all labels that are not ignored, their count); arguments are [batch, length],
    padded on the right."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    # No mask: padding stands behind the row, where causal attention never looks, and attention without a mask is faster.
    output = causal.base_model(input_ids=input_ids, use_cache=False)
    targets = labels[:, 1:]
    wanted = targets != IGNORED
    hidden, targets = output.last_hidden_state[:, :-1][wanted], targets[wanted]  # [answers, hidden], [answers]
    head = causal.get_output_embeddings()
    piece = max(1, _LOGITS_AT_ONCE // head.weight.shape[0])
    if len(targets) <= piece:
        return _score(head, hidden, targets), wanted.sum()
    sums = [
        recompute(_score, head, hidden[start : start + piece], targets[start : start + piece], use_reentrant=False)
        for start in range(0, len(targets), piece)
    ]
    return torch.stack(sums).sum(), wanted.sum()


def _score(head: Any, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return cross_entropy(head(hidden).float(), targets, reduction="sum")
