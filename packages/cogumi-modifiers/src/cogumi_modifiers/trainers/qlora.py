"""The trainer `qlora`: low-rank adapters on a frozen student, merged into it at the end.

The frozen weights are held in 4-bit NF4 where that pays (QLoRA, Dettmers et al., arXiv 2305.14314). The adapters are always
merged into the bf16 weights, never into 4-bit ones: the student that leaves is off the 4-bit grid, and compression decides
its own later. Merging rounds each weight to bf16, a relative error of at most 2^-9. Left out: masks of a pruned student, which
merging fills.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.utils import is_bitsandbytes_available

from cogumi_core import JSON, EngineError, InputError, LossPoint, MissingDependency, ModelFacts, ModelRef, ModelReport
from cogumi_modifiers.students.hf import load_student, save_student
from cogumi_modifiers.training.adapters import TARGETS, add_adapters, merge
from cogumi_modifiers.training.quiet import quiet
from cogumi_modifiers.training.rows import RowEncoder, TrainingRow
from cogumi_modifiers.training.sft import FineTuneSettings, Meter, fine_tune

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from cogumi_core import Dataset, RunContext, Services
    from cogumi_modifiers.trainers.settings import QloraSettings

TOO_LONG: Final = "longer than max_length"
REFUSED: Final = "refused by the chat template"
_ON_GPU: Final = "GPU kernels add in an order that changes from run to run"


class Qlora:
    """Trains a student on conversations, as they are served; the last answer of each is learned."""

    def __init__(self, settings: QloraSettings, services: Services) -> None:
        self._settings = settings

    def train(self, base: ModelRef, dataset: Dataset, output: Path, run: RunContext) -> ModelReport:
        """Writes the merged student into `output`. Raises InputError (no rows, none short enough, a base that cannot be
        trained), MissingDependency (nf4 without bitsandbytes), DivergenceError and Interrupted."""
        if not len(dataset):
            message = "the data set is empty, so there is nothing to train on; check what the filters dropped"
            raise InputError(message)
        if base.facts.sparsity:
            run.log("the student is pruned, and this training fills its zeros again; `qlora` holds no masks")
        on_gpu = torch.cuda.is_available()
        nf4 = self._nf4(on_gpu)
        student, tokenizer = load_student(base, torch.bfloat16)
        rows, dropped = self._rows(tokenizer, dataset)
        adapted = self._adapters(_in_nf4(student, tokenizer, run.scratch, on_gpu) if nf4 else student, run.seed)
        meter = Meter()
        settings = self._fine_tuning(len(rows))
        losses = fine_tune(
            adapted.to("cuda" if on_gpu else "cpu"),
            tokenizer,
            rows,
            settings,
            scratch=run.scratch / "checkpoints",
            run=run,
            meter=meter,
        )
        metrics = {**_figures(adapted, losses, meter), "rows": len(rows), "dropped_rows": dropped}
        metrics |= {"quantization": "nf4" if nf4 else "none", "threads": torch.get_num_threads()}
        save_student(merge(adapted, into=student if nf4 else None).to("cpu"), tokenizer, output)
        why_not = _ON_GPU if on_gpu else ""
        return ModelReport(facts_of(base.facts), losses, metrics=metrics, deterministic=not on_gpu, why_not=why_not)

    def _nf4(self, on_gpu: bool) -> bool:
        wanted = self._settings.quantization
        if wanted == "auto":
            return on_gpu and is_bitsandbytes_available()
        if wanted == "nf4" and not is_bitsandbytes_available():
            message = "quantization: nf4 needs bitsandbytes; pip install 'cogumi-modifiers[train]' or set quantization: none"
            raise MissingDependency(message)
        return wanted == "nf4"

    def _rows(self, tokenizer: PreTrainedTokenizerBase, dataset: Dataset) -> tuple[list[TrainingRow], dict[str, int]]:
        """Rows that can be learned, and how many cannot, by reason: a cut answer would teach the student to stop anywhere, and
        what the template refuses will never be asked."""
        limit = min(self._settings.max_length, tokenizer.model_max_length)
        encoder, rows, refusal = RowEncoder(tokenizer), [], ""
        dropped = {TOO_LONG: 0, REFUSED: 0}
        for example in dataset:
            try:
                row = encoder.row(example.prompt, example.answer.text, example.tools)
            except EngineError as exc:
                dropped[REFUSED] += 1
                refusal = f" ('{example.id}': {exc})"
                continue
            if len(row) > limit:
                dropped[TOO_LONG] += 1
            else:
                rows.append(row)
        if not rows:
            message = (
                f"no row can be trained on: {dropped[TOO_LONG]} of {len(dataset)} are longer than {limit} tokens (raise "
                f"max_length, or take shorter data), {dropped[REFUSED]} are {REFUSED}{refusal}"
            )
            raise InputError(message)
        return rows, dropped

    def _adapters(self, model: PreTrainedModel, seed: int) -> Any:
        settings = self._settings
        rank = {group: getattr(settings.lora_r, group) for group in TARGETS}
        alpha = {group: settings.alpha(group) for group in TARGETS}
        return add_adapters(model, rank=rank, alpha=alpha, dropout=settings.lora_dropout, seed=seed)

    def _fine_tuning(self, rows: int) -> FineTuneSettings:
        given = self._settings
        settings = FineTuneSettings(
            learning_rate=given.learning_rate,
            epochs=given.epochs or 1.0,
            max_steps=given.max_steps,
            micro_batch_size=given.micro_batch_size,
            gradient_accumulation_steps=given.gradient_accumulation_steps,
            warmup=given.warmup,
            weight_decay=given.weight_decay,
            schedule=given.schedule,
            max_grad_norm=given.max_grad_norm,
            save_steps=given.save_steps,
            gradient_checkpointing=given.gradient_checkpointing,
        )
        if given.early_stopping is None:
            return settings
        return replace(settings, held_out=given.early_stopping.held_out, patience=given.early_stopping.patience)


def facts_of(base: ModelFacts) -> ModelFacts:
    """What still holds once adapters were merged into the dequantised weights: the vocabulary. Zeros were filled, no weight is
    on a quantisation's grid, and what a step noted in `other` was about the weights before."""
    return ModelFacts(vocabulary=base.vocabulary)


def _in_nf4(student: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, scratch: Path, on_gpu: bool) -> PreTrainedModel:
    """The student with its linear layers in NF4, their scales quantised too. Quantising happens while a folder is read."""
    folder = scratch / "student"
    save_student(student, tokenizer, folder)
    how = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    with quiet():
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            folder, quantization_config=how, dtype=torch.bfloat16, device_map={"": 0 if on_gpu else "cpu"}
        )
    return model


def _figures(adapted: Any, losses: list[LossPoint], meter: Meter) -> Mapping[str, JSON]:
    trainable = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    return {
        "trainable_parameters": trainable,
        "steps": losses[-1].step,
        "loss_first": losses[0].loss,
        "loss_last": losses[-1].loss,
        **meter.figures(),
    }
