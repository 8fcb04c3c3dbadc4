"""Fits the domain gate with scikit-learn, and measures it.

Telling domains apart is the easy half of routing (98 % over 30 adapters in arXiv 2510.15416), so the smallest classifier that
does it is taken: softmax regression over hashed n-grams, rare domains weighted up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from cogumi_core.types import JSON
from cogumi_router.gate import Gate
from cogumi_router.text import features

LARGEST_FILE = 100_000
"""Bytes of half-precision weights at most, so that a router stays a rounding error in any budget."""
WIDEST = 8192
FOLDS = 5
INVERSE_PENALTY = 30.0
"""scikit-learn's `C`. Rows have length 1, so weights must be large to decide anything."""

Rows = Sequence[tuple[str, str]]
"""(query, domain), distinct and in a fixed order."""


def fit_gate(rows: Rows) -> Gate | None:
    """None when the rows are of fewer than two domains: there is nothing to tell apart."""
    domains = tuple(sorted({domain for _, domain in rows}))
    if len(domains) < 2:
        return None
    size = _width(len(domains))
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=500)
    model.fit(_matrix([text for text, _ in rows], size), [domains.index(domain) for _, domain in rows])
    weights, bias = model.coef_.astype(np.float32), model.intercept_.astype(np.float32)
    if len(domains) == 2:
        # scikit-learn keeps one row of log-odds for two classes; as a softmax that is the second against zero.
        weights, bias = np.vstack([np.zeros_like(weights), weights]), np.concatenate([np.zeros_like(bias), bias])
    # Rounded as stored, so that what is measured is what is served.
    return Gate(domains, weights.astype(np.float16).astype(np.float32), bias.round(4))


def _width(domains: int) -> int:
    """The largest power of two whose weights fit the file."""
    size = WIDEST
    while size > 256 and size * domains * 2 > LARGEST_FILE:
        size //= 2
    return size


def _matrix(texts: Sequence[str], size: int) -> csr_matrix:
    columns, values = zip(*(features(text, size) for text in texts), strict=True)
    ends = np.cumsum([0, *(len(row) for row in columns)])
    return csr_matrix((np.concatenate(values).astype(np.float64), np.concatenate(columns), ends), shape=(len(texts), size))


def gate_metrics(gate: Gate, fit: Rows, held_out: Rows, seed: int) -> dict[str, JSON]:
    """Shares of queries whose domain was told: on held-out rows, and in five folds of the rows it learned from."""
    known = [(text, domain) for text, domain in held_out if domain in gate.domains]
    return {
        "domains": list(gate.domains),
        "n_fit": len(fit),
        "n_held_out": len(known),
        "accuracy": _share(_told(gate, known)),
        "cross_validated_accuracy": _cross_validated(fit, seed),
        "recall": _recall(gate, known),
    }


def _told(gate: Gate, rows: Rows) -> list[bool]:
    return [_best(gate, text) == domain for text, domain in rows]


def _best(gate: Gate, text: str) -> str:
    shares = gate.probabilities(text)
    return max(shares, key=lambda domain: shares[domain])


def _recall(gate: Gate, rows: Rows) -> dict[str, JSON]:
    of = Counter(domain for _, domain in rows)
    told = Counter(domain for (_, domain), right in zip(rows, _told(gate, rows), strict=True) if right)
    return {domain: {"share": round(told[domain] / n, 6), "n": n} for domain, n in sorted(of.items())}


def _cross_validated(rows: Rows, seed: int) -> float | None:
    folds = min(FOLDS, *Counter(domain for _, domain in rows).values())
    if folds < 2:
        return None
    labels = [domain for _, domain in rows]
    told: list[bool] = []
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels):
        gate = fit_gate([rows[index] for index in train])
        told += _told(gate, [rows[index] for index in test]) if gate else []
    return _share(told)


def _share(told: Sequence[bool]) -> float | None:
    return round(sum(told) / len(told), 6) if told else None
