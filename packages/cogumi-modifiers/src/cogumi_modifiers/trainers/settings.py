"""Settings of the trainers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from cogumi_core import Settings


class LoraRank(Settings):
    """Ranks by group of layers; 0 leaves a group without adapters."""

    attention: int = Field(64, ge=0, le=1024, description="rank on the query, key, value and output projections")
    ffn: int = Field(32, ge=0, le=1024, description="rank on the gate, up and down projections")

    @model_validator(mode="after")
    def _something_is_trained(self) -> LoraRank:
        if self.attention == self.ffn == 0:
            message = "both ranks are 0, so nothing would be trained"
            raise ValueError(message)
        return self


class LoraAlpha(Settings):
    """Scales by group of layers: an adapter's output is multiplied by alpha / rank."""

    attention: float = Field(128, gt=0, le=4096, description="alpha on the attention projections")
    ffn: float = Field(64, gt=0, le=4096, description="alpha on the feed-forward projections")


def _one_for_both(value: object) -> object:
    """A single number stands for both groups of layers."""
    return {"attention": value, "ffn": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class EarlyStopping(Settings):
    """Measured at every checkpoint; the best weights are kept."""

    held_out: float = Field(0.05, gt=0, lt=1, description="share of the rows that is only measured on")
    patience: int = Field(3, ge=1, le=1000, description="checkpoints without improvement before stopping")


class QloraSettings(Settings):
    """Settings of the trainer `qlora`."""

    lora_r: Annotated[LoraRank, BeforeValidator(_one_for_both)] = Field(
        LoraRank(), description="adapter ranks: {attention, ffn}, or one number for all layers"
    )
    lora_alpha: Annotated[LoraAlpha, BeforeValidator(_one_for_both)] | None = Field(
        None, description="adapter scales, as lora_r; left out: twice the rank, so that every adapter's output counts double"
    )
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="share of adapter inputs dropped while training")
    learning_rate: float = Field(2.0e-4, gt=0, le=1, description="highest learning rate")
    max_steps: int | None = Field(None, ge=1, description="optimiser steps; left out: epochs decides")
    epochs: float | None = Field(None, gt=0, le=1000, description="passes over the rows; left out, and no max_steps: 1")
    micro_batch_size: int = Field(4, ge=1, le=1024, description="rows in memory at once")
    gradient_accumulation_steps: int = Field(1, ge=1, le=4096, description="micro batches for one optimiser step")
    max_length: int = Field(2048, ge=16, le=1 << 20, description="tokens; longer rows are left out and counted, never cut")
    warmup: float = Field(0.03, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    weight_decay: float = Field(0.0, ge=0, le=1, description="decoupled weight decay of the adapters")
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="how the learning rate falls")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients with a greater norm are scaled down to it")
    quantization: Literal["auto", "nf4", "none"] = Field(
        "auto", description="frozen weights in 4 bits (nf4) or in bf16 (none); auto: nf4 on a GPU with bitsandbytes"
    )
    gradient_checkpointing: bool = Field(False, description="compute activations twice: less memory, a third more time")
    save_steps: int = Field(50, ge=0, description="steps between the checkpoints a killed run goes on from; 0: none")
    early_stopping: EarlyStopping | None = Field(None, description="stop when held-out rows no longer improve; left out: never")

    @model_validator(mode="after")
    def _settings_agree(self) -> QloraSettings:
        if self.max_steps is not None and self.epochs is not None:
            message = "max_steps and epochs both say when to stop; give one"
            raise ValueError(message)
        if self.early_stopping is not None and not self.save_steps:
            message = "early_stopping measures at checkpoints; set save_steps above 0"
            raise ValueError(message)
        return self

    def alpha(self, group: str) -> float:
        """The scale of `attention` or `ffn`."""
        chosen: Any = self.lora_alpha
        return float(2 * getattr(self.lora_r, group) if chosen is None else getattr(chosen, group))
