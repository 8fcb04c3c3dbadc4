"""Choosing among adapters under the system's bytes: the best combination that fits, checked against trying them all."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogumi_core.stages import choose as choosing
from cogumi_core.stages.choose import Option, choose

NONE = Option(None, 0, 0.0)
OFFERS = st.lists(
    st.lists(st.builds(Option, st.just("r"), st.integers(1, 60), st.floats(0.01, 1)), max_size=3).map(lambda own: [NONE, *own]),
    max_size=4,
)


@given(OFFERS, st.none() | st.integers(0, 120))
def test_no_other_combination_that_fits_solves_more(offers: list[list[Option]], room: int | None) -> None:
    chosen = choose(offers, room)
    fits = [c for c in product(*offers) if room is None or sum(option.bytes for option in c) <= room]
    assert chosen in fits
    assert sum(o.gain for o in chosen) == pytest.approx(max(sum(o.gain for o in c) for c in fits))


@given(OFFERS, st.integers(0, 120))
def test_with_very_many_combinations_the_choice_still_fits(offers: list[list[Option]], room: int) -> None:
    chosen = choosing.greedy(offers, room)
    assert sum(option.bytes for option in chosen) <= room
    assert all(option in own for option, own in zip(chosen, offers, strict=True))


@pytest.mark.parametrize(
    ("room", "folders"),
    [
        (None, ("big", "big")),
        (100, ("big", "big")),
        (99, ("big", "small")),  # 0.5 + 0.25 beats 0.3 + 0.3
        (60, ("small", "small")),
        (49, ("small", None)),
        (0, (None, None)),
        (-5, (None, None)),  # the base alone is too large: that is told where the system is weighed
    ],
)
def test_a_smaller_adapter_is_taken_where_the_better_one_does_not_fit(
    room: int | None, folders: tuple[str | None, ...]
) -> None:
    first = [NONE, Option("big", 50, 0.5), Option("small", 25, 0.3)]
    second = [NONE, Option("big", 50, 0.3), Option("small", 25, 0.25)]
    assert tuple(option.folder for option in choose([first, second], room)) == folders


def test_of_two_adapters_that_solve_as_much_the_smaller_is_taken() -> None:
    (option,) = choose([[NONE, Option("large", 50, 0.5), Option("lean", 25, 0.5)]], None)
    assert option.folder == "lean"
