"""Rotary position embeddings of a Llama: base, linear scaling, Llama 3's frequency scaling, in both file formats.

`config.json` holds the four settings of Llama 3's scaling, a GGUF file their *result*, one factor for each frequency
(`rope_freqs.weight`). From a GGUF the settings are found again by computing the factors of every published combination and
comparing. Whoever trains without them fits another model than the one that is served, so what is not understood is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from cogumi_core.api.errors import InputError
from cogumi_core.formats.gguf.header import GgufHeader
from cogumi_core.formats.llama.names import ROPE_FREQS

DEFAULT_THETA: Final = 10_000.0
_ORIGINAL_CONTEXTS: Final = (
    8192,
    4096,
    2048,
)  # tokens that published models were trained on before their context was stretched
_LOW, _HIGH = 1.0, 4.0  # the same in every published model


@dataclass(frozen=True, slots=True)
class Llama3Rope:
    """Llama 3.1's frequency scaling: low frequencies slowed by `factor`, high ones kept, a ramp between. `original_context`:
    tokens that the model was trained on before."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context: int

    def divisors(self, head_dim: int, theta: float) -> list[float]:
        """What each of the head_dim / 2 rope frequencies is divided by (Llama 3.1's published model code, `apply_scaling`)."""
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
class Rope:
    """`theta` is the base of the frequencies; positions are divided by `linear_factor` where there is one."""

    theta: float = DEFAULT_THETA
    linear_factor: float | None = None
    llama3: Llama3Rope | None = None

    def parameters(self) -> dict[str, Any]:
        """As transformers 5 writes them in `config.json`, under `rope_parameters`."""
        if self.linear_factor is not None:
            return {"rope_type": "linear", "rope_theta": self.theta, "factor": self.linear_factor}
        if self.llama3 is None:
            return {"rope_type": "default", "rope_theta": self.theta}
        return {
            "rope_type": "llama3",
            "rope_theta": self.theta,
            "factor": self.llama3.factor,
            "low_freq_factor": self.llama3.low_freq_factor,
            "high_freq_factor": self.llama3.high_freq_factor,
            "original_max_position_embeddings": self.llama3.original_context,
        }


def rope_of_config(raw: Mapping[str, Any], path: Path) -> Rope:
    """What `config.json` says: transformers 5 writes `rope_parameters`, older versions `rope_theta` and `rope_scaling`.

    Raises InputError, naming `path`, for what GGUF's llama architecture cannot express, KeyError, TypeError or ValueError for
    settings that are incomplete."""
    old = {"rope_theta": raw["rope_theta"]} if raw.get("rope_theta") is not None else {}
    rope = {**old, **(raw.get("rope_scaling") or {}), **(raw.get("rope_parameters") or {})}
    kind = str(rope.get("rope_type", rope.get("type", "default"))).lower()
    if kind not in ("default", "linear", "llama3"):
        _inexpressible(path, f"rope scaling '{kind}'", "default, linear and llama3")
    if float(rope.get("partial_rotary_factor", raw.get("partial_rotary_factor", 1.0))) != 1.0:
        _inexpressible(path, "a partial rotary embedding", "rope over the whole head")
    theta = float(rope.get("rope_theta", DEFAULT_THETA))
    if kind == "linear":
        return Rope(theta, linear_factor=float(rope["factor"]))
    if kind == "default":
        return Rope(theta)
    original = int(rope["original_max_position_embeddings"])
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    return Rope(theta, llama3=Llama3Rope(float(rope["factor"]), low, high, original))


def rope_of_gguf(header: GgufHeader) -> Rope:
    """What a GGUF file says. Raises InputError for scalings that cannot be told in transformers' settings."""
    theta = header.real("llama.rope.freq_base", DEFAULT_THETA)
    kind = header.text("llama.rope.scaling.type") or "none"
    if kind == "linear":
        return Rope(theta, linear_factor=header.real("llama.rope.scaling.factor", 1.0))
    if kind != "none":
        _refuse(header.path, f"its positions are scaled by '{kind}'")
    factors = header.vector(ROPE_FREQS)
    if not factors:
        return Rope(theta)
    found = recognise(factors, theta)
    if found is None:
        _refuse(header.path, "its rotary frequency factors match no known settings")
    return Rope(theta, llama3=found)


def recognise(factors: Sequence[float], theta: float) -> Llama3Rope | None:
    """The published settings whose `divisors` these are, within a thousandth (they are stored in 32 bits); None when there are
    none."""
    for original in _ORIGINAL_CONTEXTS:
        settings = Llama3Rope(max(factors), _LOW, _HIGH, original)
        computed = settings.divisors(2 * len(factors), theta)
        if all(math.isclose(ours, theirs, rel_tol=1e-3) for ours, theirs in zip(computed, factors, strict=True)):
            return settings
    return None


def _inexpressible(path: Path, what: str, supported: str) -> NoReturn:
    message = f"{path}: {what} cannot be expressed in GGUF's llama architecture; supported: {supported}"
    raise InputError(message)


def _refuse(path: Path, why: str) -> NoReturn:
    message = f"{path}: {why}, which cannot be carried into training; use the model's Hugging Face folder instead"
    raise InputError(message)
