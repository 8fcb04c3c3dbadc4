"""Loss curves: of training, of recovery between compressions, of adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cogumi_core.api.types import LossPoint
from cogumi_core.report.context import ReportContext
from cogumi_core.report.plain import typed
from cogumi_core.report.section import PageSection
from cogumi_core.report.training.chart import MANY, loss_curves


@dataclass(frozen=True, slots=True)
class Training:
    """The loss curve of one stage."""

    name: str
    losses: Sequence[LossPoint]
    note: str = ""


@dataclass(frozen=True, slots=True)
class TrainingView:
    """One plot for all curves."""

    chart: str
    smoothed: bool


def collect(context: ReportContext) -> Sequence[Training]:
    """Every stage that logged a loss."""
    logged = [(stage.name, artifact.manifest.metrics) for stage, artifact in context.built]
    return tuple(
        Training(name, typed(Sequence[LossPoint], metrics["losses"]), metrics.get("note", ""))
        for name, metrics in logged
        if metrics.get("losses")
    )


def view(trainings: Sequence[Training]) -> TrainingView:
    chart = loss_curves([(training.name, training.losses) for training in trainings])
    return TrainingView(chart, any(len(training.losses) > MANY for training in trainings))


SECTION: PageSection[Sequence[Training]] = PageSection("training", Sequence[Training], collect, view)
