"""The exported file computes what the Hugging Face model computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compress_support import LLAMA3_ROPE, llama_logits, relative_error, write_tiny

from cogumi_compress.gguf.export import export_gguf
from cogumi_core.formats.gguf.header import read_header
from cogumi_core.formats.llama.rows import interleave_halves

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CASES: dict[str, dict[str, Any]] = {
    "grouped heads, untied": {},
    "tied": {"tie_word_embeddings": True},
    "one key head for each query head": {"num_key_value_heads": 4},
    "one key head": {"num_key_value_heads": 1},
    "heads wider than hidden / heads": {"head_dim": 32},
    "llama3 rope scaling": {"rope_scaling": LLAMA3_ROPE},
    "llama3 rope as transformers 5 writes it": {"rope_parameters": {**LLAMA3_ROPE, "rope_theta": 500000.0}, "rope_theta": None},
    "linear rope scaling": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "large rope base": {"rope_theta": 1000000.0},
    "sharded": {"shards": 3},
    "stored in F16": {"dtype": np.float16},
    "hidden 512": {"hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 768},
}
TOKENS = [1, *range(5, 65)]


def reference_logits(folder: Path, tokens: list[int]) -> np.ndarray[Any, Any]:
    model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        logits: np.ndarray[Any, Any] = model(torch.tensor([tokens])).logits[0].numpy()
    return logits


@pytest.mark.parametrize("case", CASES)
def test_logits_of_a_tiny_model_are_those_of_transformers(case: str, tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model", **CASES[case])
    export_gguf(folder, tmp_path / "model.gguf", "F32")
    error = relative_error(llama_logits(tmp_path / "model.gguf", TOKENS), reference_logits(folder, TOKENS))
    assert error < 1e-5


def test_rope_scaling_changes_the_logits_this_test_compares(tmp_path: Path) -> None:
    plain = write_tiny(tmp_path / "plain")
    scaled = write_tiny(tmp_path / "scaled", rope_scaling=LLAMA3_ROPE)
    assert relative_error(reference_logits(scaled, TOKENS), reference_logits(plain, TOKENS)) > 0.05


def test_without_interleaving_the_logits_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tiny(tmp_path / "model")
    monkeypatch.setattr("cogumi_compress.gguf.export.interleave_halves", lambda values, heads: values)
    export_gguf(folder, tmp_path / "model.gguf", "F32")
    assert relative_error(llama_logits(tmp_path / "model.gguf", TOKENS), reference_logits(folder, TOKENS)) > 0.05


def test_interleaving_pairs_row_i_with_row_i_plus_half_in_each_head() -> None:
    rows = np.arange(12).reshape(12, 1)
    assert interleave_halves(rows, 2).ravel().tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]


@pytest.mark.model
@pytest.mark.parametrize(("dtype", "bound"), [("F32", 1e-4), ("F16", 5e-3), ("BF16", 2e-2)])
def test_logits_of_smollm2_are_those_of_transformers(dtype: str, bound: float, smollm_dir: Path, tmp_path: Path) -> None:
    export_gguf(smollm_dir, tmp_path / "model.gguf", dtype)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(smollm_dir)
    tokens = tokenizer("The capital of France is Paris. def add(a, b):\n    return a + b\n2 + 2 = 4")["input_ids"]
    found, expected = llama_logits(tmp_path / "model.gguf", tokens), reference_logits(smollm_dir, tokens)
    assert relative_error(found, expected) < bound
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.95


@pytest.mark.parametrize(("dtype", "stored"), [("F32", "F32"), ("F16", "F16"), ("BF16", "BF16"), (None, "F16")])
def test_matrices_are_stored_in_the_asked_type_and_vectors_in_f32(dtype: str | None, stored: str, tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "model", dtype=np.float16)
    export_gguf(folder, tmp_path / "model.gguf", dtype)
    kinds = {(len(t.shape) > 1, t.type.name) for t in read_header(tmp_path / "model.gguf").tensors}
    assert kinds == {(True, stored), (False, "F32")}
