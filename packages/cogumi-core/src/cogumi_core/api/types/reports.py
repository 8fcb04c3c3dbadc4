"""What components say of their work: figures that the manifest keeps and the report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cogumi_core.api.types.messages import JSON
from cogumi_core.api.types.models import ModelFacts


@dataclass(frozen=True, slots=True)
class LossPoint:
    """One logged training step; `loss` is the mean over answer tokens, in nats."""

    step: int
    loss: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What a trainer or a compressor did. `facts`: of the model that it wrote. `lossless`: unpacking gives back the input bit
    for bit. `deterministic`: the same inputs give the same bytes again, also after a resume; `why_not` in a clause."""

    facts: ModelFacts
    losses: Sequence[LossPoint] = ()
    lossless: bool = False
    metrics: Mapping[str, JSON] = field(default_factory=dict)
    deterministic: bool = True
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Interval:
    """A share with its 95 % confidence interval (Wilson, 1927, unless said otherwise), all in [0, 1]."""

    share: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class AdapterOffer:
    """One adapter that a modifier offers: its folder below the modifier's output, which holds `adapter.gguf` and
    `outcomes.jsonl` (rows of `RouteExample`), its rank, its size, and its result on the held-out tasks. `won` / `lost` count
    tasks that only the adapter / only the strongest untrained configuration solved, `p_value` is McNemar's exact test on them.
    `accepted`: the gate passed; `reason` says why or why not."""

    folder: str
    rank: int
    bytes: int
    result: Interval
    won: int
    lost: int
    p_value: float
    accepted: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ModifierReport:
    """What a modifier did: `offers`, the best first, of which at most one is delivered, as the system's bytes allow.

    `baseline` is the strongest untrained configuration on the held-out tasks; `domain` is what its tasks are about."""

    domain: str
    baseline: Interval
    offers: Sequence[AdapterOffer]
    needs_schema: bool = False
    losses: Sequence[LossPoint] = ()
    configurations: Mapping[str, Interval] = field(default_factory=dict)
    fixed: Sequence[Mapping[str, JSON]] = ()
    failing: Sequence[Mapping[str, JSON]] = ()
    metrics: Mapping[str, JSON] = field(default_factory=dict)
    deterministic: bool = True
    why_not: str = ""

    @property
    def accepted(self) -> bool:
        """Whether any adapter passed its gate."""
        return any(offer.accepted for offer in self.offers)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Mean confidence and share correct of the held-out answers whose confidence fell into one bin."""

    confidence: float
    accuracy: float
    n: int


@dataclass(frozen=True, slots=True)
class RouterReport:
    """What a router learned. Figures are on held-out rows; `auroc`, `ece` and `brier` are None when they cannot be measured
    (too few rows, or all of one outcome). `escalated` is the share of held-out rows sent to a modifier."""

    n_fit: int
    n_held_out: int
    threshold: float
    auroc: float | None
    ece: float | None
    brier: float | None
    escalated: float | None
    reliability: Sequence[ReliabilityBin] = ()
    metrics: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A forecast for `cogumi plan`; None where it is not known."""

    usd: float | None = None
    bytes: int | None = None
    seconds: float | None = None
    memory_bytes: int | None = None
