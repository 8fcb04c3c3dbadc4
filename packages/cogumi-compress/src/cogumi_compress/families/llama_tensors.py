"""The tensors of a Llama model: their GGUF names, their Hugging Face names, and their shapes.

One list serves the exporter (what to read and where it goes) and the size forecast (shapes without weights).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy.typing as npt

from cogumi_compress.families.llama_config import LlamaConfig

ROPE_FREQS: Final = "rope_freqs.weight"


@dataclass(frozen=True, slots=True)
class LlamaTensor:
    """`name` in GGUF, `source` in the Hugging Face model. `heads`: the rows belong to so many attention heads whose halves are
    interleaved in GGUF, None where rows stay as they are."""

    name: str
    source: str
    shape: tuple[int, ...]
    heads: int | None = None

    @property
    def weights(self) -> int:
        return prod(self.shape)


def llama_tensors(config: LlamaConfig) -> Iterator[LlamaTensor]:
    """Every stored tensor, in the order of the exported file. Tied models have no output tensor of their own."""
    yield LlamaTensor("token_embd.weight", "model.embed_tokens.weight", (config.vocabulary, config.hidden))
    for layer in range(config.layers):
        yield from _layer(config, f"blk.{layer}.", f"model.layers.{layer}.")
    yield LlamaTensor("output_norm.weight", "model.norm.weight", (config.hidden,))
    if not config.tied:
        yield LlamaTensor("output.weight", "lm_head.weight", (config.vocabulary, config.hidden))


def _layer(config: LlamaConfig, to: str, source: str) -> Iterator[LlamaTensor]:
    query, key = config.heads * config.head_dim, config.heads_kv * config.head_dim
    yield LlamaTensor(f"{to}attn_norm.weight", f"{source}input_layernorm.weight", (config.hidden,))
    for name, projection, rows, columns, heads in (
        ("attn_q", "q_proj", query, config.hidden, config.heads),
        ("attn_k", "k_proj", key, config.hidden, config.heads_kv),
        ("attn_v", "v_proj", key, config.hidden, None),
        ("attn_output", "o_proj", config.hidden, query, None),
    ):
        yield LlamaTensor(f"{to}{name}.weight", f"{source}self_attn.{projection}.weight", (rows, columns), heads)
        if config.attention_bias:
            yield LlamaTensor(f"{to}{name}.bias", f"{source}self_attn.{projection}.bias", (rows,), heads)
    yield LlamaTensor(f"{to}ffn_norm.weight", f"{source}post_attention_layernorm.weight", (config.hidden,))
    for name, projection, rows, columns in (
        ("ffn_gate", "gate_proj", config.feed_forward, config.hidden),
        ("ffn_up", "up_proj", config.feed_forward, config.hidden),
        ("ffn_down", "down_proj", config.hidden, config.feed_forward),
    ):
        yield LlamaTensor(f"{to}{name}.weight", f"{source}mlp.{projection}.weight", (rows, columns))
        if config.mlp_bias:
            yield LlamaTensor(f"{to}{name}.bias", f"{source}mlp.{projection}.bias", (rows,))


def interleave_halves(values: npt.NDArray[Any], heads: int) -> npt.NDArray[Any]:
    """Rows of a query or key projection from Hugging Face's rope layout to GGUF's.

    Hugging Face rotates pairs (i, i + d/2) of a head of d rows, llama.cpp's `llama` architecture pairs (2i, 2i + 1): within
    each head, row i of the first half is followed by row i of the second."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)
