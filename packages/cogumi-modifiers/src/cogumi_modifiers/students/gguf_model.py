"""A transformers Llama from a GGUF file: configuration and dequantised weights.

Done here rather than by transformers' `gguf_file=` because training must continue from exactly what is served: this reads
the file once, keeps what llama.cpp knows about rotary frequencies, gives a plain model without marks of a quantisation that
is gone, and says clearly what is wrong with a file. Architectures other than Llama, and Llama variants with experts, are
left out. Names, shapes and the order of rows are those of `cogumi_core.formats.llama`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gguf import GGMLQuantizationType, dequantize
from transformers import LlamaConfig, LlamaForCausalLM

from cogumi_core import InputError
from cogumi_core.formats.gguf.header import GgufHeader, GgufTensor, read_header
from cogumi_core.formats.llama.names import ROPE_FREQS, hf_name, part_of
from cogumi_core.formats.llama.rope import rope_of_gguf
from cogumi_core.formats.llama.rows import separate_halves
from cogumi_core.formats.llama.shapes import LlamaShape, check_gguf, heads_of, shape_of_gguf


def open_gguf(path: Path) -> GgufHeader:
    """The header of a GGUF file of a Llama. Raises InputError: no file, not GGUF, cut short or damaged, not a dense Llama."""
    header = read_header(path)
    check_gguf(header)
    return header


def refuse_kind(path: Path, kind: object) -> None:
    """Raises InputError: a model that is not a Llama."""
    message = f"{path}: this is a '{kind}' model; only the Llama architecture ('llama') can be trained and exported"
    raise InputError(message)


def load_model(header: GgufHeader, dtype: torch.dtype) -> LlamaForCausalLM:
    """The model on the CPU with weights in `dtype`. Raises InputError for tensors that are missing, or that a Llama has not."""
    shape = shape_of_gguf(header)
    config = _config(header, shape)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    state = dict(_weights(header, shape, dtype))
    if shape.tied:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    result = model.load_state_dict(state, strict=False, assign=True)
    if result.missing_keys or result.unexpected_keys:
        what = ", ".join([*result.missing_keys, *result.unexpected_keys][:3])
        message = f"{header.path}: its tensors are not those of a Llama (missing or unknown: {what})"
        raise InputError(message)
    model.tie_weights()
    # Computed, not stored, so the empty ones from above must be made again.
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config)
    return model


def _config(header: GgufHeader, shape: LlamaShape) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads_kv,
        head_dim=shape.head_dim,
        max_position_embeddings=header.number("llama.context_length", 2048),
        # Stored in 32 bits: 9.999999747378752e-06 is 1e-05.
        rms_norm_eps=float(f"{header.real('llama.attention.layer_norm_rms_epsilon', 1e-5):.6g}"),
        rope_parameters=rope_of_gguf(header).parameters(),
        tie_word_embeddings=shape.tied,
        attention_bias=shape.attention_bias,
        mlp_bias=shape.mlp_bias,
    )


def _weights(header: GgufHeader, shape: LlamaShape, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    for tensor in header.tensors:
        if tensor.name == ROPE_FREQS:
            continue
        weight = _values(header.path, tensor)
        heads = heads_of(part_of(tensor.name), shape)
        if heads:
            weight = separate_halves(weight, heads)
        # A name that no Llama has is reported by `load_model`.
        yield hf_name(tensor.name) or tensor.name, torch.from_numpy(np.array(weight, dtype=np.float32)).to(dtype)


def _values(path: Path, tensor: GgufTensor) -> npt.NDArray[Any]:
    """The weights [out, in] in 32 bits."""
    *rows, width = tensor.shape
    raw = np.memmap(path, np.uint8, "r", tensor.offset, (*rows, tensor.type.bytes_of(width)))
    values: npt.NDArray[Any] = dequantize(raw, GGMLQuantizationType[tensor.type.name])
    return values
