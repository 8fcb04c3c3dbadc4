"""Filters and dedupers: which rows stay. Every row that goes is written down with its reason."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from cogumi_core.api.errors import InputError, PluginError
from cogumi_core.api.interfaces import Filter
from cogumi_core.api.types import JSON, DuplicateGroup, Example, Verdict
from cogumi_core.formats.dataset import DROPPED, GROUPS, KEPT, JsonlDataset, count_reasons, dropped_row, earlier_drops
from cogumi_core.formats.rows import dump_line, example_row, write_rows
from cogumi_core.stages.base import Built, Stage, Work, declared


class FilterStage(Stage):
    """One filter over all rows, streaming."""

    def build(self, work: Work) -> Built:
        folder = work.inputs["dataset"].path
        dataset = JsonlDataset.open(folder)
        step = self.steps[0]
        verdicts = pair(work.make(step), dataset, step.component.name)
        dropped: dict[str, int] = {}
        with (work.output / DROPPED).open("w", encoding="utf-8") as gone:
            gone.writelines(dump_line(row) for row in earlier_drops(folder))
            kept = write_rows(work.output / KEPT, _kept(verdicts, gone, dropped, self.name, work, len(dataset)))
        _refuse_empty(kept, len(dataset), step.component.name, dropped)
        metrics = {"rows": len(dataset), "kept": kept, "dropped": _by_count(dropped)}
        deterministic, why_not = declared(self.steps)
        return Built(f"{kept} of {len(dataset)} kept", metrics, deterministic=deterministic, why_not=why_not)


def pair(component: Filter, examples: Iterable[Example], name: str) -> Iterator[tuple[Example, Verdict]]:
    """Each example with its verdict, holding no more rows than the filter looks ahead. Raises PluginError when the filter
    gives too few or too many verdicts, or drops without a reason."""
    waiting: deque[Example] = deque()

    def feed() -> Iterator[Example]:
        for example in examples:
            waiting.append(example)
            yield example

    for verdict in component.verdicts(feed()):
        if not waiting or not (verdict.keep or verdict.reason):
            trouble = "dropped a row without a reason" if waiting else "gave more verdicts than there are rows"
            message = f"filter '{name}' {trouble}; see the contract of Filter"
            raise PluginError(message)
        yield waiting.popleft(), verdict
    if waiting:
        message = f"filter '{name}' gave no verdict for row '{waiting[0].id}' and {len(waiting) - 1} more"
        raise PluginError(message)


def _kept(
    verdicts: Iterable[tuple[Example, Verdict]], gone: object, dropped: dict[str, int], stage: str, work: Work, total: int
) -> Iterator[dict[str, JSON]]:
    write = getattr(gone, "write")  # noqa: B009 - a text file; spelled so that mypy needs no IO generic here
    for done, (example, verdict) in enumerate(verdicts, start=1):
        work.run.progress(done, total, "rows")
        if verdict.keep:
            yield example_row(example)
            continue
        dropped[verdict.reason] = dropped.get(verdict.reason, 0) + 1
        write(dump_line(dropped_row(stage, verdict.reason, verdict.evidence, example_row(example))))


class DedupStage(Stage):
    """Near-duplicates go; the survivor of each group stays and takes the sources and teachers of its copies along."""

    def build(self, work: Work) -> Built:
        folder = work.inputs["dataset"].path
        dataset = JsonlDataset.open(folder)
        step = self.steps[0]
        groups = list(work.make(step).groups(_watched(dataset, work, len(dataset))))
        copies = _copies(groups, step.component.name)
        merged = _merged_origins(dataset, groups)
        with (work.output / DROPPED).open("w", encoding="utf-8") as gone:
            gone.writelines(dump_line(row) for row in earlier_drops(folder))
            kept = 0
            with (work.output / KEPT).open("w", encoding="utf-8") as out:
                for example in dataset:
                    if example.id in copies:
                        survivor, similarity = copies[example.id]
                        evidence = f"Jaccard {similarity:.4f} to '{survivor}', which stays"
                        row = dropped_row(self.name, "near-duplicate", evidence, example_row(example))
                        gone.write(dump_line(row))
                        continue
                    out.write(dump_line(_with_origins(example, merged)))
                    kept += 1
        write_rows(work.output / GROUPS, (_group_row(group) for group in sorted(groups, key=lambda g: g.survivor)))
        dropped = {"near-duplicate": len(copies)} if copies else {}
        metrics = {"rows": len(dataset), "kept": kept, "dropped": dropped, "groups": len(groups)}
        deterministic, why_not = declared(self.steps)
        summary = f"{kept} of {len(dataset)} kept, {len(groups)} groups of near-duplicates"
        return Built(summary, metrics, deterministic=deterministic, why_not=why_not)


def _watched(dataset: JsonlDataset, work: Work, total: int) -> Iterator[Example]:
    for done, example in enumerate(dataset, start=1):
        work.run.progress(done, total, "rows")
        yield example


def _copies(groups: Iterable[DuplicateGroup], name: str) -> dict[str, tuple[str, float]]:
    """Id of each row that goes -> (its survivor, similarity)."""
    copies: dict[str, tuple[str, float]] = {}
    survivors: set[str] = set()
    for group in groups:
        survivors.add(group.survivor)
        for duplicate in group.duplicates:
            if duplicate.id in copies:
                message = f"deduper '{name}' put row '{duplicate.id}' into two groups"
                raise PluginError(message)
            copies[duplicate.id] = (group.survivor, duplicate.similarity)
    if both := survivors & copies.keys():
        message = f"deduper '{name}' both keeps and drops row '{min(both)}'"
        raise PluginError(message)
    return copies


def _merged_origins(dataset: JsonlDataset, groups: Iterable[DuplicateGroup]) -> dict[str, dict[str, list[str]]]:
    """Survivor -> where it and its copies came from, so that dropping a copy loses no provenance."""
    owner = {duplicate.id: group.survivor for group in groups for duplicate in group.duplicates}
    owner |= {survivor: survivor for survivor in owner.values()}
    merged: dict[str, dict[str, list[str]]] = {}
    for example in dataset if owner else ():
        if (survivor := owner.get(example.id)) is None:
            continue
        origins = merged.setdefault(survivor, {"source": [], "teacher": []})
        for key, values in origins.items():
            value = example.metadata.get(key)
            if value is not None and value not in values:
                values.append(value)
    return merged


def _with_origins(example: Example, merged: dict[str, dict[str, list[str]]]) -> dict[str, JSON]:
    row = example_row(example)
    if origins := merged.get(example.id):
        row["metadata"] |= {"merged_sources": sorted(origins["source"]), "merged_teachers": sorted(origins["teacher"])}
    return row


def _group_row(group: DuplicateGroup) -> dict[str, JSON]:
    duplicates = [{"id": d.id, "similarity": round(d.similarity, 6)} for d in sorted(group.duplicates, key=lambda d: d.id)]
    return {"survivor": group.survivor, "duplicates": duplicates}


def _by_count(dropped: dict[str, int]) -> dict[str, int]:
    return count_reasons({"reason": reason} for reason, count in dropped.items() for _ in range(count))


def _refuse_empty(kept: int, total: int, name: str, dropped: dict[str, int]) -> None:
    if kept:
        return
    reasons = ", ".join(f"{count} x {reason}" for reason, count in _by_count(dropped).items())
    message = f"all {total} rows were dropped by '{name}' ({reasons}); loosen its settings or look at the rows"
    raise InputError(message)


def read_drops(folder: Path) -> Iterator[dict[str, JSON]]:
    """All drops that a dataset folder knows of, its own and earlier stages'."""
    return earlier_drops(folder)
