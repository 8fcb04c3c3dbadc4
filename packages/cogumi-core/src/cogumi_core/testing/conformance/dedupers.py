"""The contract of dedupers: copies found whatever their order and wherever the work runs, the best of them kept."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cogumi_core.api.interfaces import Dataset, RunContext
from cogumi_core.api.types import DuplicateGroup, Example
from cogumi_core.testing.conformance.base import ComponentSuite
from cogumi_core.testing.fakes import PickyExecutor
from cogumi_core.testing.samples import near_copies, sample_examples, written_dataset

__all__ = ["DeduperSuite"]

_COPIED = (100, 101, 102)


class DeduperSuite(ComponentSuite):
    """A deduper groups copies whatever their order, keeps the best-scored, and leaves the rest alone. `examples` may be
    replaced by some that hold the copies of `near_copies(100)`, `(101)` and `(102)`."""

    kind = "deduper"

    @pytest.fixture
    def examples(self) -> list[Example]:
        """Twelve different examples and three groups of copies."""
        return [*sample_examples(), *(copy for index in _COPIED for copy in near_copies(index))]

    @pytest.fixture
    def dataset(self, examples: list[Example], tmp_path: Path) -> Dataset:
        return written_dataset(tmp_path / "given", examples)

    @pytest.fixture
    def groups(self, made: Any, dataset: Dataset, run: RunContext) -> list[DuplicateGroup]:
        return list(made.groups(dataset, run))

    def test_finds_the_copies(self, groups: list[DuplicateGroup]) -> None:
        found = {frozenset([group.survivor, *_duplicates(group)]) for group in groups}
        expected = {frozenset(copy.id for copy in near_copies(index)) for index in _COPIED}
        assert expected <= found, f"copies that differ in one word were not grouped: {expected - found}"

    def test_best_scored_copy_survives(self, groups: list[DuplicateGroup], examples: list[Example]) -> None:
        score = {example.id: example.metadata["quality_score"] for example in examples}
        worse = [group for group in groups if any(score[id_] > score[group.survivor] for id_ in _duplicates(group))]
        assert not worse, f"a worse copy survives: {worse[:2]}"

    def test_order_does_not_matter(
        self, made: Any, groups: list[DuplicateGroup], examples: list[Example], run: RunContext, tmp_path: Path
    ) -> None:
        shuffled = written_dataset(tmp_path / "shuffled", random.Random(17).sample(examples, len(examples)))
        assert _as_sets(made.groups(shuffled, run)) == _as_sets(groups), "another order gave other groups"

    def test_several_workers_find_the_same(
        self, made: Any, groups: list[DuplicateGroup], dataset: Dataset, run: RunContext
    ) -> None:
        """`run.executor` has three workers here, and hands over only what can be pickled."""
        beside = made.groups(dataset, replace(run, executor=PickyExecutor()))
        assert _as_sets(beside) == _as_sets(groups), "several workers found other groups"

    def test_no_id_is_in_two_groups(self, groups: list[DuplicateGroup], examples: list[Example]) -> None:
        ids = [id_ for group in groups for id_ in (group.survivor, *_duplicates(group))]
        assert len(ids) == len(set(ids)), "an id stands in two groups"
        assert set(ids) <= {example.id for example in examples}, "an id that was never given"

    def test_similarities_are_shares(self, groups: list[DuplicateGroup]) -> None:
        values = [duplicate.similarity for group in groups for duplicate in group.duplicates]
        assert all(0 < value <= 1 for value in values), "a similarity outside (0, 1]"

    def test_different_examples_stay(self, made: Any, run: RunContext, tmp_path: Path) -> None:
        different = written_dataset(tmp_path / "different", sample_examples())
        assert list(made.groups(different, run)) == [], "different examples were grouped"

    def test_nothing_in_nothing_out(self, made: Any, run: RunContext, tmp_path: Path) -> None:
        assert list(made.groups(written_dataset(tmp_path / "empty", []), run)) == []

    def test_keeps_its_files_in_scratch(self, groups: list[DuplicateGroup], tmp_path: Path) -> None:
        assert {path.name for path in (tmp_path / "given").iterdir()} == {"dataset.jsonl"}, "it wrote beside the data set"


def _duplicates(group: DuplicateGroup) -> list[str]:
    return [duplicate.id for duplicate in group.duplicates]


def _as_sets(groups: Iterable[DuplicateGroup]) -> set[tuple[str, frozenset[str]]]:
    return {(group.survivor, frozenset(_duplicates(group))) for group in groups}
