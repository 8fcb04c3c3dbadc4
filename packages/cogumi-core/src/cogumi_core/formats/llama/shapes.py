"""The shapes of a Llama: from `config.json` or a GGUF header, and from them every tensor.

One list serves the exporter (what to read and where it goes), the size forecast (shapes without weights) and adapters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from cogumi_core.api.errors import InputError
from cogumi_core.formats.gguf.header import ArrayPlace, GgufHeader
from cogumi_core.formats.llama.names import EMBEDDING, OUTPUT, OUTPUT_NORM, hf_name

ARCHITECTURE = "llama"
"""The word for it in GGUF, and in `config.json` under `model_type`."""


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """What determines the shape of every tensor. `hidden`: width of the residual stream; `heads_kv` heads of keys and values
    are shared by `heads` heads of queries, each `head_dim` wide."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    heads_kv: int
    head_dim: int
    vocabulary: int
    tied: bool
    attention_bias: bool = False
    mlp_bias: bool = False

    @property
    def grouping(self) -> int:
        """Heads of queries for each head of keys."""
        return self.heads // self.heads_kv


@dataclass(frozen=True, slots=True)
class LlamaTensor:
    """`name` in GGUF, `source` in the Hugging Face model; rows first. `heads`: the rows belong to so many attention heads whose
    halves are interleaved in GGUF (see `rows`), None where rows stay as they are."""

    name: str
    source: str
    shape: tuple[int, ...]
    heads: int | None = None

    @property
    def weights(self) -> int:
        return prod(self.shape)


def shape_of_config(raw: Mapping[str, Any]) -> LlamaShape:
    """The shape that a `config.json` says. Raises KeyError, TypeError, ValueError or ZeroDivisionError when it says none."""
    heads, hidden = int(raw["num_attention_heads"]), int(raw["hidden_size"])
    return LlamaShape(
        layers=int(raw["num_hidden_layers"]),
        hidden=hidden,
        feed_forward=int(raw["intermediate_size"]),
        heads=heads,
        heads_kv=int(raw.get("num_key_value_heads") or heads),
        head_dim=int(raw.get("head_dim") or hidden // heads),
        vocabulary=int(raw["vocab_size"]),
        tied=bool(raw.get("tie_word_embeddings", False)),
        attention_bias=bool(raw.get("attention_bias", False)),
        mlp_bias=bool(raw.get("mlp_bias", False)),
    )


def shape_of_gguf(header: GgufHeader) -> LlamaShape:
    """The shape of a GGUF file. Raises InputError: not a dense Llama in one piece, or numbers that are missing."""
    check_gguf(header)
    embedding = next((tensor for tensor in header.tensors if tensor.name == EMBEDDING), None)
    if embedding is None or len(embedding.shape) != 2:
        message = f"{header.path}: not a whole Llama model: it has no token embeddings ({EMBEDDING}); fetch or export it again"
        raise InputError(message)
    names = {tensor.name for tensor in header.tensors}
    heads, hidden = _number(header, "attention.head_count"), _number(header, "embedding_length")
    return LlamaShape(
        layers=_number(header, "block_count"),
        hidden=hidden,
        feed_forward=_number(header, "feed_forward_length"),
        heads=heads,
        heads_kv=_number(header, "attention.head_count_kv", heads),
        head_dim=_number(header, "attention.key_length", hidden // heads),
        vocabulary=embedding.shape[0],
        tied=OUTPUT not in names,
        attention_bias="blk.0.attn_q.bias" in names,
        mlp_bias="blk.0.ffn_up.bias" in names,
    )


def check_gguf(header: GgufHeader) -> None:
    """Raises InputError for a GGUF file that is not a dense Llama in one piece."""
    if header.architecture != ARCHITECTURE:
        message = (
            f"{header.path}: not a Llama model: its architecture is '{header.architecture}'. Supported: GGUF files of the "
            "llama architecture, or a Hugging Face directory of LlamaForCausalLM"
        )
        raise InputError(message)
    if header.number("llama.expert_count") > 0:
        message = (
            f"{header.path}: a mixture of {header.number('llama.expert_count')} experts; only dense Llama models are supported"
        )
        raise InputError(message)
    if header.number("split.count") > 1:
        message = f"{header.path}: one of {header.number('split.count')} parts; join them first with llama-gguf-split --merge"
        raise InputError(message)


def _number(header: GgufHeader, key: str, default: int | None = None) -> int:
    value = header.metadata.get(f"{ARCHITECTURE}.{key}", default)
    if isinstance(value, int) and value > 0:
        return value
    differs = "differs from layer to layer" if isinstance(value, ArrayPlace) else "is missing, or no number above 0"
    message = f"{header.path}: {ARCHITECTURE}.{key} {differs}; only Llama models whose layers are alike are supported"
    raise InputError(message)


def llama_tensors(shape: LlamaShape) -> Iterator[LlamaTensor]:
    """Every stored tensor, in the order of an exported file. Tied models have no output tensor of their own."""
    yield _tensor(EMBEDDING, (shape.vocabulary, shape.hidden))
    for layer in range(shape.layers):
        yield from _layer(shape, f"blk.{layer}.")
    yield _tensor(OUTPUT_NORM, (shape.hidden,))
    if not shape.tied:
        yield _tensor(OUTPUT, (shape.vocabulary, shape.hidden))


def heads_of(part: str, shape: LlamaShape) -> int | None:
    """How many heads the rows of a part (`attn_q`) belong to, where GGUF has them in another order than Hugging Face; else
    None."""
    return {"attn_q": shape.heads, "attn_k": shape.heads_kv}.get(part)


def _layer(shape: LlamaShape, layer: str) -> Iterator[LlamaTensor]:
    query, key = shape.heads * shape.head_dim, shape.heads_kv * shape.head_dim
    yield _tensor(f"{layer}attn_norm.weight", (shape.hidden,))
    for part, rows, columns in (
        ("attn_q", query, shape.hidden),
        ("attn_k", key, shape.hidden),
        ("attn_v", key, shape.hidden),
        ("attn_output", shape.hidden, query),
    ):
        heads = heads_of(part, shape)
        yield _tensor(f"{layer}{part}.weight", (rows, columns), heads)
        if shape.attention_bias:
            yield _tensor(f"{layer}{part}.bias", (rows,), heads)
    yield _tensor(f"{layer}ffn_norm.weight", (shape.hidden,))
    for part, rows, columns in (
        ("ffn_gate", shape.feed_forward, shape.hidden),
        ("ffn_up", shape.feed_forward, shape.hidden),
        ("ffn_down", shape.hidden, shape.feed_forward),
    ):
        yield _tensor(f"{layer}{part}.weight", (rows, columns))
        if shape.mlp_bias:
            yield _tensor(f"{layer}{part}.bias", (rows,))


def _tensor(name: str, shape: tuple[int, ...], heads: int | None = None) -> LlamaTensor:
    source = hf_name(name)
    assert source is not None
    return LlamaTensor(name, source, shape, heads)
