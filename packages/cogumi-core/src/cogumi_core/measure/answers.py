"""What is read off the token log-probabilities of an answer: a router learns from these numbers and decides by them.

Whoever writes rows for a router (`RouteExample.features`) and whoever serves (`RouteRequest.features`) call `answer_features`,
so that both mean the same. The mean log-probability is length-normalised, costs nothing and is the baseline that learned
routers on small models rarely beat (arXiv 2605.02241); low quantiles avoid its bias on long answers (Gupta et al., ICLR 2024).
Entropy is left out: an engine hands over the probability of the chosen token only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

LOWEST: Final = -30.0
"""Log-probabilities are clipped here: below one in 10^13 a single token would drown the mean of all others."""
LOW: Final = 0.1
"""The quantile behind `low_logprob`: the least certain tenth of tokens."""


def answer_features(logprobs: Sequence[float]) -> dict[str, float]:
    """`tokens`, and where a log-probability is usable `mean_logprob`, `min_logprob` and `low_logprob`, in nats, at most 0."""
    values = usable(logprobs)
    found = {"tokens": float(len(logprobs))}
    if values:
        found |= {
            "mean_logprob": math.fsum(values) / len(values),
            "min_logprob": min(values),
            "low_logprob": quantile(values, LOW),
        }
    return found


def usable(logprobs: Sequence[float]) -> list[float]:
    """The log-probabilities that are numbers, clipped to [LOWEST, 0]."""
    return [min(0.0, max(LOWEST, value)) for value in logprobs if not math.isnan(value)]


def quantile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics, as numpy's default. `values` is not empty."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
