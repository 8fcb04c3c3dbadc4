"""The rotary settings of a GGUF file that transformers does not read: Llama 3's frequency factors.

llama.cpp stores the *result* of Llama 3's rescaling, one factor for each frequency (`rope_freqs.weight`), not its four
settings. Training without it would fit another model than the one that is served. The settings are found again by computing
the factors of every published combination and comparing; a file that matches none is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cogumi_core.api.errors import InputError

_ORIGINAL_LENGTHS = (8192, 4096, 2048)  # tokens the model was trained on before its context was stretched


def rope_parameters(path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """transformers' `rope_parameters` of a GGUF file with these pairs and tensors. Raises InputError naming `path`."""
    plain: dict[str, Any] = {"rope_type": "default", "rope_theta": float(metadata.get("llama.rope.freq_base", 10_000.0))}
    kind = metadata.get("llama.rope.scaling.type", "none")
    if kind == "linear":
        return {**plain, "rope_type": "linear", "factor": float(metadata["llama.rope.scaling.factor"])}
    if kind != "none":
        _refuse(path, f"its positions are scaled by '{kind}'")
    if "rope_freqs.weight" not in tensors:
        return plain
    factors = np.asarray(tensors["rope_freqs.weight"].data, dtype=np.float32).reshape(-1)
    return {**plain, "rope_type": "llama3", **_llama3_settings(path, plain["rope_theta"], factors)}


def _llama3_settings(path: Path, theta: float, factors: npt.NDArray[np.float32]) -> dict[str, float]:
    settings = {"factor": float(factors.max()), "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    for original in _ORIGINAL_LENGTHS:
        if np.allclose(llama3_factors(theta, len(factors), original=original, **settings), factors, rtol=1e-3):
            return {**settings, "original_max_position_embeddings": original}
    _refuse(path, "its rotary frequency factors match no known settings")
    return {}


def llama3_factors(
    theta: float, count: int, *, factor: float, low_freq_factor: float, high_freq_factor: float, original: int
) -> npt.NDArray[np.float32]:
    """By what each of `count` frequencies is divided: 1 for short wavelengths, `factor` for long ones, smooth between
    (Llama 3.1 reference code, `apply_scaling`)."""
    wavelengths = 2 * np.pi * theta ** (np.arange(count) / count)
    smooth = (original / wavelengths - low_freq_factor) / (high_freq_factor - low_freq_factor)
    smooth = np.clip(smooth, 0.0, 1.0)
    return np.asarray(1.0 / ((1 - smooth) / factor + smooth), dtype=np.float32)


def _refuse(path: Path, why: str) -> None:
    message = f"{path}: {why}, which cannot be carried into training; use the model's Hugging Face folder instead"
    raise InputError(message)
