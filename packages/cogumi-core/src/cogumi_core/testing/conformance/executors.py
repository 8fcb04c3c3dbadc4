"""The contract of executors: the order of the items, errors where they belong, and an end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import pytest

from cogumi_core.api.errors import InputError
from cogumi_core.testing.conformance.base import ComponentSuite

__all__ = ["ExecutorSuite"]

_MOST_TAKEN = 10_000


class ExecutorSuite(ComponentSuite):
    """An executor; choose settings with two workers or more. Its workers must be able to import `cogumi_core.testing`."""

    kind = "executor"

    def test_has_workers(self, made: Any) -> None:
        assert isinstance(made.workers, int)
        assert made.workers >= 1, "no worker: nothing would ever be done"

    def test_keeps_the_order(self, made: Any) -> None:
        assert list(made.map(square, range(25))) == [number * number for number in range(25)], "results are not in order"

    def test_nothing_in_nothing_out(self, made: Any) -> None:
        assert list(made.map(square, [])) == []

    def test_raises_what_the_work_raises(self, made: Any) -> None:
        results = made.map(no_sevens, range(25))
        with pytest.raises(InputError, match="seven"):
            list(results)

    def test_gives_what_came_before_an_error(self, made: Any) -> None:
        results = iter(made.map(no_sevens, range(25)))
        assert list(islice(results, 7)) == list(range(7)), "an error must not take the place of what came before it"

    def test_works_again_after_an_error(self, made: Any) -> None:
        with pytest.raises(InputError):
            list(made.map(no_sevens, [7]))
        assert list(made.map(square, [3])) == [9]

    def test_closing_ends_the_work(self, made: Any) -> None:
        """Items are taken as workers come free: not all at once, and none after the end."""
        taken: list[int] = []
        results = made.map(square, _endless(taken))
        assert list(islice(results, 3)) == [0, 1, 4]
        if callable(close := getattr(results, "close", None)):
            close()
        assert len(taken) < _MOST_TAKEN
        assert next(iter(results), None) is None or not callable(close), "it goes on after it was closed"


def square(number: int) -> int:
    return number * number


def no_sevens(number: int) -> int:
    if number == 7:
        message = "seven is not taken"
        raise InputError(message)
    return number


def _endless(taken: list[int]) -> Iterator[int]:
    for number in count():
        taken.append(number)
        assert len(taken) < _MOST_TAKEN, "it takes items without end before it gives a result"
        yield number
