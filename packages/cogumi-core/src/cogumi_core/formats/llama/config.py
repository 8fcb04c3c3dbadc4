"""A Llama model's `config.json`, and a refusal of what is not one.

GGUF's `llama` architecture means exact arithmetic: an attention variant, activation or rope scaling that it cannot express
would load without complaint and answer nonsense, so anything unknown is refused here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cogumi_core.api.errors import InputError
from cogumi_core.formats.json_files import read_object
from cogumi_core.formats.llama.rope import Rope, rope_of_config
from cogumi_core.formats.llama.shapes import ARCHITECTURE, LlamaShape, shape_of_config

CLASS: Final = "LlamaForCausalLM"


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """What determines shapes and arithmetic. `context`: tokens it was made for."""

    shape: LlamaShape
    context: int
    rms_eps: float
    rope: Rope


def read_config(model_dir: Path) -> LlamaConfig:
    """The configuration of the Hugging Face model in `model_dir` (or of a `config.json` itself). Raises InputError."""
    path = model_dir / "config.json" if model_dir.is_dir() else model_dir
    if not path.is_file():
        message = f"{model_dir}: no config.json, so not a Hugging Face model"
        raise InputError(message)
    raw = read_object(path)
    check_config(raw, path)
    try:
        return LlamaConfig(
            shape_of_config(raw),
            int(raw.get("max_position_embeddings", 2048)),
            float(raw.get("rms_norm_eps", 1e-6)),
            rope_of_config(raw, path),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as exc:
        message = f"{path}: not the configuration of a Llama model: {type(exc).__name__} {exc}"
        raise InputError(message) from exc


def check_config(raw: Mapping[str, Any], path: Path) -> None:
    """Raises InputError for a model that is not a plain, unquantised Llama."""
    named = raw.get("architectures") or []
    kind = raw.get("model_type", "not named")
    if (named and named != [CLASS]) or kind != ARCHITECTURE:
        found = ", ".join(map(str, named)) or "of no name"
        message = (
            f"{path}: not a Llama model: its architecture is {found} (model_type {kind}). Supported: {CLASS} "
            "(Llama 3, SmolLM2 and other models saved as such), or a GGUF file of the llama architecture"
        )
        raise InputError(message)
    if raw.get("quantization_config"):
        method = raw["quantization_config"].get("quant_method", "unknown")
        message = (
            f"{path}: the weights are quantised ({method}); export needs a model saved in F32, F16 or BF16: dequantise it first"
        )
        raise InputError(message)
    if raw.get("hidden_act", "silu") != "silu":
        message = (
            f"{path}: hidden_act {raw['hidden_act']!r} cannot be expressed in GGUF's llama architecture; supported: 'silu'"
        )
        raise InputError(message)
