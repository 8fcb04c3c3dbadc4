"""Learns the curve from the fit rows and measures it on the held-out rows: everything the router's report says.

Figures that the rows do not support are None, with a sentence in `metrics["notes"]`, so that nobody reads a number made of
three rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cogumi_core import JSON, RouteExample, RouterReport
from cogumi_router.calibration.learning import Floats, cross_validated, fit_curve, prior
from cogumi_router.calibration.measures import (
    RESAMPLES,
    Measure,
    auroc,
    bootstrap,
    brier,
    deferral_curve,
    ece,
    mean_or_none,
    measurable,
    reliability,
)
from cogumi_router.calibration.names import Calibration
from cogumi_router.signals.logprobs import Signal

_MEASURES: dict[str, Measure] = {"auroc": auroc, "ece": ece, "brier": brier}


class Evaluation:
    """Fits on construction: `curve` and `prior` are the result, `report` the measurement. `threshold` in [0, 1]: answers of a
    lower confidence are handed over."""

    def __init__(
        self, rows: Sequence[RouteExample], signal: Signal, *, method: Calibration, threshold: float, seed: int
    ) -> None:
        self._method, self._threshold = method, threshold
        self._seed = seed
        graded = [row for row in rows if row.correct is not None]
        self._fit = [row for row in graded if row.split == "fit"]
        self._held_out = [row for row in graded if row.split == "held-out"]
        self._unread = sum(signal.read(row) is None for row in graded)
        self._signal = signal
        signals, correct = self._columns(self._fit)
        self._fitted = fit_curve(signals, correct, method)
        self.curve = self._fitted.curve
        self.prior = prior(sum(row.correct is True for row in self._fit), len(self._fit))

    def _columns(self, rows: Sequence[RouteExample]) -> tuple[Floats, Floats]:
        """Signal and outcome (0 or 1) of the rows that have a signal."""
        pairs = [(value, float(bool(row.correct))) for row in rows if (value := self._signal.read(row)) is not None]
        table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def report(self, metrics: dict[str, JSON]) -> RouterReport:
        """Figures on the held-out rows, with `metrics` added to the report's own."""
        confidence, correct = self._held_out_confidence(), np.array([float(bool(row.correct)) for row in self._held_out])
        figures = self._figures(confidence, correct)
        return RouterReport(
            n_fit=len(self._fit),
            n_held_out=len(self._held_out),
            threshold=self._threshold,
            auroc=figures["auroc"],
            ece=figures["ece"],
            brier=figures["brier"],
            escalated=mean_or_none((confidence < self._threshold).astype(np.float64)),
            reliability=reliability(confidence, correct),
            metrics={
                "calibration": self.curve.to_json(),
                "intervals": self._intervals(confidence, correct),
                "resamples": RESAMPLES,
                "cross_validated": self._cross_validated(),
                "at_threshold": self._at_threshold(confidence, correct),
                "deferral": self._deferral(confidence),
                "notes": self._notes(correct),
                **metrics,
            },
        )

    def _held_out_confidence(self) -> Floats:
        """As it would be when serving: the share right stands in where there is no signal."""
        signals = [self._signal.read(row) for row in self._held_out]
        return np.array([self.prior if value is None else self.curve(value) for value in signals], dtype=np.float64)

    def _figures(self, confidence: Floats, correct: Floats) -> dict[str, float | None]:
        if not measurable(correct):
            return {"auroc": None, "ece": None, "brier": None}
        area = auroc(confidence, correct)
        return {
            "auroc": None if area is None else round(area, 6),
            "ece": round(ece(confidence, correct), 6),
            "brier": round(brier(confidence, correct), 6),
        }

    def _intervals(self, confidence: Floats, correct: Floats) -> dict[str, JSON]:
        if not measurable(correct):
            return {}
        ranges = {name: bootstrap(measure, confidence, correct, self._seed) for name, measure in _MEASURES.items()}
        return {name: [round(edge, 6) for edge in edges] for name, edges in ranges.items() if edges}

    def _cross_validated(self) -> dict[str, JSON] | None:
        """On the fit rows, each judged by a curve that had not seen it: a second opinion when held-out rows are few."""
        signals, correct = self._columns(self._fit)
        confidence = cross_validated(signals, correct, self._method, self._seed)
        return None if confidence is None else {"n": len(correct), **self._figures(confidence, correct)}

    def _at_threshold(self, confidence: Floats, correct: Floats) -> dict[str, JSON]:
        """How often the base is right on what it keeps and on what it hands over, and what the adapter does with the latter."""
        below = confidence < self._threshold
        known = [row.adapter_correct for row in self._held_out]
        handed = [bool(known[i]) for i in np.flatnonzero(below) if known[i] is not None]
        return {
            "kept": int((~below).sum()),
            "kept_base_accuracy": mean_or_none(correct[~below]),
            "escalated": int(below.sum()),
            "escalated_base_accuracy": mean_or_none(correct[below]),
            "escalated_adapter_n": len(handed),
            "escalated_adapter_accuracy": mean_or_none(handed),
        }

    def _deferral(self, confidence: Floats) -> list[dict[str, float]]:
        """Only over rows where the adapter's outcome is known too."""
        at = [index for index, row in enumerate(self._held_out) if row.adapter_correct is not None]
        if not at:
            return []
        base = np.array([float(bool(self._held_out[index].correct)) for index in at])
        adapter = np.array([float(bool(self._held_out[index].adapter_correct)) for index in at])
        return deferral_curve(confidence[at], base, adapter)

    def _notes(self, correct: Floats) -> list[str]:
        notes = [self._fitted.note] if self._fitted.note else []
        if self._unread:
            notes.append(
                f"{self._unread} graded rows have no {self._signal.needs}; the share right stands in for their confidence"
            )
        if not measurable(correct):
            notes.append(
                f"{len(correct)} held-out rows, {int(correct.sum())} of them right, allow no AUROC, ECE or Brier score"
            )
        return notes
