"""Statistics of paired, right-or-wrong outcomes on few tasks: intervals and tests that are exact where it is cheap.

With some hundred tasks two bare percentages say little. Configurations answer the same tasks, so their difference is tested on
the pairs where they disagree. Left out: corrections for trying many modifiers until one passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import binomtest

from cogumi_core.api.types import Interval

Z_95: Final = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""


def wilson(correct: int, n: int) -> Interval:
    """The share of `correct` in `n` with its 95 % score interval (Wilson, 1927). Nothing known, n = 0: from 0 to 1."""
    if n == 0:
        return Interval(0.0, 0.0, 1.0, 0)
    share, z2 = correct / n, Z_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At 0 and n the bound is 0 and 1 exactly; rounding must not move it past the share.
    low = 0.0 if correct == 0 else max(0.0, middle - half)
    high = 1.0 if correct == n else min(1.0, middle + half)
    return Interval(share, low, high, n)


def mcnemar(won: int, lost: int) -> float:
    """Two-sided exact p-value that both configurations are equally good, from the pairs that differ (McNemar, 1947)."""
    return 1.0 if won + lost == 0 else float(binomtest(won, won + lost, 0.5).pvalue)


@dataclass(frozen=True, slots=True)
class PairedResult:
    """`won` / `lost`: tasks only the second / only the first configuration solved. `difference` is second minus first, in
    shares, with a 95 % interval from the paired bootstrap."""

    won: int
    lost: int
    p_value: float
    difference: float
    low: float
    high: float
    n: int


def compare(first: Sequence[bool], second: Sequence[bool], seed: int, resamples: int = 4000) -> PairedResult:
    """The same tasks under two configurations, in the same order. Raises ValueError when the lengths differ."""
    gains = [int(b) - int(a) for a, b in zip(first, second, strict=True)]
    won, lost, n = gains.count(1), gains.count(-1), len(gains)
    if n == 0:
        return PairedResult(0, 0, 1.0, 0.0, -1.0, 1.0, 0)
    # Resampling tasks is a multinomial draw over the three possible gains, which is far cheaper.
    draws = np.random.default_rng(seed).multinomial(n, [won / n, lost / n, 1 - (won + lost) / n], size=resamples)
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / n, [0.025, 0.975])
    return PairedResult(won, lost, mcnemar(won, lost), (won - lost) / n, float(low), float(high), n)
