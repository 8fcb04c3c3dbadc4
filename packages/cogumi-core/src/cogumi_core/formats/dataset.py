"""Examples on disk: what stages hand each other when they hand over data.

A dataset folder holds `dataset.jsonl` (the rows that remain), `dropped.jsonl` (every row that went, where, by what and why,
carried along from stage to stage) and, after deduplication, `groups.jsonl`. Rows that came in are always the sum of both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from cogumi_core.api.types import JSON, Example
from cogumi_core.formats.rows import example_from_row, read_rows

KEPT = "dataset.jsonl"
DROPPED = "dropped.jsonl"
GROUPS = "groups.jsonl"


@dataclass(frozen=True, slots=True)
class JsonlDataset:
    """The kept rows of a dataset folder, or one part of them: `length` rows from byte `start` on, the first of which is number
    `first` (from 1). Holds no file open, and can be pickled."""

    path: Path
    length: int
    start: int = 0
    first: int = 1

    @classmethod
    def open(cls, folder: Path) -> JsonlDataset:
        path = folder / KEPT
        with path.open("rb") as lines:
            return cls(path, sum(1 for _ in lines))

    def __iter__(self) -> Iterator[Example]:
        rows = read_rows(self.path, start=self.start, first=self.first)
        return (example_from_row(row, f"{self.path}, line {number}") for number, row in islice(rows, self.length))

    def __len__(self) -> int:
        return self.length

    def shards(self, count: int) -> Sequence[JsonlDataset]:
        """At most `count` parts of nearly equal length, in order; one pass over the file."""
        count = max(1, min(count, self.length))
        sizes = [self.length // count + (index < self.length % count) for index in range(count)]
        parts = []
        with self.path.open("rb") as lines:
            lines.seek(self.start)
            first = self.first
            for size in sizes:
                parts.append(JsonlDataset(self.path, size, lines.tell(), first))
                for _ in range(size):
                    lines.readline()
                first += size
        return parts


@dataclass(frozen=True, slots=True)
class MemoryDataset:
    """Examples that are in memory already, as a data set: for a notebook, or a test."""

    examples: Sequence[Example]

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def __len__(self) -> int:
        return len(self.examples)

    def shards(self, count: int) -> Sequence[MemoryDataset]:
        """At most `count` parts of nearly equal length, in order."""
        count = max(1, min(count, len(self.examples)))
        ends = [len(self.examples) * index // count for index in range(count + 1)]
        return [MemoryDataset(self.examples[start:end]) for start, end in pairwise(ends)]


def dropped_row(stage: str, reason: str, evidence: str, row: dict[str, Any]) -> dict[str, JSON]:
    """What `dropped.jsonl` says of one row; the row itself is in it, so that a threshold can be reconsidered."""
    return {"id": row["id"], "stage": stage, "reason": reason, "evidence": evidence, "row": row}


def earlier_drops(folder: Path) -> Iterator[dict[str, JSON]]:
    """The rows that stages before this one dropped."""
    path = folder / DROPPED
    return (row for _, row in read_rows(path)) if path.exists() else iter(())


def count_reasons(rows: Iterable[dict[str, JSON]]) -> dict[str, int]:
    """How often each reason occurs, most frequent first."""
    return sorted_counts(Counter(row["reason"] for row in rows))


def sorted_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Most frequent first, then by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
