"""What is known of a Llama: names both ways, shapes from both formats, rows there and back, rotary factors, pre-tokenisers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cogumi_core import InputError
from cogumi_core.formats.gguf.header import ArrayPlace, GgufHeader, GgufTensor
from cogumi_core.formats.gguf.types import TENSOR_TYPES
from cogumi_core.formats.llama.config import read_config
from cogumi_core.formats.llama.names import gguf_name, group_of, hf_name, layer_of, part_of
from cogumi_core.formats.llama.pre_tokenizers import PRE_TOKENIZERS, pre_tokenizer_name
from cogumi_core.formats.llama.rope import Llama3Rope, Rope, recognise, rope_of_config, rope_of_gguf
from cogumi_core.formats.llama.rows import interleave_halves, separate_halves
from cogumi_core.formats.llama.shapes import LlamaShape, llama_tensors, shape_of_config, shape_of_gguf

np = pytest.importorskip("numpy")

RAW: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
}
SHAPES = [
    {},
    {"tie_word_embeddings": True},
    {"attention_bias": True, "mlp_bias": True},
    {"head_dim": 32},
    {"num_key_value_heads": None},
]


def header(shape: LlamaShape, **metadata: Any) -> GgufHeader:
    """The header that an exporter would write for `shape`."""
    f32 = TENSOR_TYPES["F32"]
    numbers = {
        "llama.block_count": shape.layers,
        "llama.embedding_length": shape.hidden,
        "llama.feed_forward_length": shape.feed_forward,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.heads_kv,
        "llama.attention.key_length": shape.head_dim,
    }
    tensors = tuple(GgufTensor(tensor.name, tensor.shape, f32, 0) for tensor in llama_tensors(shape))
    return GgufHeader(Path("m.gguf"), {"general.architecture": "llama", **numbers, **metadata}, tensors, 0, 0)


@pytest.mark.parametrize("change", SHAPES)
def test_every_tensor_has_one_name_in_each_format_and_comes_back(change: dict[str, Any]) -> None:
    tensors = list(llama_tensors(shape_of_config(RAW | change)))
    assert len({tensor.name for tensor in tensors}) == len({tensor.source for tensor in tensors}) == len(tensors)
    assert [gguf_name(tensor.source) for tensor in tensors] == [tensor.name for tensor in tensors]
    assert [hf_name(tensor.name) for tensor in tensors] == [tensor.source for tensor in tensors]


@pytest.mark.parametrize("name", ["blk.0.ffn_gate_inp.weight", "rope_freqs.weight", "blk.x.attn_q.weight", "blk.0.attn_q", ""])
def test_a_name_that_a_dense_llama_has_not_is_none(name: str) -> None:
    assert hf_name(name) is None
    assert gguf_name(name) is None


def test_parts_layers_and_groups_are_read_off_a_name() -> None:
    assert (part_of("blk.13.attn_q.weight"), layer_of("blk.13.attn_q.weight")) == ("attn_q", 13)
    assert (part_of("output.weight"), layer_of("output.weight")) == ("", None)
    groups = {
        "token_embd.weight": "embeddings",
        "output.weight": "embeddings",
        "blk.0.attn_output.bias": "attention",
        "blk.0.ffn_down.weight": "ffn",
        "blk.0.ffn_norm.weight": "norms",
        "blk.0.attn_norm.weight": "norms",
        "output_norm.weight": "norms",
        "rope_freqs.weight": "other",
    }
    assert {name: group_of(name) for name in groups} == groups


@pytest.mark.parametrize("change", SHAPES)
def test_a_shape_is_the_same_from_either_format(change: dict[str, Any]) -> None:
    shape = shape_of_config(RAW | change)
    assert shape_of_gguf(header(shape)) == shape


REFUSED = [
    ({"general.architecture": "qwen3"}, "its architecture is 'qwen3'"),
    ({"llama.expert_count": 8}, "a mixture of 8 experts"),
    ({"split.count": 2}, "one of 2 parts"),
    ({"llama.block_count": None}, "llama.block_count is missing"),
    ({"llama.attention.head_count": 0}, "llama.attention.head_count is missing, or no number above 0"),
    ({"llama.attention.head_count_kv": ArrayPlace(4, 2, 0)}, "llama.attention.head_count_kv differs from layer to layer"),
]


@pytest.mark.parametrize(("metadata", "message"), REFUSED)
def test_a_gguf_that_is_no_plain_llama_is_refused(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        shape_of_gguf(header(shape_of_config(RAW), **metadata))


def test_a_file_without_embeddings_is_no_model() -> None:
    whole = header(shape_of_config(RAW))
    with pytest.raises(InputError, match="it has no token embeddings"):
        shape_of_gguf(GgufHeader(whole.path, whole.metadata, whole.tensors[1:], 0, 0))


def test_rows_go_there_and_back_in_each_head_for_itself() -> None:
    rows = np.arange(12).reshape(12, 1)
    there = interleave_halves(rows, 2)
    assert there.ravel().tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]
    assert separate_halves(there, 2).ravel().tolist() == rows.ravel().tolist()
    assert interleave_halves(np.arange(4), 1).tolist() == [0, 2, 1, 3]


LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
ROPES = [
    ({}, Rope()),
    ({"rope_theta": 500000.0}, Rope(500000.0)),
    ({"rope_scaling": {"type": "linear", "factor": 4.0}}, Rope(linear_factor=4.0)),
    (
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3}},
        Rope(5e5, llama3=Llama3Rope(8.0, 1.0, 4.0, 8192)),
    ),
]


@pytest.mark.parametrize(("raw", "rope"), ROPES)
def test_rotary_settings_are_read_as_old_and_new_files_have_them_and_written_as_new(raw: dict[str, Any], rope: Rope) -> None:
    assert rope_of_config(raw, Path("config.json")) == rope
    assert rope_of_config({"rope_parameters": rope.parameters()}, Path("config.json")) == rope


@pytest.mark.parametrize(("factor", "original"), [(8.0, 8192), (32.0, 8192), (4.0, 2048)])
def test_the_settings_behind_stored_factors_are_found_again(factor: float, original: int) -> None:
    settings = Llama3Rope(factor, 1.0, 4.0, original)
    stored = np.float32(settings.divisors(64, 500_000.0)).tolist()
    assert recognise(stored, 500_000.0) == settings
    assert recognise([value * (1.01 if index == 20 else 1) for index, value in enumerate(stored)], 500_000.0) is None


def test_positions_scaled_otherwise_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="its positions are scaled by 'yarn'"):
        rope_of_gguf(header(shape_of_config(RAW), **{"llama.rope.scaling.type": "yarn"}))
    with pytest.raises(InputError, match="rope scaling 'longrope' cannot be expressed"):
        rope_of_config({"rope_scaling": {"rope_type": "longrope"}}, Path("config.json"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, "not a Llama model"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' cannot be expressed"),
        ({"num_attention_heads": 0}, "not the configuration of a Llama model: ZeroDivisionError"),
        ({"partial_rotary_factor": 0.5}, "a partial rotary embedding cannot be expressed"),
    ],
)
def test_a_config_of_something_else_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(RAW | change), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_config(tmp_path)


# As published in the models' tokenizer.json.
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_PATTERN = LLAMA3_PATTERN.replace("{1,3}", "")
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


def split(pattern: str, **changes: Any) -> list[dict[str, Any]]:
    first = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False, **changes}
    return [first, {**BYTES, "use_regex": False}]


RECOGNISED = [
    ([BYTES], False, "gpt-2"),
    ([DIGITS, BYTES], False, "smollm"),
    (split(LLAMA3_PATTERN), True, "llama-bpe"),
    (split(LLAMA3_PATTERN), False, "dbrx"),
    (split(QWEN2_PATTERN), False, "qwen2"),
    ([BYTES], True, None),
    (split(QWEN2_PATTERN), True, None),
    (split(LLAMA3_PATTERN, invert=True), True, None),
    (split("x"), False, None),
    ([{**BYTES, "add_prefix_space": True}], False, None),
    ([], False, None),
]


@pytest.mark.parametrize(("steps", "ignore_merges", "name"), RECOGNISED)
def test_a_pre_tokeniser_gets_a_name_only_where_it_means_the_same(
    steps: list[dict[str, Any]], ignore_merges: bool, name: str | None
) -> None:
    assert pre_tokenizer_name(steps, ignore_merges=ignore_merges) == name


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_every_name_that_is_read_means_one_that_is_written(name: str) -> None:
    written = {expected for _, _, expected in RECOGNISED if expected}
    assert any(PRE_TOKENIZERS[name] == PRE_TOKENIZERS[other] for other in written)
