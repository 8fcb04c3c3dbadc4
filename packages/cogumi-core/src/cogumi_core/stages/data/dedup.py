"""Near-duplicates go; the survivor of each group stays and takes the sources and teachers of its copies along."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from cogumi_core.api.errors import PluginError
from cogumi_core.api.interfaces import Deduper
from cogumi_core.api.types import JSON, DuplicateGroup, Example
from cogumi_core.formats.dataset import DROPPED, GROUPS, KEPT, JsonlDataset, dropped_row, earlier_drops
from cogumi_core.formats.rows import dump_line, example_row
from cogumi_core.stages.base import Built, Stage, Work, declared

Copies = dict[str, tuple[str, float]]
"""Id of each row that goes: its survivor, and their similarity."""


class DedupStage(Stage):
    """Groups are written as they come; what is in memory is the ids in them."""

    id: ClassVar[str] = "dedup"

    def build(self, work: Work) -> Built:
        folder = work.inputs["dataset"].path
        dataset, (step,) = JsonlDataset.open(folder), self.steps
        copies: Copies = {}
        groups = 0
        with (work.output / GROUPS).open("w", encoding="utf-8") as out:
            for group in _checked(work.make(step, Deduper).groups(dataset, work.run), step.component.name):
                out.write(dump_line(_group_row(group)))
                copies |= {copy.id: (group.survivor, copy.similarity) for copy in group.duplicates}
                groups += 1
        origins = _origins(dataset, copies)
        kept = 0
        with (
            (work.output / DROPPED).open("w", encoding="utf-8") as gone,
            (work.output / KEPT).open("w", encoding="utf-8") as out,
        ):
            gone.writelines(dump_line(row) for row in earlier_drops(folder))
            for example in dataset:
                if example.id in copies:
                    survivor, similarity = copies[example.id]
                    evidence = f"Jaccard {similarity:.4f} to '{survivor}', which stays"
                    gone.write(dump_line(dropped_row(self.name, "near-duplicate", evidence, example_row(example))))
                else:
                    out.write(dump_line(example_row(_with_origins(example, origins))))
                    kept += 1
        dropped = {"near-duplicate": len(copies)} if copies else {}
        metrics: dict[str, JSON] = {"rows": len(dataset), "kept": kept, "dropped": dropped, "groups": groups}
        deterministic, why_not = declared(self.steps)
        summary = f"{kept} of {len(dataset)} kept, {groups} groups of near-duplicates"
        return Built(summary, metrics, deterministic=deterministic, why_not=why_not)


def _checked(groups: Iterator[DuplicateGroup], name: str) -> Iterator[DuplicateGroup]:
    """The groups, as long as no row is in two of them."""
    survivors: set[str] = set()
    gone: set[str] = set()
    for group in groups:
        ids = {copy.id for copy in group.duplicates}
        if len(ids) < len(group.duplicates) or ids & gone:
            twice = min(ids & gone, default=group.duplicates[0].id)
            message = f"deduper '{name}' put row '{twice}' into two groups"
            raise PluginError(message)
        survivors.add(group.survivor)
        gone |= ids
        if group.survivor in gone or ids & survivors:
            message = f"deduper '{name}' both keeps and drops row '{min({group.survivor} & gone | ids & survivors)}'"
            raise PluginError(message)
        yield group


def _origins(dataset: JsonlDataset, copies: Copies) -> dict[str, dict[str, list[str]]]:
    """Survivor -> where it and its copies came from, so that dropping a copy loses no provenance."""
    survivors = {survivor for survivor, _ in copies.values()}
    found: dict[str, dict[str, list[str]]] = {}
    for example in dataset if copies else ():
        owner = copies[example.id][0] if example.id in copies else example.id
        if owner not in survivors:
            continue
        for key, values in found.setdefault(owner, {"source": [], "teacher": []}).items():
            value = example.metadata.get(key)
            if value is not None and value not in values:
                values.append(value)
    return found


def _with_origins(example: Example, origins: dict[str, dict[str, list[str]]]) -> Example:
    own = origins.get(example.id)
    if own is None:
        return example
    merged = {"merged_sources": sorted(own["source"]), "merged_teachers": sorted(own["teacher"])}
    return replace(example, metadata={**example.metadata, **merged})


def _group_row(group: DuplicateGroup) -> dict[str, JSON]:
    duplicates = [{"id": d.id, "similarity": round(d.similarity, 6)} for d in sorted(group.duplicates, key=lambda d: d.id)]
    return {"survivor": group.survivor, "duplicates": duplicates}
