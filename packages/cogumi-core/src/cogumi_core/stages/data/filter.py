"""Filters: which rows stay. Every row that goes is written down with its reason, what a kept one gained is merged into it.

A filter that declares itself `row_wise` may run in several processes, on pieces of the data; the rows come out in the order in
which they came in, byte for byte as from one process.
"""

from __future__ import annotations

import pickle
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from cogumi_core.api.component import Provided
from cogumi_core.api.errors import InputError, PluginError
from cogumi_core.api.interfaces import Filter, RunContext
from cogumi_core.api.settings import Settings
from cogumi_core.api.types import Example, ModelRef, Verdict
from cogumi_core.formats.dataset import DROPPED, KEPT, JsonlDataset, dropped_row, earlier_drops, sorted_counts
from cogumi_core.formats.rows import dump_line, example_row
from cogumi_core.plugins.guard import stage_running
from cogumi_core.stages.base import Built, Stage, Work, declared

ROWS_AT_ONCE: Final = 1000
"""Rows of one piece of work: long enough that handing it over costs little, short enough that progress moves."""


class FilterStage(Stage):
    """One filter over all rows, streaming."""

    id: ClassVar[str] = "filter"

    def build(self, work: Work) -> Built:
        folder = work.inputs["dataset"].path
        dataset, (step,) = JsonlDataset.open(folder), self.steps
        name = step.component.name
        dropped: Counter[str] = Counter()
        kept = 0
        with (
            (work.output / DROPPED).open("w", encoding="utf-8") as gone,
            (work.output / KEPT).open("w", encoding="utf-8") as out,
        ):
            gone.writelines(dump_line(row) for row in earlier_drops(folder))
            for done, (example, verdict) in enumerate(self._judged(work, dataset), start=1):
                if verdict.keep:
                    out.write(dump_line(example_row(annotated(example, verdict, name))))
                    kept += 1
                else:
                    dropped[verdict.reason] += 1
                    gone.write(dump_line(dropped_row(self.name, verdict.reason, verdict.evidence, example_row(example))))
                work.run.progress(done, len(dataset), "rows")
        reasons = sorted_counts(dropped)
        if not kept:
            counted = ", ".join(f"{count} x {reason}" for reason, count in reasons.items())
            message = f"all {len(dataset)} rows were dropped by '{name}' ({counted}); loosen its settings or look at the rows"
            raise InputError(message)
        deterministic, why_not = declared(self.steps)
        metrics = {"rows": len(dataset), "kept": kept, "dropped": reasons}
        return Built(f"{kept} of {len(dataset)} kept", metrics, deterministic=deterministic, why_not=why_not)

    def _judged(self, work: Work, dataset: JsonlDataset) -> Iterator[tuple[Example, Verdict]]:
        """Each example with its verdict, in order; beside each other where the filter and the recipe allow it."""
        step = self.steps[0]
        judge: Filter = work.make(step, Filter)
        piece = Piece(step.provided, step.settings, dataset, work.run.seed, work.run.scratch, _Outside.of(work.run))
        asks = any(
            provided.component.kind == "teacher" for provided, _ in step.used
        )  # calls are paid for in this process alone
        if work.run.executor.workers == 1 or not judge.row_wise or asks or not piece.can_travel():
            yield from pair(judge, dataset, step.component.name, work.run)
            return
        pieces = [replace(piece, dataset=shard) for shard in dataset.shards(-(-len(dataset) // ROWS_AT_ONCE))]
        for shard, verdicts in zip(pieces, work.run.executor.map(judge_piece, pieces), strict=True):
            yield from zip(shard.dataset, verdicts, strict=True)


def pair(judge: Filter, examples: Iterable[Example], name: str, run: RunContext) -> Iterator[tuple[Example, Verdict]]:
    """Each example with its verdict, holding no more rows than the filter looks ahead. Raises PluginError when the filter
    gives too few or too many verdicts, or drops without a reason."""
    waiting: deque[Example] = deque()

    def feed() -> Iterator[Example]:
        for example in examples:
            waiting.append(example)
            yield example

    for verdict in judge.verdicts(feed(), run):
        if not waiting or not (verdict.keep or verdict.reason):
            trouble = "dropped a row without a reason" if waiting else "gave more verdicts than there are rows"
            message = f"filter '{name}' {trouble}; see the contract of Filter"
            raise PluginError(message)
        yield waiting.popleft(), verdict
    if waiting:
        message = f"filter '{name}' gave no verdict for row '{waiting[0].id}' and {len(waiting) - 1} more"
        raise PluginError(message)


def annotated(example: Example, verdict: Verdict, name: str) -> Example:
    """The row with what the filter had to add: scores under their names, and messages without what was taken out of them."""
    metadata = {**example.metadata, **verdict.scores}
    if verdict.messages is None:
        return replace(example, metadata=metadata) if verdict.scores else example
    redacted = [*example.metadata.get("redacted_by", ()), name]
    return replace(example, messages=verdict.messages, metadata={**metadata, "redacted_by": redacted})


# --- in other processes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Outside:
    """The services that a component in another process gets."""

    base_dir: Path
    student: ModelRef | None

    @classmethod
    def of(cls, run: RunContext) -> _Outside:
        return cls(run.services.base_dir, run.services.student)


@dataclass(frozen=True, slots=True)
class Piece:
    """What a worker needs to judge one shard. A worker has the environment of its parent, and finds the same plugins."""

    provided: Provided
    settings: Settings
    dataset: Any
    seed: int
    scratch: Path
    outside: _Outside

    def can_travel(self) -> bool:
        """Whether another process can make the component: not one that a test put on a host of its own as a local function."""
        try:
            pickle.dumps(self)
        except (pickle.PicklingError, AttributeError, TypeError):
            return False
        return True


def judge_piece(piece: Piece) -> list[Verdict]:
    """The verdicts on one shard; runs in a worker."""
    from cogumi_core.plugins.registry import Registry

    registry = Registry.installed().with_services(base_dir=piece.outside.base_dir, student=piece.outside.student)
    judge = registry.build(piece.provided, piece.settings)
    run = RunContext(piece.seed, piece.scratch, registry.services)
    try:
        with stage_running(piece.provided.component.name):
            return [verdict for _, verdict in pair(judge, piece.dataset, piece.provided.component.name, run)]
    finally:
        if callable(close := getattr(judge, "close", None)):
            close()
