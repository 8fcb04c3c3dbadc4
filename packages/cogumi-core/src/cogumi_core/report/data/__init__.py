"""Rows into and out of each data stage, and why they went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from cogumi_core.formats.dataset import earlier_drops
from cogumi_core.report.context import ReportContext
from cogumi_core.report.section import PageSection
from cogumi_core.stages.base import Stage
from cogumi_core.store.artifacts import Artifact

SAMPLES: Final = 3
"""Dropped rows shown of a stage."""
GIVES_ROWS: Final = ("prompts", "dataset")


@dataclass(frozen=True, slots=True)
class DroppedRow:
    """A row that went, and why."""

    id: str
    text: str
    reason: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class DataRow:
    """Rows into and out of one data stage. `reasons` counts the dropped ones; `samples` shows a few."""

    stage: str
    rows_in: int
    kept: int
    dropped: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    samples: Sequence[DroppedRow] = ()


def collect(context: ReportContext) -> Sequence[DataRow]:
    """One for each stage that gave prompts or rows and counted them, a plugin's own among them."""
    given = [pair for pair in context.built if pair[1].manifest.artifact in GIVES_ROWS]
    counted = [pair for pair in given if isinstance(pair[1].manifest.metrics.get("rows"), int)]
    return tuple(_row(stage, artifact) for stage, artifact in counted)


def _row(stage: Stage, artifact: Artifact) -> DataRow:
    metrics = artifact.manifest.metrics
    reasons: Mapping[str, int] = metrics.get("dropped", {})
    samples = tuple(islice(_dropped_by(stage, artifact), SAMPLES))
    return DataRow(stage.name, metrics["rows"], metrics.get("kept", metrics["rows"]), sum(reasons.values()), reasons, samples)


def _dropped_by(stage: Stage, artifact: Artifact) -> Iterator[DroppedRow]:
    for row in earlier_drops(artifact.path):
        if row["stage"] == stage.name:
            yield DroppedRow(row["id"], _text(row["row"]), row["reason"], row["evidence"])


def _text(row: Mapping[str, Any]) -> str:
    """The question, and the answer where there was one already."""
    question = row.get("instruction") or " ".join(message["content"] for message in row.get("messages", ()))
    return f"{question}\n\n{row['response']}" if "response" in row else question


SECTION: PageSection[Sequence[DataRow]] = PageSection("data", Sequence[DataRow], collect)
