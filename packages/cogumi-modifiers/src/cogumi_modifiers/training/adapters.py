"""Puts LoRA adapters on a Llama, and merges them.

LoRA (Hu et al., arXiv 2106.09685) on all linear layers, with one rank for attention and one for feed-forward: with every
layer adapted, small ranks come close to full fine-tuning. The output layer and the embeddings stay as they are, because
adapters there would fail on a student whose vocabulary is trimmed later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import PreTrainedModel

from cogumi_core.formats.llama.names import ATTENTION, FFN

TARGETS: Mapping[str, tuple[str, ...]] = {"attention": tuple(ATTENTION.values()), "ffn": tuple(FFN.values())}


def add_adapters(
    model: PreTrainedModel,
    *,
    rank: Mapping[str, int],
    alpha: Mapping[str, float],
    dropout: float = 0.0,
    seed: int,
) -> PeftModel:
    """`model` with fresh adapters in its own type (bf16 stays bf16); `rank` and `alpha` by group of `TARGETS`, rank 0 leaves a
    group out. The seed decides the initial weights; the adapters change nothing before training."""
    groups = [group for group in TARGETS if rank[group] > 0]
    config = LoraConfig(
        r=rank[groups[0]],
        lora_alpha=alpha[groups[0]],
        lora_dropout=dropout,
        target_modules=[name for group in groups for name in TARGETS[group]],
        rank_pattern={name: rank[group] for group in groups for name in TARGETS[group]},
        alpha_pattern={name: alpha[group] for group in groups for name in TARGETS[group]},
        bias="none",
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    adapted = get_peft_model(model, config, autocast_adapter_dtype=False)
    for weight in adapted.parameters():
        if weight.requires_grad:
            # On a 4-bit model they would come in 32 bits; the optimiser keeps its own 32-bit copies.
            weight.data = weight.data.to(model.dtype)
    return adapted


def merge(adapted: PeftModel, into: PreTrainedModel | None = None) -> PreTrainedModel:
    """The model with its adapters added to the weights; `into`: to those of this model instead (of the same shape, and not
    quantised). Raises ValueError when a merged weight is no number."""
    if into is not None:
        config = replace(adapted.peft_config["default"], base_model_name_or_path=None)
        target = get_peft_model(into, config, autocast_adapter_dtype=False)
        state: dict[str, Any] = {name: weight.cpu() for name, weight in get_peft_model_state_dict(adapted).items()}
        set_peft_model_state_dict(target, state)
        adapted = target
    merged: PreTrainedModel = adapted.merge_and_unload(safe_merge=True)
    return merged
