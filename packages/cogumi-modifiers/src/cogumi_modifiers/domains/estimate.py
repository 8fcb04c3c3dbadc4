"""Forecasts for `cogumi plan`: what an adapter will weigh, from the shapes of the base alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cogumi_core.api.errors import InputError
from cogumi_core.api.types import Estimate, ModelRef
from cogumi_core.formats.gguf.header import read_header
from cogumi_modifiers.config import DomainSettings

_ADAPTED: Final = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
_BYTES: Final = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32}


def adapter_estimate(settings: DomainSettings, inputs: Mapping[str, Any]) -> Estimate:
    """Bytes of the adapter's tensors (its header adds some 30 kB); nothing where the base is not known or cannot be read."""
    model = inputs.get("model")
    if not isinstance(model, ModelRef):
        return Estimate()
    try:
        weights = settings.lora_r * sum(_sides(model))
    except (InputError, OSError, ValueError, KeyError):
        return Estimate()  # the stage itself will say what is wrong
    return Estimate(bytes=round(weights * _BYTES[settings.adapter_type]))


def _sides(model: ModelRef) -> Iterator[int]:
    """Rows plus columns of each linear layer: a rank-r adapter of it has r times as many weights."""
    if model.format == "gguf":
        for tensor in read_header(model.path).tensors:
            if tensor.name.split(".")[-2] in _ADAPTED:
                yield sum(tensor.shape)
        return
    config = json.loads((model.path / "config.json").read_text(encoding="utf-8"))
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    head = config.get("head_dim") or hidden // heads
    queries, values = heads * head, config.get("num_key_value_heads", heads) * head
    yield config["num_hidden_layers"] * (2 * (hidden + queries) + 2 * (hidden + values) + 3 * (hidden + inner))
