"""A section of a recipe, `review:`, with a kind of component, a stage and a part of the report of its own."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from cogumi_core import Artifact, Built, Dataset, Example, ReportPart, Services, Settings, Stage, Work
from cogumi_core.formats.dataset import JsonlDataset
from cogumi_core.formats.rows import example_row, write_rows


class SpreadSettings(Settings):
    rows: int = Field(10, ge=1, le=1000, description="rows to look at")


class Spread:
    """The one component of the kind `picker`: rows from the best score to the worst, at equal distances."""

    def __init__(self, settings: SpreadSettings, services: Services) -> None:
        self.rows = settings.rows

    def picked(self, dataset: Dataset) -> Sequence[Example]:
        ranked = sorted(dataset, key=lambda row: (-float(row.metadata.get("quality_score", 0)), row.id))
        count = min(self.rows, len(ranked))
        return [ranked[place * len(ranked) // count] for place in range(count)]


class ReviewStage(Stage):
    id: ClassVar[str] = "example-review"
    artifact: ClassVar[str] = "review"

    def build(self, work: Work) -> Built:
        dataset = JsonlDataset.open(work.inputs["dataset"].path)
        rows = work.make(self.steps[0], Spread).picked(dataset)
        write_rows(work.output / "review.jsonl", map(example_row, rows))
        shown = [(row.metadata.get("quality_score"), row.instruction, row.response) for row in rows]
        return Built(f"{len(rows)} of {len(dataset)} rows to look at", {"picked": shown})


def show(stage: Stage, artifact: Artifact) -> ReportPart:
    """What the report shows of an artifact of this stage."""
    rows = artifact.manifest.metrics["picked"]
    return ReportPart("Rows to look at", ("From the best score to the worst.",), ("score", "question", "answer"), rows)
