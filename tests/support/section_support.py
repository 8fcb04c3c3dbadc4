"""A section of a third party's: a stage that counts the words of the rows, by a component of a kind of its own."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import Field

from cogumi_core import Artifact, Built, Component, ReportPart, Section, Services, Settings, Stage, Work
from cogumi_core.formats.dataset import JsonlDataset


class CounterSettings(Settings):
    least: int = Field(1, ge=1, description="letters of a word at least")


@runtime_checkable
class Counter(Protocol):
    def count(self, text: str) -> int: ...


class Words:
    def __init__(self, settings: CounterSettings, services: Services) -> None:
        self.least = settings.least

    def count(self, text: str) -> int:
        return sum(len(word) >= self.least for word in text.split())


class CountStage(Stage):
    id: ClassVar[str] = "support.count"
    artifact: ClassVar[str] = "counts"

    def build(self, work: Work) -> Built:
        dataset = JsonlDataset.open(work.inputs["dataset"].path)
        counters = [work.make(step, Counter) for step in self.steps]
        counts = [sum(counter.count(example.response) for example in dataset) for counter in counters]
        (work.output / "counts.json").write_text(json.dumps(counts))
        return Built(f"{counts} words", {"words": counts})


def show(stage: Stage, artifact: Artifact) -> ReportPart:
    words: Any = artifact.manifest.metrics["words"]
    return ReportPart("Words <b>counted</b>", ("How many there are.",), ("counter", "words"), ((stage.component, words[0]),))


SECTION = Section(
    "count",
    ("counter",),
    "counts the words of the rows",
    "section_support:CountStage",
    many=True,
    each=False,
    inputs=("dataset",),
    after="dedup",
    report="section_support:show",
)
COMPONENT = Component("counter", "words", "words of some length", "section_support:CounterSettings", "section_support:Words")
