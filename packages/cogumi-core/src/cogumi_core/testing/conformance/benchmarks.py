"""The contract of benchmarks: disjoint splits of complete tasks, and a grade for any answer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, ClassVar, Final

import pytest

from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import Grade, Task
from cogumi_core.testing.conformance.base import ComponentSuite
from cogumi_core.testing.samples import ODD_TEXTS

__all__ = ["BenchmarkSuite"]

SPLITS: Final = ("mine", "train", "validate")


class BenchmarkSuite(ComponentSuite):
    """A benchmark gives disjoint splits of complete tasks and grades whatever it is answered. `graded` limits how many tasks
    are graded, for graders that run programs."""

    kind = "benchmark"
    graded: ClassVar[int] = 25

    @pytest.fixture
    def splits(self, made: Any, run: RunContext) -> dict[str, list[Task]]:
        return {split: list(made.tasks(split, run)) for split in SPLITS}

    @pytest.fixture
    def tasks(self, splits: dict[str, list[Task]]) -> list[Task]:
        """Some tasks of every split."""
        return [task for found in splits.values() for task in islice(found, self.graded // len(SPLITS) + 1)]

    def test_names_its_domain(self, made: Any) -> None:
        assert isinstance(made.domain, str), "`domain` is no text"
        assert made.domain.strip(), "`domain` is empty"

    def test_every_split_has_tasks(self, splits: dict[str, list[Task]]) -> None:
        assert all(splits.values()), f"tasks by split: { {split: len(found) for split, found in splits.items()} }"

    def test_no_group_is_in_two_splits(self, splits: dict[str, list[Task]]) -> None:
        groups = {split: {task.group for task in found} for split, found in splits.items()}
        shared = [groups[a] & groups[b] for a, b in (("mine", "train"), ("mine", "validate"), ("train", "validate"))]
        assert not any(shared), f"groups in two splits: {sorted(set().union(*shared))[:5]}"

    def test_ids_are_unique(self, splits: dict[str, list[Task]]) -> None:
        ids = [task.id for found in splits.values() for task in found]
        assert len(ids) == len(set(ids)), "two tasks have one id"

    def test_the_same_settings_give_the_same_splits(
        self, make: Callable[[], Any], splits: dict[str, list[Task]], run: RunContext
    ) -> None:
        again = make()
        assert {split: [task.id for task in again.tasks(split, run)] for split in SPLITS} == {
            split: [task.id for task in found] for split, found in splits.items()
        }, "the splits changed"

    def test_tasks_are_complete(self, made: Any, splits: dict[str, list[Task]]) -> None:
        for task in (task for found in splits.values() for task in found):
            assert task.messages, f"{task.id} asks nothing"
            assert task.messages[-1].content.strip(), f"{task.id} ends with an empty message"
            assert task.domain == made.domain, f"{task.id} is of the domain '{task.domain}', the benchmark of '{made.domain}'"

    def test_references_are_correct(self, made: Any, tasks: list[Task], run: RunContext) -> None:
        graded = [(task, made.grade(task, task.reference, run)) for task in tasks if task.reference is not None]
        wrong = [(task.id, grade.reason) for task, grade in graded if not grade.correct]
        assert not wrong, f"a reference is graded wrong: {wrong[:3]}"

    @pytest.mark.parametrize("answer", ODD_TEXTS, ids=lambda text: repr(text[:12]))
    def test_odd_answers_get_a_grade(self, made: Any, tasks: list[Task], answer: str, run: RunContext) -> None:
        for task in (tasks[0], tasks[-1]):
            grade = made.grade(task, answer, run)
            assert isinstance(grade, Grade)
            assert 0 <= grade.score <= 1
            assert grade.correct or grade.reason, "a wrong answer is not told why"
