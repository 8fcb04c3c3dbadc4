"""A transformers Llama from a GGUF file: header, dequantised weights, configuration.

Done here rather than by transformers' `gguf_file=` because training must continue from exactly what is served: this reads
the file once, keeps what llama.cpp knows about rotary frequencies, gives a plain model without marks of a quantisation that
is gone, and says clearly what is wrong with a file. Architectures other than Llama, and Llama variants with experts, are
left out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from transformers import LlamaConfig, LlamaForCausalLM

from cogumi_core.api.errors import InputError
from cogumi_modifiers.students.rope import rope_parameters

_OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_IN_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclass(frozen=True, slots=True)
class GgufFile:
    """An open GGUF file of a Llama architecture: its key-value pairs and its tensors, still quantised."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, Any]


def open_gguf(path: Path) -> GgufFile:
    """Raises InputError: no file, not GGUF, cut short or damaged, not a Llama architecture."""
    if not path.is_file():
        message = f"{path}: no such file; a GGUF file is expected"
        raise InputError(message)
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            message = f"{path}: not a GGUF file (it does not begin with 'GGUF')"
            raise InputError(message)
    try:
        reader = GGUFReader(path)
        metadata = {key: field.contents() for key, field in reader.fields.items()}
    # What a cut file breaks depends on where it was cut: lengths, shapes, names or offsets.
    except (ValueError, IndexError, KeyError, OverflowError, OSError, struct.error) as exc:
        message = f"{path}: the GGUF file is cut short or damaged ({path.stat().st_size:,} bytes); download or copy it again"
        raise InputError(message) from exc
    if metadata.get("general.architecture") != "llama":
        refuse_kind(path, metadata.get("general.architecture"))
    return GgufFile(path, metadata, {tensor.name: tensor for tensor in reader.tensors})


def refuse_kind(path: Path, kind: object) -> None:
    """Raises InputError: a model that is not a Llama."""
    message = f"{path}: this is a '{kind}' model; only the Llama architecture ('llama') can be trained and exported"
    raise InputError(message)


def load_model(file: GgufFile, dtype: torch.dtype) -> LlamaForCausalLM:
    """The model on the CPU with weights in `dtype`. Raises InputError for tensors that are missing, or that a Llama has not."""
    config = _config(file)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    state = dict(_weights(file, config, dtype))
    if config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    result = model.load_state_dict(state, strict=False, assign=True)
    if result.missing_keys or result.unexpected_keys:
        what = ", ".join([*result.missing_keys, *result.unexpected_keys][:3])
        message = f"{file.path}: its tensors are not those of a Llama (missing or unknown: {what})"
        raise InputError(message)
    model.tie_weights()
    # Computed, not stored, so the empty ones from above must be made again.
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config)
    return model


def _config(file: GgufFile) -> LlamaConfig:
    get = {key.removeprefix("llama."): value for key, value in file.metadata.items() if key.startswith("llama.")}
    if get.get("expert_count"):
        message = f"{file.path}: a mixture of experts; only dense Llama models can be trained and exported"
        raise InputError(message)
    heads = get["attention.head_count"]
    return LlamaConfig(
        vocab_size=int(file.tensors["token_embd.weight"].shape[1]),
        hidden_size=get["embedding_length"],
        intermediate_size=get["feed_forward_length"],
        num_hidden_layers=get["block_count"],
        num_attention_heads=heads,
        num_key_value_heads=get.get("attention.head_count_kv", heads),
        head_dim=get.get("attention.key_length", get["embedding_length"] // heads),
        max_position_embeddings=get["context_length"],
        # Stored in 32 bits: 9.999999747378752e-06 is 1e-05.
        rms_norm_eps=float(f"{get['attention.layer_norm_rms_epsilon']:.6g}"),
        rope_parameters=rope_parameters(file.path, file.metadata, file.tensors),
        tie_word_embeddings="output.weight" not in file.tensors,
        attention_bias="blk.0.attn_q.bias" in file.tensors,
        mlp_bias="blk.0.ffn_up.bias" in file.tensors,
    )


def _weights(file: GgufFile, config: LlamaConfig, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in file.tensors.items():
        if name == "rope_freqs.weight":
            continue
        weight = dequantize(tensor.data, tensor.tensor_type)  # [out, in]
        part = name.split(".")[2] if name.startswith("blk.") else ""
        if part in heads:
            weight = _pair_halves(weight, heads[part])
        yield _hf_name(name), torch.from_numpy(np.array(weight, dtype=np.float32)).to(dtype)


def _pair_halves(weight: Any, heads: int) -> Any:
    """llama.cpp rotates neighbouring rows of a head, transformers the two halves: rows [head, pair, 2] -> [head, 2, pair]."""
    rows, rest = weight.shape[0], weight.shape[1:]
    return weight.reshape(heads, rows // heads // 2, 2, *rest).swapaxes(1, 2).reshape(rows, *rest)


def _hf_name(name: str) -> str:
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    parts = name.split(".")  # blk.<layer>.<part>.<weight|bias>
    if len(parts) != 4 or parts[2] not in _IN_BLOCK:
        return name  # reported by load_model as unknown
    return f"model.layers.{parts[1]}.{_IN_BLOCK[parts[2]]}.{parts[3]}"
