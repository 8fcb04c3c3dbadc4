"""What confidence means: the curve from log-probabilities to the chance of being right."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from router_support import INTERCEPT, SLOPE, fit, graded_rows

from cogumi_core import Message, RouteRequest
from cogumi_core.measure.answers import LOWEST, answer_features
from cogumi_router.calibration.curves import Constant, Sigmoid, Steps, curve_from_json
from cogumi_router.calibration.learning import cross_validated, fit_curve
from cogumi_router.routers.decider import ConfidenceDecider
from cogumi_router.signals.logprobs import Signal

finite = st.floats(-40.0, 0.0, allow_nan=False)


def confidence_of(decider: ConfidenceDecider, *logprobs: float) -> float:
    return decider.decide(RouteRequest((Message("user", "?"),), "answer", logprobs, ())).confidence


def test_platt_recovers_the_sigmoid_that_made_the_rows(tmp_path: Path) -> None:
    report, _ = fit(tmp_path, graded_rows(8000))
    curve = report.metrics["calibration"]
    assert curve["slope"] == pytest.approx(SLOPE, rel=0.12)
    assert curve["intercept"] == pytest.approx(INTERCEPT, rel=0.12)


def test_isotonic_follows_the_sigmoid_that_made_the_rows(tmp_path: Path) -> None:
    _, decider = fit(tmp_path, graded_rows(8000), calibration="isotonic")
    for signal in (-1.6, -1.2, -0.8, -0.4):
        assert confidence_of(decider, signal) == pytest.approx(1 / (1 + math.exp(-(SLOPE * signal + INTERCEPT))), abs=0.08)


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("signal", ["mean", "min", "quantile"])
def test_higher_log_probabilities_never_lower_confidence(tmp_path: Path, calibration: str, signal: str) -> None:
    _, decider = fit(tmp_path, graded_rows(300), calibration=calibration, signal=signal)
    values = [confidence_of(decider, -3 + step / 50) for step in range(151)]
    assert values == sorted(values)
    assert values[0] < values[-1]


@given(finite, finite, st.floats(0.01, 50), st.floats(-50, 50))
def test_a_sigmoid_rises_and_stays_a_probability(first: float, second: float, slope: float, intercept: float) -> None:
    low, high = sorted((first, second))
    curve = Sigmoid(slope, intercept)
    assert 0.0 <= curve(low) <= curve(high) <= 1.0


def test_separable_rows_do_not_give_certainty() -> None:
    signals = np.array([-2.0] * 10 + [-0.1] * 10)
    curve = fit_curve(signals, (signals > -1).astype(float), "sigmoid").curve
    assert curve(-0.1) == pytest.approx(11 / 12, abs=0.01)


@pytest.mark.parametrize(
    ("signals", "correct", "confidence", "words"),
    [
        ([], [], 0.5, "too few"),
        ([-1.0] * 4, [1, 1, 1, 0], 4 / 6, "too few"),
        ([-1.0] * 18, [1] * 18, 0.95, "all 18 graded rows are right"),
        ([-1.0] * 18, [0] * 18, 0.05, "all 18 graded rows are wrong"),
        ([-1.0] * 20, [0, 1] * 10, 0.5, "does not rise"),
        ([-1.0, -2.0] * 10, [0, 1] * 10, 0.5, "does not rise"),
    ],
)
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_without_a_lesson_the_share_right_stands(
    method: str, signals: list[float], correct: list[int], confidence: float, words: str
) -> None:
    fitted = fit_curve(np.array(signals), np.array(correct, dtype=float), method)  # type: ignore[arg-type]
    assert fitted.curve == Constant(pytest.approx(confidence))  # type: ignore[arg-type]
    assert words in fitted.note


def test_cross_validation_judges_each_row_by_a_curve_that_did_not_see_it() -> None:
    signals = np.linspace(-2, 0, 40)
    correct = (np.arange(40) % 3 > 0).astype(float)
    out = cross_validated(signals, correct, "sigmoid", 1)
    whole = fit_curve(signals, correct, "sigmoid").curve
    assert out is not None
    assert all(value != whole(float(signal)) for value, signal in zip(out, signals, strict=True))


@pytest.mark.parametrize("curve", [Sigmoid(2.5, -1.0), Constant(0.25), Steps((-2.0, -1.0), (0.1, 0.9))])
def test_a_curve_survives_json(curve: Sigmoid | Constant | Steps) -> None:
    assert curve_from_json(curve.to_json()) == curve


@pytest.mark.parametrize(
    "data",
    [
        {"kind": "oracle"},
        {"kind": "constant", "confidence": 1.5},
        {"kind": "sigmoid", "slope": math.nan, "intercept": 0},
        {"kind": "sigmoid", "slope": True, "intercept": 0},
        {"kind": "isotonic", "signals": [], "confidences": []},
        {"kind": "isotonic", "signals": [0, -1], "confidences": [0, 1]},
        {"kind": "isotonic", "signals": [-1], "confidences": [0, 1]},
    ],
)
def test_a_damaged_curve_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        curve_from_json(data)


def test_isotonic_is_straight_between_corners_and_flat_outside() -> None:
    curve = Steps((-2.0, -1.0), (0.2, 0.8))
    assert [curve(x) for x in (-9.0, -2.0, -1.5, -1.0, 0.0)] == pytest.approx([0.2, 0.2, 0.5, 0.8, 0.8])


@pytest.mark.parametrize(
    ("name", "logprobs", "expected"),
    [
        ("mean", (-1.0, -3.0), -2.0),
        ("min", (-1.0, -3.0), -3.0),
        ("quantile", (-3.0, -2.0, -1.0, 0.0), -2.25),
        ("mean", (-math.inf, 0.0), LOWEST / 2),
        ("mean", (math.nan, -1.0), -1.0),
        ("mean", (0.5,), 0.0),
        ("min", (), None),
        ("min", (math.nan,), None),
    ],
)
def test_signals_of_odd_log_probabilities(name: str, logprobs: tuple[float, ...], expected: float | None) -> None:
    assert Signal(name, 0.25).read_logprobs(logprobs) == expected  # type: ignore[arg-type]


@given(st.lists(finite, min_size=1, max_size=40), st.floats(0.01, 0.99))
def test_the_quantile_is_numpys(logprobs: list[float], share: float) -> None:
    assert Signal("quantile", share).read_logprobs(logprobs) == pytest.approx(
        float(np.quantile(np.clip(logprobs, LOWEST, 0), share)), abs=1e-9
    )


@given(st.lists(finite, min_size=1, max_size=40))
def test_the_shared_features_are_the_signals_of_the_router(logprobs: list[float]) -> None:
    features = answer_features(logprobs)
    for name, feature in (("mean", "mean_logprob"), ("min", "min_logprob"), ("quantile", "low_logprob")):
        assert features[feature] == Signal(name).read_logprobs(logprobs)  # type: ignore[arg-type]


def test_an_answer_without_log_probabilities_has_no_feature_of_them() -> None:
    assert answer_features(()) == {"tokens": 0.0}
    assert answer_features((math.nan,)) == {"tokens": 1.0}
