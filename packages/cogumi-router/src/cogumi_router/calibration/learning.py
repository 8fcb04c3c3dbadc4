"""Fits the curve from signal to the probability of being right, with scikit-learn.

Small data is the normal case here, so every fit is drawn towards modesty: Platt's smoothed targets keep separable data from
giving certainty, an isotonic curve never reaches 0 or 1, and with fewer than `FEWEST` rows, one outcome only, or a signal
that does not rise with being right, the share right stands for every answer and a sentence says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from cogumi_router.calibration.curves import Constant, Curve, Sigmoid, Steps
from cogumi_router.calibration.names import Calibration

Floats = npt.NDArray[np.float64]
FEWEST = 10
"""Graded rows below which no curve is fitted."""
FOLDS = 5
DIGITS = 8
"""Significant digits kept: the last bits of an optimiser's result differ between processors, and mean nothing."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A curve, and in `note` what a person should know about it (empty: nothing)."""

    curve: Curve
    note: str = ""


def prior(right: int, n: int) -> float:
    """Laplace's estimate of the share right: 1/2 when nothing is known."""
    return _rounded((right + 1) / (n + 2))


def fit_curve(signals: Floats, correct: Floats, method: Calibration) -> Fitted:
    """`correct` is 0 or 1 for each signal. Never fails on little data: the note says what was done instead."""
    n, right = len(correct), int(correct.sum())
    constant = Constant(prior(right, n))
    if n < FEWEST:
        return Fitted(constant, f"{n} graded rows are too few for a curve (at least {FEWEST}); the share right stands for all")
    if right in (0, n):
        outcome = "right" if right else "wrong"
        return Fitted(constant, f"all {n} graded rows are {outcome}; the share right stands for all")
    curve = _sigmoid(signals, correct) if method == "sigmoid" else _isotonic(signals, correct)
    if curve is None:
        return Fitted(constant, "the signal does not rise with being right on these rows; the share right stands for all")
    return Fitted(curve, _advice(method, n))


def _advice(method: Calibration, n: int) -> str:
    if method == "isotonic" and n < 1000:
        return f"isotonic calibration on {n} rows overfits; sigmoid is the safer choice below about 1,000"
    return ""


def _sigmoid(signals: Floats, correct: Floats) -> Sigmoid | None:
    """Platt scaling. His smoothed targets are no class labels, so each row counts as right and as wrong, by weight."""
    n, right = len(correct), correct.sum()
    target = np.where(correct > 0, (right + 1) / (right + 2), 1 / (n - right + 2))
    mean, spread = signals.mean(), signals.std() or 1.0
    columns = np.concatenate([signals, signals])[:, None]
    labels = np.concatenate([np.ones(n), np.zeros(n)])
    model = LogisticRegression(C=np.inf, max_iter=1000)
    model.fit((columns - mean) / spread, labels, sample_weight=np.concatenate([target, 1 - target]))
    slope = float(model.coef_[0, 0]) / spread
    if slope <= 0:
        return None
    return Sigmoid(_rounded(slope), _rounded(float(model.intercept_[0]) - slope * mean))


def _isotonic(signals: Floats, correct: Floats) -> Steps | None:
    edge = 1 / (len(correct) + 2)
    model = IsotonicRegression(y_min=edge, y_max=1 - edge, increasing=True, out_of_bounds="clip").fit(signals, correct)
    corners = {_rounded(float(x)): _rounded(float(y)) for x, y in zip(model.X_thresholds_, model.y_thresholds_, strict=True)}
    if len(set(corners.values())) < 2:
        return None
    return Steps(tuple(corners), tuple(corners.values()))


def cross_validated(signals: Floats, correct: Floats, method: Calibration, seed: int) -> Floats | None:
    """For each row the confidence from a curve that was fitted without it; None when the rows do not allow folds."""
    folds = min(FOLDS, int(correct.sum()), int(len(correct) - correct.sum()))
    if folds < 2 or len(correct) < FEWEST:
        return None
    out = np.zeros(len(correct))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for train, test in splitter.split(signals[:, None], correct):
        out[test] = confidences(fit_curve(signals[train], correct[train], method).curve, signals[test])
    return out


def confidences(curve: Curve, signals: Sequence[float] | Floats) -> Floats:
    """The curve at every signal."""
    return np.array([curve(float(signal)) for signal in signals], dtype=np.float64)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
