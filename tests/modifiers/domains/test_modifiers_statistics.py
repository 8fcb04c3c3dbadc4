"""Intervals and tests against what they are by definition."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogumi_modifiers.statistics import Z_95, compare, mcnemar, wilson

COUNTS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS)
def test_the_wilson_bounds_are_the_shares_whose_score_test_just_passes(counts: tuple[int, int]) -> None:
    correct, n = counts
    interval = wilson(correct, n)
    for bound in (interval.low, interval.high):
        if 0 < bound < 1:
            assert abs(correct / n - bound) / math.sqrt(bound * (1 - bound) / n) == pytest.approx(Z_95)
    assert 0 <= interval.low <= interval.share <= interval.high <= 1


def test_the_wilson_interval_of_the_literature() -> None:
    interval = wilson(63, 150)
    assert (round(interval.low, 3), round(interval.high, 3)) == (0.344, 0.500)


def test_without_tasks_nothing_is_known() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_sum_over_all_outcomes_at_most_as_likely(won: int, lost: int) -> None:
    n = won + lost
    weights = [math.comb(n, k) for k in range(n + 1)]
    brute = sum(weight for weight in weights if weight <= weights[won]) / 2**n
    assert mcnemar(won, lost) == pytest.approx(brute)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_won_and_lost_are_the_pairs_that_differ(pairs: list[tuple[bool, bool]]) -> None:
    result = compare([a for a, _ in pairs], [b for _, b in pairs], seed=1, resamples=200)
    assert result.won == sum(b and not a for a, b in pairs)
    assert result.lost == sum(a and not b for a, b in pairs)
    assert result.low <= result.difference + 1e-9
    assert result.difference <= result.high + 1e-9


def test_the_bootstrap_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    import numpy as np

    rng, hits = np.random.default_rng(3), 0
    for trial in range(300):
        gains = rng.choice([1, -1, 0], size=120, p=[0.25, 0.10, 0.65])
        result = compare([gain == -1 for gain in gains], [gain == 1 for gain in gains], seed=trial, resamples=1000)
        hits += result.low <= 0.15 <= result.high
    assert 0.90 <= hits / 300 <= 0.985


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        compare([True], [True, False], seed=1)
