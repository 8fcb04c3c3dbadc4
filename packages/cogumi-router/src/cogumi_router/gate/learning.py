"""Fits the domain gate with scikit-learn, and measures it.

Telling domains apart is the easy half of routing (98 % over 30 adapters in arXiv 2510.15416), so the smallest classifier that
does it is taken: softmax regression over hashed n-grams, rare domains weighted up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from cogumi_core import JSON
from cogumi_router.gate.domains import Domains
from cogumi_router.gate.gate import Gate
from cogumi_router.signals.text import Query, features

LARGEST_FILE = 100_000
"""Bytes of half-precision weights at most, so that a router stays a rounding error in any budget."""
WIDEST = 8192
FOLDS = 5
INVERSE_PENALTY = 30.0
"""scikit-learn's `C`. Rows have length 1, so weights must be large to decide anything."""

Rows = Sequence[Query]
"""Distinct and in a fixed order."""


def domains_of(rows: Rows) -> Domains:
    """The domains of the rows with a schema, and of those without."""
    with_schema, without = ({row.domain for row in rows if row.has_schema is form} for form in (True, False))
    return Domains(tuple(sorted(with_schema)), tuple(sorted(without)))


def fit_gate(rows: Rows) -> Gate | None:
    """None when the rows are of fewer than two domains: there is nothing to tell apart."""
    domains = tuple(sorted({row.domain for row in rows}))
    if len(domains) < 2:
        return None
    size = _width(len(domains))
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=500)
    model.fit(_matrix([row.text for row in rows], size), [domains.index(row.domain) for row in rows])
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
    domains = domains_of(fit)
    known = [row for row in held_out if row.domain in domains.of(row.has_schema)]
    told = _told(gate, domains, known)
    recall = _recall(known, told)
    return {
        "domains": list(gate.domains),
        "n_fit": len(fit),
        "n_held_out": len(known),
        "accuracy": _mean(told),
        "balanced_accuracy": _mean([entry["share"] for entry in recall.values()]),
        "cross_validated_accuracy": _cross_validated(fit, seed),
        "recall": recall,
    }


def _told(gate: Gate, domains: Domains, rows: Rows) -> list[bool]:
    """Whether the likeliest domain was the right one, chosen as it is when serving."""
    return [_best(gate.probabilities(row.text, domains.of(row.has_schema))) == row.domain for row in rows]


def _best(shares: Mapping[str, float]) -> str:
    return max(shares, key=lambda domain: shares[domain])


def _recall(rows: Rows, told: Sequence[bool]) -> dict[str, JSON]:
    of = Counter(row.domain for row in rows)
    right = Counter(row.domain for row, correct in zip(rows, told, strict=True) if correct)
    return {domain: {"share": round(right[domain] / n, 6), "n": n} for domain, n in sorted(of.items())}


def _cross_validated(rows: Rows, seed: int) -> float | None:
    folds = min(FOLDS, *Counter(row.domain for row in rows).values())
    if folds < 2:
        return None
    labels = [row.domain for row in rows]
    domains = domains_of(rows)
    told: list[bool] = []
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels):
        gate = fit_gate([rows[index] for index in train])
        told += _told(gate, domains, [rows[index] for index in test]) if gate else []
    return _mean(told)


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 6) if values else None
