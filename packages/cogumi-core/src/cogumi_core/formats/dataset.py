"""Examples on disk: what stages hand each other when they hand over data.

A dataset folder holds `dataset.jsonl` (the rows that remain), `dropped.jsonl` (every row that went, where, by what and why,
carried along from stage to stage) and, after deduplication, `groups.jsonl`. Rows that came in are always the sum of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogumi_core.api.types import JSON, Example
from cogumi_core.formats.rows import example_from_row, read_rows

KEPT = "dataset.jsonl"
DROPPED = "dropped.jsonl"
GROUPS = "groups.jsonl"


@dataclass(frozen=True, slots=True)
class JsonlDataset:
    """The kept rows of a dataset folder; `length` is counted once, when it is opened."""

    path: Path
    length: int

    @classmethod
    def open(cls, folder: Path) -> JsonlDataset:
        path = folder / KEPT
        with path.open("rb") as lines:
            return cls(path, sum(1 for _ in lines))

    def __iter__(self) -> Iterator[Example]:
        return (example_from_row(row, f"{self.path}, line {number}") for number, row in read_rows(self.path))

    def __len__(self) -> int:
        return self.length


def dropped_row(stage: str, reason: str, evidence: str, row: dict[str, Any]) -> dict[str, JSON]:
    """What `dropped.jsonl` says of one row; the row itself is in it, so that a threshold can be reconsidered."""
    return {"id": row["id"], "stage": stage, "reason": reason, "evidence": evidence, "row": row}


def earlier_drops(folder: Path) -> Iterator[dict[str, JSON]]:
    """The rows that stages before this one dropped."""
    path = folder / DROPPED
    return (row for _, row in read_rows(path)) if path.exists() else iter(())


def count_reasons(rows: Iterable[dict[str, JSON]]) -> dict[str, int]:
    """How often each reason occurs, most frequent first."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["reason"]] = counts.get(row["reason"], 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
