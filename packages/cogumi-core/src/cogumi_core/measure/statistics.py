"""Statistics of right-or-wrong outcomes on few tasks: intervals and tests that are exact where it is cheap.

With some hundred tasks two bare percentages say little. Two configurations answer the same tasks, so their difference is
tested on the pairs where they disagree. Nothing is drawn at random and no library is needed: the same counts always give the
same figures. Left out: corrections for trying many times until one passes; whoever tries divides his `alpha`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from cogumi_core.api.types import Interval

Z_95: Final = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""
_NEGLIGIBLE: Final = 1e-12
"""Probability below which an outcome is left out of a distribution."""


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
    """Two-sided exact p-value that both configurations are equally good, from the pairs that differ (McNemar, 1947): twice the
    smaller tail of a fair coin's binomial distribution."""
    n, fewer = won + lost, min(won, lost)
    if won == lost:
        return 1.0
    ways = accumulate(range(fewer), lambda term, k: term * (n - k) // (k + 1), initial=1)  # n over 0, 1, ..., fewer
    return 2 * sum(ways) / (1 << n)


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


def compare(first: Sequence[bool], second: Sequence[bool]) -> PairedResult:
    """The same tasks under two configurations, in the same order. Raises ValueError when the lengths differ."""
    gains = [int(b) - int(a) for a, b in zip(first, second, strict=True)]
    won, lost, n = gains.count(1), gains.count(-1), len(gains)
    if n == 0:
        return PairedResult(0, 0, 1.0, 0.0, -1.0, 1.0, 0)
    sums = _resampled(won, lost, n)
    low, high = (_quantile(sums, share) / n for share in (0.025, 0.975))
    return PairedResult(won, lost, mcnemar(won, lost), (won - lost) / n, low, high, n)


def _resampled(won: int, lost: int, n: int) -> Mapping[int, float]:
    """Probability of each sum of gains when `n` tasks are drawn again with replacement: what a bootstrap of endlessly many
    resamples would find (Efron, 1979)."""
    steps = ((1, won / n), (-1, lost / n), (0, (n - won - lost) / n))
    sums = {0: 1.0}
    for _ in range(n):
        after: dict[int, float] = {}
        for total, probability in sums.items():
            for step, chance in steps:
                after[total + step] = after.get(total + step, 0.0) + probability * chance
        # Outcomes so rare move no quantile; without them the work grows with n, not with its square.
        sums = {total: probability for total, probability in after.items() if probability > _NEGLIGIBLE}
    return sums


def _quantile(distribution: Mapping[int, float], share: float) -> int:
    """The smallest value that at least `share` of the distribution does not exceed."""
    reached = 0.0
    for value in sorted(distribution):
        reached += distribution[value]
        if reached >= share:
            return value
    return max(distribution)
