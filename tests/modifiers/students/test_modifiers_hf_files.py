"""Models that cannot be trained are refused with one clear message; those that can come back as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from modifiers_training_support import reference
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from cogumi_core import InputError
from cogumi_core.formats.gguf.header import GgufHeader
from cogumi_core.formats.llama.rope import Llama3Rope, Rope, recognise, rope_of_gguf
from cogumi_modifiers.students.gguf_tokenizer import build_tokenizer
from cogumi_modifiers.students.hf import load_student, save_student
from cogumi_modifiers.testing import tiny_llama


def test_a_saved_model_is_the_one_that_was_loaded(tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base")
    save_student(*load_student(reference(base), torch.float32), tmp_path / "again")
    assert reference(tmp_path / "again").digest == reference(base).digest


def test_a_tiny_model_depends_on_its_seed_only(tmp_path: Path) -> None:
    digests = [reference(tiny_llama(tmp_path / str(i), seed=seed)).digest for i, seed in enumerate((1, 1, 2))]
    assert digests[0] == digests[1] != digests[2]


def test_end_of_turn_replaces_another_eos(tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base")
    for name, change in (("config.json", {"eos_token_id": 0}), ("tokenizer_config.json", {"eos_token": "<|endoftext|>"})):
        file = base / name
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    model, tokenizer = load_student(reference(base))
    assert tokenizer.eos_token_id == model.config.eos_token_id == model.generation_config.eos_token_id == 2


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _other_kind(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "mamba"}')


def _broken_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_no_config, "no config.json"),
        (_other_kind, "a 'mamba' model; only the Llama architecture"),
        (_broken_json, "not valid JSON"),
        (_cut_weights, "cannot be opened"),
        (_no_weights, "cannot be opened"),
    ],
)
def test_a_folder_that_cannot_be_trained_is_named(tmp_path: Path, damage: Any, says: str) -> None:
    folder = tiny_llama(tmp_path / "student")
    damage(folder)
    with pytest.raises(InputError, match=says) as caught:
        load_student(reference(folder))
    assert str(folder) in str(caught.value)


def test_a_file_that_is_no_gguf_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(InputError, match="not a GGUF file"):
        load_student(reference(tmp_path / "model.gguf"))


def test_a_gguf_of_another_architecture_is_named(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "model.gguf", "qwen3")
    writer.add_tensor("token_embd.weight", np.zeros((2, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(InputError, match="its architecture is 'qwen3'"):
        load_student(reference(tmp_path / "model.gguf"))


@pytest.mark.parametrize(
    ("model", "pre", "says"), [("gpt2", "chameleon", "pre-tokeniser 'chameleon'"), ("llama", "default", "of kind 'llama'")]
)
def test_a_tokenizer_that_cannot_be_exact_is_refused(model: str, pre: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        build_tokenizer({"tokenizer.ggml.model": model, "tokenizer.ggml.pre": pre}, "student.gguf")


@pytest.mark.parametrize(("original", "factor", "theta"), [(8192, 8.0, 500_000.0), (8192, 32.0, 500_000.0)])
def test_llama3_positions_are_found_again(original: int, factor: float, theta: float) -> None:
    factors = np.float32(Llama3Rope(factor, 1.0, 4.0, original).divisors(128, theta))
    found = Rope(theta, llama3=recognise(factors.tolist(), theta)).parameters()
    config = LlamaConfig(hidden_size=1024, num_attention_heads=8, max_position_embeddings=131_072, rope_parameters=found)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    plain = 1 / theta ** (torch.arange(0, 128, 2) / 128)
    torch.testing.assert_close(scaled, plain / torch.from_numpy(factors), rtol=1e-5, atol=0)


def test_unknown_position_scaling_is_refused() -> None:
    with pytest.raises(InputError, match="scaled by 'yarn'"):
        rope_of_gguf(GgufHeader(Path("m.gguf"), {"llama.rope.scaling.type": "yarn"}, (), 0, 0))
