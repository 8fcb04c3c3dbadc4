"""What each step did to the model: its size, its facts, and what that cost in quality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cogumi_core.api.types import ModelFacts
from cogumi_core.measure.fidelity import Fidelity
from cogumi_core.plugins.catalogue import distribution_for
from cogumi_core.report.context import ReportContext
from cogumi_core.report.plain import report_in
from cogumi_core.report.section import Highlight, PageSection
from cogumi_core.report.wording import signed_percent
from cogumi_core.stages.base import Stage
from cogumi_core.stages.chain import REFERENCE, runnable_formats
from cogumi_core.stages.models.measure import MeasureStage
from cogumi_core.stages.models.train import TrainStage
from cogumi_core.store.artifacts import Artifact


@dataclass(frozen=True, slots=True)
class CompressionRow:
    """One step of the model's size. Without `fidelity`, `note` says why: "bit-identical", "not measured: ..."."""

    stage: str
    bytes: int
    bits_per_weight: float | None = None
    fidelity: Fidelity | None = None
    note: str = ""
    facts: ModelFacts | None = None


@dataclass(frozen=True, slots=True)
class Compression:
    """The steps in order; `measured_on` says which text their quality was measured on."""

    rows: Sequence[CompressionRow]
    measured_on: str = ""


def collect(context: ReportContext) -> Compression | None:
    """Every stage that gave a model, a plugin's own among them; training has a section of its own."""
    rows = tuple(_rows(context))
    stage = next((stage for stage in context.stages if isinstance(stage, MeasureStage)), None)
    return Compression(rows, f"{stage.text.name}, windows of {stage.context} tokens" if stage else "") if rows else None


def _rows(context: ReportContext) -> Iterator[CompressionRow]:
    measured = {stage.inputs["candidate"]: artifact for stage, artifact in context.built if isinstance(stage, MeasureStage)}
    for stage, artifact in context.built:
        if stage.artifact != "model" or isinstance(stage, TrainStage):
            continue
        manifest = artifact.manifest
        fidelity = report_in(measured[stage.name].manifest.metrics, Fidelity) if stage.name in measured else None
        note = "" if fidelity else _why_unmeasured(context, stage, artifact)
        weight = manifest.metrics.get("bits_per_weight")
        yield CompressionRow(stage.name, manifest.size, weight, fidelity, note, manifest.facts)


def _why_unmeasured(context: ReportContext, stage: Stage, artifact: Artifact) -> str:
    engine = context.recipe.engine
    if stage.name == REFERENCE:
        return "the uncompressed student, which the others are compared with"
    if artifact.manifest.metrics.get("lossless"):
        return "bit-identical when unpacked: quality is that of the stage before"
    if not context.recipe.measure.enabled:
        return "not measured: the recipe has measuring off"
    if engine is None:
        known = distribution_for(kind="engine")
        return f"not measured: no engine is installed{f' (pip install {known})' if known else ''}"
    if artifact.manifest.format not in runnable_formats(context.registry, engine):
        return f"not measured: the engine '{engine.name}' does not run this form"
    return "not measured: there is no uncompressed model in a form that the engine runs"


def highlights(data: Compression) -> Iterator[Highlight]:
    """What the last measured step cost."""
    measured = [(row.stage, row.fidelity) for row in data.rows if row.fidelity]
    if measured:
        stage, last = measured[-1]
        change = last.bits_per_byte / last.bits_per_byte_reference - 1 if last.bits_per_byte_reference else 0.0
        meaning = f"bits per byte of held-out text after {stage}, against the uncompressed student; lower is better"
        yield Highlight("Compression", signed_percent(change), meaning)


SECTION: PageSection[Compression] = PageSection("compression", Compression, collect, highlights=highlights)
