"""The figures of the report, against values worked out by hand or by scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from router_support import fit, general_rows, graded_rows
from sklearn.metrics import brier_score_loss, roc_auc_score

from cogumi_router.calibration.measures import auroc, bootstrap, brier, deferral_curve, ece, reliability

outcomes = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.8, 1.0]), st.booleans()), min_size=2, max_size=60)


def columns(rows: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(rows, dtype=float)
    return table[:, 0], table[:, 1]


@given(outcomes)
def test_auroc_is_scikit_learns_also_with_ties(rows: list[tuple[float, bool]]) -> None:
    confidence, correct = columns(rows)
    expected = roc_auc_score(correct, confidence) if 0 < correct.sum() < len(correct) else None
    assert auroc(confidence, correct) == (expected if expected is None else pytest.approx(expected))


@given(outcomes)
def test_brier_is_scikit_learns(rows: list[tuple[float, bool]]) -> None:
    confidence, correct = columns(rows)
    assert brier(confidence, correct) == pytest.approx(brier_score_loss(correct, confidence, labels=[0, 1], pos_label=1))


@given(outcomes)
def test_reliability_counts_every_row_once_and_leaves_empty_bins_out(rows: list[tuple[float, bool]]) -> None:
    bins = reliability(*columns(rows))
    assert sum(entry.n for entry in bins) == len(rows)
    assert all(entry.n > 0 for entry in bins)
    assert [entry.confidence for entry in bins] == sorted(entry.confidence for entry in bins)


@given(outcomes)
def test_ece_is_the_weighted_gap_of_the_reliability_bins(rows: list[tuple[float, bool]]) -> None:
    confidence, correct = columns(rows)
    gap = sum(entry.n * abs(entry.confidence - entry.accuracy) for entry in reliability(confidence, correct))
    assert ece(confidence, correct) == pytest.approx(gap / len(rows), abs=1e-5)


def test_ece_by_hand() -> None:
    # 0.9 twice with one right: gap 0.4; 0.3 twice, none right: gap 0.3.
    assert ece(np.array([0.9, 0.9, 0.3, 0.3]), np.array([1.0, 0, 0, 0])) == pytest.approx(0.35)


def test_the_bootstrap_interval_holds_the_figure_and_repeats() -> None:
    generator = np.random.default_rng(5)
    confidence = generator.random(200)
    correct = (generator.random(200) < confidence).astype(float)
    interval = bootstrap(brier, confidence, correct, seed=1)
    assert interval is not None
    assert interval[0] < brier(confidence, correct) < interval[1]
    assert interval == bootstrap(brier, confidence, correct, seed=1)


def test_the_deferral_curve_hands_over_the_least_confident_first() -> None:
    curve = deferral_curve(np.array([0.1, 0.9]), np.array([0.0, 1.0]), np.array([1.0, 0.0]), points=3)
    assert curve == [{"share": 0.0, "accuracy": 0.5}, {"share": 0.5, "accuracy": 1.0}, {"share": 1.0, "accuracy": 0.5}]


def test_a_calibrated_signal_gives_good_figures(tmp_path: Path) -> None:
    report, _ = fit(tmp_path, graded_rows(4000))
    assert report.auroc is not None
    assert report.ece is not None
    assert report.auroc > 0.8
    assert report.ece < 0.04
    assert report.metrics["intervals"]["ece"][0] <= report.ece <= report.metrics["intervals"]["ece"][1]


def test_figures_are_of_held_out_rows_only(tmp_path: Path) -> None:
    report, _ = fit(tmp_path, graded_rows(101))
    assert (report.n_fit, report.n_held_out) == (50, 51)
    assert sum(entry.n for entry in report.reliability) == 51


def test_kept_and_escalated_add_up(tmp_path: Path) -> None:
    report, _ = fit(tmp_path, graded_rows(400), threshold=0.5)
    at = report.metrics["at_threshold"]
    assert at["kept"] + at["escalated"] == report.n_held_out
    assert report.escalated == pytest.approx(at["escalated"] / report.n_held_out, abs=1e-6)
    assert at["kept_base_accuracy"] > at["escalated_base_accuracy"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (graded_rows(1), "too few"),
        (graded_rows(6), "too few"),
        (general_rows("chat", ["hello", "how are you"]), "0 graded rows"),
        (general_rows("chat", ["hello", "how are you"]), "0 held-out rows"),
    ],
)
def test_little_data_gives_a_router_no_figures_and_a_sentence(tmp_path: Path, rows: list, words: str) -> None:
    report, decider = fit(tmp_path, rows)
    assert (report.auroc, report.ece, report.brier) == (None, None, None)
    assert any(words in note for note in report.metrics["notes"])
    assert decider is not None
