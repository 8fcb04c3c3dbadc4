"""What the router learned, and how far its confidence can be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cogumi_core.api.types import RouterReport
from cogumi_core.report.context import ReportContext
from cogumi_core.report.plain import report_in
from cogumi_core.report.router.view import router_view
from cogumi_core.report.section import Highlight, PageSection
from cogumi_core.report.wording import percent
from cogumi_core.stages.router import RouterStage


@dataclass(frozen=True, slots=True)
class NamedRouter:
    """A router's report under its component's name."""

    name: str
    report: RouterReport


def collect(context: ReportContext) -> NamedRouter | None:
    built = ((stage, artifact) for stage, artifact in context.built if isinstance(stage, RouterStage))
    return next(
        (NamedRouter(stage.component, report_in(artifact.manifest.metrics, RouterReport)) for stage, artifact in built), None
    )


def highlights(data: NamedRouter) -> Iterator[Highlight]:
    report = data.report
    if report.escalated is not None:
        meaning = f"of {report.n_held_out} held-out answers fall below the threshold {report.threshold:.2f}"
        yield Highlight("Router", percent(report.escalated, 0), meaning)


SECTION: PageSection[NamedRouter] = PageSection(
    "router", NamedRouter, collect, lambda data: router_view(data.report), highlights
)
