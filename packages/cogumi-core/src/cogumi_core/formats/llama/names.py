"""The tensors of a Llama by name: GGUF's names and Hugging Face's.

GGUF names a tensor `blk.<layer>.<part>.weight`, Hugging Face `model.layers.<layer>.<module>.weight`; three stand outside the
layers. Only dense Llamas: experts have parts of their own.
"""

from __future__ import annotations

import re
from typing import Final, Literal

EMBEDDING: Final = "token_embd.weight"
OUTPUT_NORM: Final = "output_norm.weight"
OUTPUT: Final = "output.weight"
ROPE_FREQS: Final = "rope_freqs.weight"
"""Rotary factors, which Hugging Face computes and does not store."""

ATTENTION: Final = {"attn_q": "q_proj", "attn_k": "k_proj", "attn_v": "v_proj", "attn_output": "o_proj"}
FFN: Final = {"ffn_gate": "gate_proj", "ffn_up": "up_proj", "ffn_down": "down_proj"}
LINEAR: Final = {**ATTENTION, **FFN}
"""Every linear layer of a block: GGUF's part to Hugging Face's projection."""

_NORMS: Final = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
_OUTSIDE: Final = {EMBEDDING: "model.embed_tokens.weight", OUTPUT_NORM: "model.norm.weight", OUTPUT: "lm_head.weight"}
_MODULES: Final = {
    **{part: f"self_attn.{projection}" for part, projection in ATTENTION.items()},
    **{part: f"mlp.{projection}" for part, projection in FFN.items()},
    **_NORMS,
}
_FROM_OUTSIDE: Final = {source: name for name, source in _OUTSIDE.items()}
_FROM_MODULES: Final = {module: part for part, module in _MODULES.items()}
_GGUF: Final = re.compile(r"blk\.(\d+)\.(\w+)\.(weight|bias)")
_HUGGING_FACE: Final = re.compile(r"model\.layers\.(\d+)\.([\w.]+)\.(weight|bias)")

Group = Literal["embeddings", "attention", "ffn", "norms", "other"]


def hf_name(name: str) -> str | None:
    """Hugging Face's name of the tensor that GGUF calls `name`; None where a Llama has none.

    >>> hf_name("blk.3.attn_q.weight")
    'model.layers.3.self_attn.q_proj.weight'
    """
    found = _GGUF.fullmatch(name)
    if found is None or found[2] not in _MODULES:
        return _OUTSIDE.get(name)
    return f"model.layers.{found[1]}.{_MODULES[found[2]]}.{found[3]}"


def gguf_name(source: str) -> str | None:
    """GGUF's name of the tensor that Hugging Face calls `source`; None where a Llama has none.

    >>> gguf_name("model.layers.3.self_attn.q_proj.weight")
    'blk.3.attn_q.weight'
    """
    found = _HUGGING_FACE.fullmatch(source)
    if found is None or found[2] not in _FROM_MODULES:
        return _FROM_OUTSIDE.get(source)
    return f"blk.{found[1]}.{_FROM_MODULES[found[2]]}.{found[3]}"


def part_of(name: str) -> str:
    """`attn_q` of `blk.3.attn_q.weight`; empty for a tensor outside the layers."""
    found = _GGUF.fullmatch(name)
    return found[2] if found else ""


def layer_of(name: str) -> int | None:
    """3 of `blk.3.attn_q.weight`; None for a tensor outside the layers."""
    found = _GGUF.fullmatch(name)
    return int(found[1]) if found else None


def group_of(name: str) -> Group:
    """What the tensor that GGUF calls `name` is for. An output layer counts as embeddings, of which it often is the same."""
    if name in (EMBEDDING, OUTPUT):
        return "embeddings"
    part = part_of(name)
    if name == OUTPUT_NORM or part in _NORMS:
        return "norms"
    return "attention" if part in ATTENTION else "ffn" if part in FFN else "other"
