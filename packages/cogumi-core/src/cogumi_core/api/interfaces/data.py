"""Kinds that make data: sources, filters, dedupers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from cogumi_core.api.interfaces.context import Dataset, RunContext
from cogumi_core.api.types import (
    DuplicateGroup,
    Example,
    Prompt,
    Verdict,
)


@runtime_checkable
class Source(Protocol):
    """Where prompts come from. Streams; the same settings and files give the same prompts in the same order, ids unique."""

    def prompts(self, run: RunContext) -> Iterator[Prompt]: ...


@runtime_checkable
class Filter(Protocol):
    """One verdict for each example, in order, streaming; a drop always has a reason. `RowFilter` turns `judge` into this.

    `row_wise`: a verdict depends on nothing but its row, so that a stage may run the filter in several processes."""

    row_wise: bool

    def verdicts(self, examples: Iterable[Example], run: RunContext) -> Iterator[Verdict]: ...


class RowFilter:
    """Base of filters that look at one row at a time: write `judge(example) -> Verdict`."""

    row_wise = True

    def judge(self, example: Example) -> Verdict:
        message = f"{type(self).__name__} must define judge(example)"
        raise TypeError(message)

    def verdicts(self, examples: Iterable[Example], run: RunContext) -> Iterator[Verdict]:
        return (self.judge(example) for example in examples)


@runtime_checkable
class Deduper(Protocol):
    """Groups of near-identical examples; rows in no group are unique. No id is in two groups. The result does not depend on
    the order of the input, and the survivor is the best-scored copy. `dataset.shards(n)` and `run.executor` are there for large
    data; what is kept for a resume goes into `run.scratch`."""

    def groups(self, dataset: Dataset, run: RunContext) -> Iterator[DuplicateGroup]: ...
