"""The chain of stages as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cogumi_core.report.context import ReportContext
from cogumi_core.report.overview.picture import Picture, picture
from cogumi_core.report.section import PageSection
from cogumi_core.report.wording import percent, size
from cogumi_core.stages.base import Stage
from cogumi_core.stages.chain import REFERENCE
from cogumi_core.stages.models.measure import MeasureStage
from cogumi_core.store.artifacts import Artifact

COLUMNS = {"wide": 6, "narrow": 2}
"""Boxes in a row of the picture, at most."""


@dataclass(frozen=True, slots=True)
class Link:
    """One box: what stands in it, and the digest of what the stage made."""

    label: str
    title: str
    figure: str
    digest: str = ""


def collect(context: ReportContext) -> Sequence[Link]:
    """Measurements are left out: they change nothing that comes after."""
    links = tuple(_link(stage, artifact) for stage, artifact in context.built if not _is_aside(stage))
    whole = sum(context.shipped.values())
    return (*links, Link("result", "system", size(whole))) if context.shipped else links


def _is_aside(stage: Stage) -> bool:
    return stage.artifact == MeasureStage.artifact or stage.name == REFERENCE


def _link(stage: Stage, artifact: Artifact) -> Link:
    return Link(stage.name, stage.component or stage.artifact, _figure(artifact), artifact.digest[:8])


def _figure(artifact: Artifact) -> str:
    """The one figure that says most of what the stage made."""
    metrics = artifact.manifest.metrics
    if isinstance(metrics.get("rows"), int):
        return f"{metrics.get('kept', metrics['rows'])} rows"
    if metrics.get("offers"):
        return f"{percent(metrics['baseline']['share'], 0)} to {percent(metrics['offers'][0]['result']['share'], 0)}"
    return size(artifact.manifest.size)


def view(links: Sequence[Link]) -> Mapping[str, Picture]:
    """The style sheet shows the one that fits."""
    return dict(_pictures(links))


def _pictures(links: Sequence[Link]) -> Iterator[tuple[str, Picture]]:
    texts = [(link.label, link.title, link.figure, link.digest) for link in links]
    for name, columns in COLUMNS.items():
        yield name, picture(texts, columns)


SECTION: PageSection[Sequence[Link]] = PageSection("overview", Sequence[Link], collect, view)
