"""One number from the token log-probabilities of an answer.

The mean log-probability is length-normalised, costs nothing and is the baseline that learned routers on small models rarely
beat (arXiv 2605.02241); low quantiles avoid its bias on long answers (Gupta et al., ICLR 2024). Entropy is left out: the
engine hands over the probability of the chosen token only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cogumi_router.config import SignalName

LOWEST = -30.0
"""Log-probabilities are clipped here: below one in 10^13 a single token would drown the mean of all others."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Which statistic of the log-probabilities is taken; `quantile` counts for `quantile` only."""

    name: SignalName
    quantile: float

    def read(self, logprobs: Sequence[float]) -> float | None:
        """The statistic, in nats and at most 0; None when there is no usable log-probability."""
        values = [min(0.0, max(LOWEST, value)) for value in logprobs if not math.isnan(value)]
        if not values:
            return None
        if self.name == "mean":
            return math.fsum(values) / len(values)
        if self.name == "min":
            return min(values)
        return _quantile(values, self.quantile)


def _quantile(values: list[float], share: float) -> float:
    """Linear interpolation between order statistics, as numpy's default."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
