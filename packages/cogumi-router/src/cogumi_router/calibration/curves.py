"""The curve from a signal to the probability that the base is right, as it is used when serving.

A curve is a handful of numbers, so a decision needs no library: `Sigmoid` has two, `Steps` the corners of an isotonic fit,
`Constant` the share right when there was too little to learn a curve from. `learning` fits them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cogumi_core import JSON


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """1 / (1 + exp(-(slope x + intercept))); Platt (1999)."""

    slope: float
    intercept: float

    def __call__(self, signal: float) -> float:
        z = self.slope * signal + self.intercept
        # Two forms, so that exp never overflows.
        return 1.0 / (1.0 + math.exp(-z)) if z >= 0 else math.exp(z) / (1.0 + math.exp(z))

    def to_json(self) -> dict[str, JSON]:
        return {"kind": "sigmoid", "slope": self.slope, "intercept": self.intercept}


@dataclass(frozen=True, slots=True)
class Steps:
    """Straight lines between the corners (`signals` rising, `confidences` not falling), flat outside them."""

    signals: tuple[float, ...]
    confidences: tuple[float, ...]

    def __call__(self, signal: float) -> float:
        above = bisect_right(self.signals, signal)
        if above == 0:
            return self.confidences[0]
        if above == len(self.signals):
            return self.confidences[-1]
        x0, x1 = self.signals[above - 1 : above + 1]
        y0, y1 = self.confidences[above - 1 : above + 1]
        return y0 + (y1 - y0) * (signal - x0) / (x1 - x0)

    def to_json(self) -> dict[str, JSON]:
        return {"kind": "isotonic", "signals": list(self.signals), "confidences": list(self.confidences)}


@dataclass(frozen=True, slots=True)
class Constant:
    """The same confidence for every answer."""

    confidence: float

    def __call__(self, signal: float) -> float:
        return self.confidence

    def to_json(self) -> dict[str, JSON]:
        return {"kind": "constant", "confidence": self.confidence}


Curve = Sigmoid | Steps | Constant


def curve_from_json(data: Mapping[str, Any]) -> Curve:
    """What `to_json` wrote. Raises KeyError, TypeError or ValueError when it is damaged."""
    kind = data["kind"]
    if kind == "sigmoid":
        return Sigmoid(_finite(data["slope"]), _finite(data["intercept"]))
    if kind == "constant":
        return Constant(_share(data["confidence"]))
    if kind == "isotonic":
        return _steps(data["signals"], data["confidences"])
    message = f"unknown calibration '{kind}'"
    raise ValueError(message)


def _steps(signals: Sequence[Any], confidences: Sequence[Any]) -> Steps:
    steps = Steps(tuple(map(_finite, signals)), tuple(map(_share, confidences)))
    rising = all(a < b for a, b in pairwise(steps.signals))
    if not steps.signals or len(steps.signals) != len(steps.confidences) or not rising:
        message = "the corners of the isotonic curve do not fit together"
        raise ValueError(message)
    return steps


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        message = f"{value!r} is not a finite number"
        raise ValueError(message)
    return float(value)


def _share(value: Any) -> float:
    if not 0.0 <= _finite(value) <= 1.0:
        message = f"{value!r} is not between 0 and 1"
        raise ValueError(message)
    return float(value)
