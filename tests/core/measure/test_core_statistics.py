"""Intervals and tests against what they are by definition."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import python

from cogumi_core.measure.statistics import Z_95, compare, mcnemar, wilson

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
    result = compare([a for a, _ in pairs], [b for _, b in pairs])
    assert result.won == sum(b and not a for a, b in pairs)
    assert result.lost == sum(a and not b for a, b in pairs)
    assert result.low <= result.difference + 1e-9
    assert result.difference <= result.high + 1e-9


def test_the_bootstrap_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    rng, hits = random.Random(3), 0
    for _ in range(300):
        gains = rng.choices([1, -1, 0], [0.25, 0.10, 0.65], k=120)
        result = compare([gain == -1 for gain in gains], [gain == 1 for gain in gains])
        hits += result.low <= 0.15 <= result.high
    assert 0.90 <= hits / 300 <= 0.985


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        compare([True], [True, False])


def test_the_interval_is_that_of_a_bootstrap_with_many_resamples() -> None:
    first, second = [False] * 24 + [True] * 56, [True] * 24 + [False] * 3 + [True] * 53
    rng, gains = random.Random(1), [int(b) - int(a) for a, b in zip(first, second, strict=True)]
    drawn = sorted(sum(rng.choices(gains, k=80)) / 80 for _ in range(4000))
    result = compare(first, second)
    assert (result.low, result.high) == pytest.approx((drawn[100], drawn[3900]), abs=1 / 80)


def test_the_exact_test_of_the_literature() -> None:
    assert mcnemar(24, 3) == pytest.approx(4.9233e-5, rel=1e-4)
    assert mcnemar(400, 100) < 1e-40


def test_statistics_need_no_library() -> None:
    program = "import sys, cogumi_core.measure.statistics\nprint({'numpy', 'scipy'} & set(sys.modules))"
    assert python(program).stdout.strip() == "set()"
