"""One number of an answer, from its token log-probabilities or from a named feature.

The log-probabilities are read as `cogumi_core.measure.answers` reads them, which says why these statistics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cogumi_core.measure.answers import quantile, usable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cogumi_router.signals.names import SignalName


class Answered(Protocol):
    """What a signal is read off: `RouteExample` when learning, `RouteRequest` when serving."""

    @property
    def logprobs(self) -> Sequence[float]: ...

    @property
    def features(self) -> Mapping[str, float]: ...


@dataclass(frozen=True, slots=True)
class Signal:
    """Which number is taken; `quantile` counts for `quantile` only, `feature` for `feature` only."""

    name: SignalName
    quantile: float = 0.1
    feature: str = ""

    @property
    def label(self) -> str:
        """As receipts name it."""
        return self.feature if self.name == "feature" else f"{self.name}_logprob"

    @property
    def needs(self) -> str:
        """What an answer must come with."""
        return f"feature '{self.feature}'" if self.name == "feature" else "log-probabilities"

    def read(self, answered: Answered) -> float | None:
        """The number; log-probabilities are in nats and at most 0. None when there is none that can be used."""
        if self.name == "feature":
            value = answered.features.get(self.feature, math.nan)
            return value if math.isfinite(value) else None
        return self.read_logprobs(answered.logprobs)

    def read_logprobs(self, logprobs: Sequence[float]) -> float | None:
        """The statistic of these log-probabilities alone."""
        values = usable(logprobs)
        if not values:
            return None
        if self.name == "mean":
            return math.fsum(values) / len(values)
        return min(values) if self.name == "min" else quantile(values, self.quantile)
