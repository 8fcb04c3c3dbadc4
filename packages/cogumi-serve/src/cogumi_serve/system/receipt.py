"""What a routed answer carries besides its text: how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cogumi_core import JSON, Usage


@dataclass(frozen=True, slots=True)
class Receipt:
    """The routing decision and what it cost.

    `requested` is what the caller asked for (`auto`, `base`, an adapter), `route` what answered. `confidence` is the router's
    probability that the base was right, None where no router was asked. `base_tokens` were computed by the base to decide,
    also when its answer was then thrown away or not finished. `seconds` by part: `base`, `router`, `answer`, `total`.
    `first_token_ms`: from the decision to the adapter's first token, which is the swap and the prompt computed again; None when
    the base answered. `model` is the digest of the base."""

    route: str
    requested: str
    reason: str
    model: str
    confidence: float | None = None
    threshold: float | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    base_tokens: int = 0
    base_tokens_per_second: float | None = None
    first_token_ms: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, JSON]:
        """As it stands under `cogumi` in a response."""
        return {
            "route": self.route,
            "requested": self.requested,
            "reason": self.reason,
            "confidence": _rounded(self.confidence, 6),
            "threshold": self.threshold,
            "signals": {name: _rounded(value, 6) for name, value in self.signals.items()},
            "base_tokens": self.base_tokens,
            "base_tokens_per_second": _rounded(self.base_tokens_per_second, 1),
            "first_token_ms": _rounded(self.first_token_ms, 1),
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "model": self.model,
        }

    def lines(self) -> list[str]:
        """As a person reads it."""
        sure = "" if self.confidence is None else f" (confidence {self.confidence:.2f}, threshold {self.threshold:.2f})"
        speed = "" if self.base_tokens_per_second is None else f", base {self.base_tokens_per_second:.0f} tokens/s"
        swap = "" if self.first_token_ms is None else f", first token of the adapter after {self.first_token_ms:.0f} ms"
        return [
            f"route: {self.route}{sure}",
            f"why:   {self.reason}",
            f"took:  {self.seconds.get('total', 0):.2f} s{speed}{swap}",
        ]


def _rounded(value: float | None, digits: int) -> Any:
    return None if value is None else round(value, digits)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    text: str
    receipt: Receipt
    usage: Usage
    finish_reason: str
