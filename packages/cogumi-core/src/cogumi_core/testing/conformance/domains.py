"""Contracts of what grades and adapts: benchmarks and domain modifiers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cogumi_core.api.types import Grade, ModelRef, ModifierReport, Task
from cogumi_core.formats.rows import read_rows, route_example_from_row
from cogumi_core.testing.conformance.base import ComponentSuite
from cogumi_core.testing.conformance.models import ModelSuite, Ran
from cogumi_core.testing.samples import ODD_TEXTS

__all__ = ["BenchmarkSuite", "ModifierSuite"]

_SPLITS = ("mine", "train", "validate")


class BenchmarkSuite(ComponentSuite):
    """A benchmark gives disjoint splits of complete tasks and grades whatever it is answered. `graded` limits how many tasks
    are graded, for graders that run programs."""

    kind = "benchmark"
    graded: ClassVar[int] = 25

    @pytest.fixture
    def splits(self, made: Any) -> dict[str, list[Task]]:
        return {split: list(made.tasks(split)) for split in _SPLITS}

    @pytest.fixture
    def tasks(self, splits: dict[str, list[Task]]) -> list[Task]:
        """Some tasks of every split."""
        return [task for found in splits.values() for task in islice(found, self.graded // len(_SPLITS) + 1)]

    def test_every_split_has_tasks(self, splits: dict[str, list[Task]]) -> None:
        assert all(splits.values()), f"tasks by split: { {split: len(found) for split, found in splits.items()} }"

    def test_no_group_is_in_two_splits(self, splits: dict[str, list[Task]]) -> None:
        groups = {split: {task.group for task in found} for split, found in splits.items()}
        shared = [groups[a] & groups[b] for a, b in (("mine", "train"), ("mine", "validate"), ("train", "validate"))]
        assert not any(shared), f"groups in two splits: {sorted(set().union(*shared))[:5]}"

    def test_ids_are_unique(self, splits: dict[str, list[Task]]) -> None:
        ids = [task.id for found in splits.values() for task in found]
        assert len(ids) == len(set(ids)), "two tasks have one id"

    def test_the_same_settings_give_the_same_splits(self, make: Callable[[], Any], splits: dict[str, list[Task]]) -> None:
        again = make()
        assert {split: [task.id for task in again.tasks(split)] for split in _SPLITS} == {
            split: [task.id for task in found] for split, found in splits.items()
        }, "the splits changed"

    def test_tasks_are_complete(self, made: Any, splits: dict[str, list[Task]]) -> None:
        for task in (task for found in splits.values() for task in found):
            assert task.messages, f"{task.id} asks nothing"
            assert task.messages[-1].content.strip(), f"{task.id} ends with an empty message"
            assert task.domain == made.domain, f"{task.id} is of the domain '{task.domain}', the benchmark of '{made.domain}'"

    def test_references_are_correct(self, made: Any, tasks: list[Task]) -> None:
        graded = [(task, made.grade(task, task.reference)) for task in tasks if task.reference is not None]
        wrong = [(task.id, grade.reason) for task, grade in graded if not grade.correct]
        assert not wrong, f"a reference is graded wrong: {wrong[:3]}"

    @pytest.mark.parametrize("answer", ODD_TEXTS, ids=lambda text: repr(text[:12]))
    def test_odd_answers_get_a_grade(self, made: Any, tasks: list[Task], answer: str) -> None:
        for task in (tasks[0], tasks[-1]):
            grade = made.grade(task, answer)
            assert isinstance(grade, Grade)
            assert 0 <= grade.score <= 1
            assert grade.correct or grade.reason, "a wrong answer is not told why"


class ModifierSuite(ModelSuite):
    """A domain modifier. Building is minutes of training with a real model: choose small settings."""

    kind = "modifier"

    def call(self, made: Any, base: ModelRef, output: Path, run: Any) -> Any:
        return made.build(base, output, run)

    def test_accepts_and_produces_are_declared(self, provided: Any) -> None:
        assert provided.component.accepts, "`accepts` names no format: the order of stages cannot be checked"

    def test_output_has_the_promised_format(self, ran: Ran, provided: Any) -> None:
        assert (ran.output / "adapter.gguf").read_bytes()[:4] == b"GGUF", "adapter.gguf is no GGUF file"

    def test_outcomes_can_be_read(self, ran: Ran) -> None:
        rows = [route_example_from_row(row) for _, row in read_rows(ran.output / "outcomes.jsonl")]
        assert rows, "outcomes.jsonl is empty: the router has nothing to learn from"
        assert {row.split for row in rows} <= {"fit", "held-out"}

    def test_report_holds_together(self, ran: Ran) -> None:
        report = ran.report
        assert isinstance(report, ModifierReport)
        assert report.domain
        assert report.reason, "the report does not say why it was accepted or refused"
        for interval in (report.baseline, report.result):
            assert 0 <= interval.low <= interval.share <= interval.high <= 1
            assert interval.n > 0
        assert 0 <= report.p_value <= 1
        assert report.baseline.n == report.result.n, "baseline and result were not measured on the same tasks"
