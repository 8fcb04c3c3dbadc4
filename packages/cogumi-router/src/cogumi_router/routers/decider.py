"""Decides about one answer: keep it, or hand the query to an adapter. The reason is a sentence for the receipt.

Everything here is read-only after opening, so any number of threads may decide at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from cogumi_core import AdapterInfo, RouteDecision, RouteRequest, Token
from cogumi_router.routers.files import FittedRouter
from cogumi_router.signals.text import query_text

BASE = "base"
Choice = tuple[str | None, str]
"""(the adapter's name or None, why)."""


class ConfidenceDecider:
    """A fitted `confidence` router, open."""

    def __init__(self, router: FittedRouter) -> None:
        self.router = router

    def decide(self, request: RouteRequest) -> RouteDecision:
        """Well below 2 ms; needs no library but numpy."""
        signals = {"tokens": float(len(request.logprobs))}
        confidence, origin = self._confidence(request, signals)
        threshold = self.router.threshold
        if confidence >= threshold:
            reason = f"{origin} {confidence:.2f} reaches the threshold {threshold:.2f}"
            return RouteDecision(BASE, confidence, threshold, reason, signals)
        adapter, why = self.adapter(request, signals)
        reason = f"{origin} {confidence:.2f} is below the threshold {threshold:.2f}; {why}"
        return RouteDecision(adapter or BASE, confidence, threshold, reason, signals)

    def _confidence(self, request: RouteRequest, signals: dict[str, float]) -> tuple[float, str]:
        signal = self.router.signal
        value = signal.read(request)
        if value is not None:
            signals[signal.label] = value
            return self.router.curve(value), "confidence"
        if not request.answer.strip():
            return 0.0, "the base gave no answer: confidence"
        return self.router.prior, f"without {signal.needs}, the share of answers right in general,"

    def adapter(self, request: RouteRequest, signals: dict[str, float]) -> Choice:
        """Adapters made for a schema come first where there is one, and are no candidates where there is none."""
        for_schema = [adapter for adapter in request.adapters if adapter.needs_schema and request.has_schema]
        for_text = [adapter for adapter in request.adapters if not adapter.needs_schema]
        if len(for_schema) == 1:
            return for_schema[0].name, f"the request carries a schema, which '{for_schema[0].name}' is for"
        if for_schema:
            return self._of_several(for_schema, request, signals)
        if for_text:
            return self._by_text(for_text, request, signals)
        return None, "no adapter suits this query, so the base's answer stands"

    def _of_several(self, adapters: Sequence[AdapterInfo], request: RouteRequest, signals: dict[str, float]) -> Choice:
        """All of them take a schema; the likeliest domain wins, even when some domain without an adapter is likelier."""
        shares = self._domains(request, signals, self.router.domains.of(has_schema=True))
        known = [adapter for adapter in adapters if adapter.domain in shares]
        if not known:
            return None, "several adapters take a schema and nothing tells them apart, so the base's answer stands"
        best = max(known, key=lambda adapter: (shares[adapter.domain], adapter.name))
        return best.name, f"of the adapters that take a schema '{best.name}' is nearest ({shares[best.domain]:.2f})"

    def _by_text(self, adapters: Sequence[AdapterInfo], request: RouteRequest, signals: dict[str, float]) -> Choice:
        domains = self.router.domains
        # A query with a schema may be of a domain whose own adapter is missing: then it must not go to another's.
        shares = self._domains(request, signals, domains.every if request.has_schema else domains.of(has_schema=False))
        if not shares:
            return None, "the router knows no domains to choose an adapter by, so the base's answer stands"
        domain = max(shares, key=lambda name: shares[name])
        suited = min((adapter.name for adapter in adapters if adapter.domain == domain), default=None)
        if suited is None:
            return (
                None,
                f"no adapter is for '{domain}', the likeliest domain ({shares[domain]:.2f}), so the base's answer stands",
            )
        return suited, f"the query is of the domain '{domain}' ({shares[domain]:.2f}), which '{suited}' is for"

    def _domains(self, request: RouteRequest, signals: dict[str, float], possible: Sequence[str]) -> dict[str, float]:
        """Probability of each possible domain. Where only one was seen, every query is taken for it."""
        gate = self.router.gate
        if len(possible) > 1 and gate is not None:
            shares = gate.probabilities(query_text(request.messages), possible)
        else:
            shares = dict.fromkeys(possible, 1.0)
        signals.update({f"domain:{domain}": round(share, 6) for domain, share in shares.items()})
        return shares


class WatchingConfidenceDecider(ConfidenceDecider):
    """With `signal: min`, which can only fall while an answer is written: once the confidence is below the threshold, it stays
    there, and what the whole answer would lead to is known. No other signal tells early."""

    def watch(self, request: RouteRequest) -> LowestWatcher:
        """See `cogumi_core.WatchingDecider`."""
        return LowestWatcher(self, request)


class LowestWatcher:
    """Escalates as soon as one token is too unlikely for the answer to be kept, where there is an adapter to escalate to."""

    def __init__(self, decider: ConfidenceDecider, request: RouteRequest) -> None:
        self._decider, self._request = decider, request
        self._tokens, self._nobody_suits = 0, False

    def token(self, token: Token) -> RouteDecision | None:
        """See `cogumi_core.Watcher`."""
        self._tokens += 1
        router = self._decider.router
        lowest = router.signal.read_logprobs((token.logprob,))
        if lowest is None or self._nobody_suits or router.curve(lowest) >= router.threshold:
            return None
        confidence, signals = router.curve(lowest), {"tokens": float(self._tokens), router.signal.label: lowest}
        adapter, why = self._decider.adapter(self._request, signals)
        if adapter is None:
            self._nobody_suits = True
            return None
        reason = f"after {self._tokens} tokens confidence {confidence:.2f} is below the threshold {router.threshold:.2f}; {why}"
        return RouteDecision(adapter, confidence, router.threshold, reason, signals)
