"""What is measured of a router on rows it did not learn from.

AUROC says how well confidence ranks right above wrong; ECE and Brier whether a stated 0.8 is right in 80 % of cases; the
deferral curve what a system gains by handing over its least confident answers. ECE alone flatters, so none is reported
without the others and its interval (percentile bootstrap over rows).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from cogumi_core import ReliabilityBin

Floats = npt.NDArray[np.float64]
Measure = Callable[[Floats, Floats], float | None]
BINS = 10
RESAMPLES = 1000
FEWEST = 10
"""Rows below which a figure would say nothing."""


def measurable(correct: Floats) -> bool:
    """Enough rows, and both outcomes among them."""
    return len(correct) >= FEWEST and 0 < correct.sum() < len(correct)


def auroc(confidence: Floats, correct: Floats) -> float | None:
    """Chance that a right answer has a higher confidence than a wrong one, ties counting half (Mann and Whitney, 1947)."""
    right = int(correct.sum())
    wrong = len(correct) - right
    if right == 0 or wrong == 0:
        return None
    _, place, count = np.unique(confidence, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    mean_rank = last - (count - 1) / 2
    return float((mean_rank[place][correct > 0].sum() - right * (right + 1) / 2) / (right * wrong))


def brier(confidence: Floats, correct: Floats) -> float:
    """Mean squared difference between confidence and outcome (0 or 1)."""
    return float(np.mean((confidence - correct) ** 2))


def ece(confidence: Floats, correct: Floats) -> float:
    """Expected calibration error: mean gap between confidence and share right over ten equal bins, weighted by rows."""
    bins = _bins(confidence)
    gaps = np.bincount(bins, weights=confidence - correct, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def _bins(confidence: Floats) -> npt.NDArray[np.int64]:
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def reliability(confidence: Floats, correct: Floats) -> tuple[ReliabilityBin, ...]:
    """One entry for each bin that has rows, from low confidence to high."""
    bins = _bins(confidence)
    inside = [bins == number for number in range(BINS) if np.any(bins == number)]
    return tuple(
        ReliabilityBin(round(float(confidence[mask].mean()), 6), round(float(correct[mask].mean()), 6), int(mask.sum()))
        for mask in inside
    )


def bootstrap(measure: Measure, confidence: Floats, correct: Floats, seed: int) -> tuple[float, float] | None:
    """95 % percentile interval of `measure` over resampled rows; None when hardly any resample can be measured."""
    generator = np.random.default_rng(seed)
    drawn = (generator.integers(len(correct), size=len(correct)) for _ in range(RESAMPLES))
    values = [value for rows in drawn if (value := measure(confidence[rows], correct[rows])) is not None]
    if len(values) < RESAMPLES // 2:
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def deferral_curve(confidence: Floats, base: Floats, adapter: Floats, points: int = 11) -> list[dict[str, float]]:
    """Share right of the system when the least confident `share` of answers goes to the adapter, from 0 to 1.

    `base`, `adapter`: 0 or 1 for each row, what each would have scored."""
    order = np.argsort(confidence, kind="stable")
    shares = [number / (points - 1) for number in range(points)]
    return [{"share": share, "accuracy": round(_handed_over(order, base, adapter, share), 6)} for share in shares]


def _handed_over(order: npt.NDArray[np.int64], base: Floats, adapter: Floats, share: float) -> float:
    away = order[: round(share * len(order))]
    outcome = base.copy()
    outcome[away] = adapter[away]
    return float(outcome.mean())


def mean_or_none(values: Sequence[float] | Floats) -> float | None:
    """The mean, None of nothing."""
    return round(float(np.mean(values)), 6) if len(values) else None
