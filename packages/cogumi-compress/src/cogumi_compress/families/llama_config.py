"""The shape of a Llama model, read from its `config.json`, and a refusal of what is not one.

GGUF's `llama` architecture means exact arithmetic: an attention variant, activation or rope scaling that it cannot express
would load without complaint and answer nonsense, so anything unknown is refused here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cogumi_compress.hf.safetensors_files import read_json
from cogumi_core.api.errors import InputError

ARCHITECTURE: Final = "LlamaForCausalLM"


@dataclass(frozen=True, slots=True)
class Llama3Rope:
    """Llama 3.1's frequency scaling: low frequencies slowed by `factor`, high ones kept, a ramp between."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context: int

    def divisors(self, head_dim: int, theta: float) -> list[float]:
        """What each of the head_dim / 2 rope frequencies is divided by (the scheme of Llama 3.1's published model code)."""
        return [self._divisor(2 * math.pi * theta ** (i / head_dim)) for i in range(0, head_dim, 2)]

    def _divisor(self, wavelength: float) -> float:
        if wavelength < self.original_context / self.high_freq_factor:
            return 1.0
        if wavelength > self.original_context / self.low_freq_factor:
            return self.factor
        turns = self.original_context / wavelength
        smooth = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        return 1 / ((1 - smooth) / self.factor + smooth)


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """What determines the shapes and the arithmetic. `linear_factor`: positions are divided by it."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    heads_kv: int
    head_dim: int
    vocabulary: int
    context: int
    rms_eps: float
    rope_theta: float
    tied: bool
    attention_bias: bool
    mlp_bias: bool
    linear_factor: float | None = None
    llama3_rope: Llama3Rope | None = None


def read_config(model_dir: Path) -> LlamaConfig:
    """The configuration of the Hugging Face model in `model_dir` (or of a `config.json` itself). Raises InputError."""
    path = model_dir / "config.json" if model_dir.is_dir() else model_dir
    if not path.is_file():
        message = f"{model_dir}: no config.json, so not a Hugging Face model"
        raise InputError(message)
    raw = read_json(path)
    check_architecture(raw, path)
    try:
        return _config(raw, path)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as exc:
        message = f"{path}: not the configuration of a Llama model: {type(exc).__name__} {exc}"
        raise InputError(message) from exc


def check_architecture(raw: Mapping[str, Any], path: Path) -> None:
    """Raises InputError for a model that is not a plain, unquantised Llama."""
    named = raw.get("architectures") or []
    kind = raw.get("model_type", "not named")
    if (named and named != [ARCHITECTURE]) or kind != "llama":
        found = ", ".join(map(str, named)) or "of no name"
        message = (
            f"{path}: not a Llama model: its architecture is {found} (model_type {kind}). Supported: {ARCHITECTURE} "
            "(Llama 3, SmolLM2 and other models saved as such), or a GGUF file of the llama architecture"
        )
        raise InputError(message)
    if raw.get("quantization_config"):
        method = raw["quantization_config"].get("quant_method", "unknown")
        message = (
            f"{path}: the weights are quantised ({method}); export needs a model saved in F32, F16 or BF16: dequantise it first"
        )
        raise InputError(message)


def _config(raw: Mapping[str, Any], path: Path) -> LlamaConfig:
    heads, hidden = int(raw["num_attention_heads"]), int(raw["hidden_size"])
    if raw.get("hidden_act", "silu") != "silu":
        _unsupported(path, f"hidden_act {raw['hidden_act']!r}", "'silu'")
    rope = _rope(raw)
    kind = str(rope.get("rope_type", rope.get("type", "default"))).lower()
    if kind not in ("default", "linear", "llama3"):
        _unsupported(path, f"rope scaling {kind!r}", "default, linear and llama3")
    if float(rope.get("partial_rotary_factor", raw.get("partial_rotary_factor", 1.0))) != 1.0:
        _unsupported(path, "a partial rotary embedding", "rope over the whole head")
    return LlamaConfig(
        layers=int(raw["num_hidden_layers"]),
        hidden=hidden,
        feed_forward=int(raw["intermediate_size"]),
        heads=heads,
        heads_kv=int(raw.get("num_key_value_heads") or heads),
        head_dim=int(raw.get("head_dim") or hidden // heads),
        vocabulary=int(raw["vocab_size"]),
        context=int(raw.get("max_position_embeddings", 2048)),
        rms_eps=float(raw.get("rms_norm_eps", 1e-6)),
        rope_theta=float(rope.get("rope_theta", 10000.0)),
        tied=bool(raw.get("tie_word_embeddings", False)),
        attention_bias=bool(raw.get("attention_bias", False)),
        mlp_bias=bool(raw.get("mlp_bias", False)),
        linear_factor=float(rope["factor"]) if kind == "linear" else None,
        llama3_rope=_llama3(rope) if kind == "llama3" else None,
    )


def _rope(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping from what transformers 5 calls `rope_parameters`, and older versions `rope_theta` and `rope_scaling`."""
    old = {"rope_theta": raw["rope_theta"]} if raw.get("rope_theta") is not None else {}
    return {**old, **(raw.get("rope_scaling") or {}), **(raw.get("rope_parameters") or {})}


def _llama3(rope: Mapping[str, Any]) -> Llama3Rope:
    return Llama3Rope(
        float(rope["factor"]),
        float(rope["low_freq_factor"]),
        float(rope["high_freq_factor"]),
        int(rope["original_max_position_embeddings"]),
    )


def _unsupported(path: Path, what: str, supported: str) -> None:
    message = f"{path}: {what} cannot be expressed in GGUF's llama architecture; supported: {supported}"
    raise InputError(message)
