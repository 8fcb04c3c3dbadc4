"""Fills a report from what the store knows: nothing is measured here and nothing is remembered from this run.

So the report of a second run, all hits, equals that of the first, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from pydantic import TypeAdapter

from cogumi_core.api.types import LossPoint, ModifierReport, RouterReport
from cogumi_core.formats.dataset import earlier_drops
from cogumi_core.measure.fidelity import Fidelity
from cogumi_core.recipe.parse import Recipe
from cogumi_core.report.data import (
    Budget,
    CompressionRow,
    DataRow,
    DroppedRow,
    NamedModifier,
    NamedRouter,
    Part,
    ReportData,
    StageRow,
    Training,
)
from cogumi_core.stages.base import Stage
from cogumi_core.stages.chain import REFERENCE
from cogumi_core.stages.models.measure import MeasureStage
from cogumi_core.store.artifacts import Artifact

SAMPLES = 3
NO_ENGINE = "not measured: measuring is off, or no engine is installed (pip install 'cogumi-serve[llama]')"
NOT_RUNNABLE = "not measured: no engine runs this form"
IDENTICAL = "bit-identical when unpacked: quality is that of the stage before"
T = TypeVar("T")
Pairs = list[tuple[Stage, Artifact]]


def collect(
    recipe: Recipe, stages: tuple[Stage, ...], artifacts: Mapping[str, Artifact], shipped: Mapping[str, int] | None = None
) -> ReportData:
    """The report of these artifacts. `shipped`: bytes of each part of a system as it is carried elsewhere."""
    there = [(stage, artifacts[stage.name]) for stage in stages if stage.name in artifacts]
    return ReportData(
        name=recipe.name,
        seed=recipe.seed,
        recipe=recipe.text,
        stages=tuple(_stage(stage, artifact) for stage, artifact in there),
        data=tuple(_data(stage, artifact) for stage, artifact in there if stage.kind == "dataset"),
        trainings=tuple(_trainings(there)),
        compression=tuple(_compression(there, artifacts)),
        fidelity_text=_measured_on(stages),
        modifiers=tuple(_modifiers(there)),
        router=next(_routers(there), None),
        budget=_budget(recipe, there, shipped),
        packages=_packages(artifacts),
    )


def _stage(stage: Stage, artifact: Artifact) -> StageRow:
    manifest, metrics = artifact.manifest, artifact.manifest.metrics
    calls = metrics if stage.name == "distill" else {}
    return StageRow(
        name=stage.name,
        kind=artifact.kind,
        component=stage.component,
        distribution=manifest.distribution,
        hit=False,
        seconds=manifest.provenance.get("seconds", 0.0),
        digest=artifact.digest,
        bytes=manifest.size,
        tokens_prompt=calls.get("prompt_tokens", 0),
        tokens_completion=calls.get("completion_tokens", 0),
        usd=calls.get("usd") or 0.0,
        summary=metrics.get("summary", ""),
        figure=_figure(stage, artifact),
        deterministic=manifest.deterministic,
        why_not=manifest.why_not,
    )


def _figure(stage: Stage, artifact: Artifact) -> str:
    metrics = artifact.manifest.metrics
    if stage.kind == "dataset":
        return f"{metrics.get('kept', metrics.get('rows', 0))} rows"
    if stage.kind == "adapter":
        return f"{metrics['baseline']['share']:.0%} to {metrics['result']['share']:.0%}"
    return ""


def _data(stage: Stage, artifact: Artifact) -> DataRow:
    metrics = artifact.manifest.metrics
    reasons: Mapping[str, int] = metrics.get("dropped", {})
    own = (row for row in earlier_drops(artifact.path) if row["stage"] == stage.name)
    samples = tuple(_dropped(row) for row in islice(own, SAMPLES))
    return DataRow(stage.name, metrics["rows"], metrics.get("kept", metrics["rows"]), sum(reasons.values()), reasons, samples)


def _dropped(row: Mapping[str, Any]) -> DroppedRow:
    inside = row["row"]
    instruction = inside.get("instruction") or " ".join(message["content"] for message in inside.get("messages", ()))
    text = f"{instruction}\n\n{inside['response']}" if "response" in inside else instruction
    return DroppedRow(row["id"], text, row["reason"], row["evidence"])


def _trainings(there: Pairs) -> Iterator[Training]:
    for stage, artifact in there:
        points = artifact.manifest.metrics.get("losses") or ()
        if points:
            yield Training(stage.name, tuple(LossPoint(**point) for point in points), artifact.manifest.metrics.get("note", ""))


def _compression(there: Pairs, artifacts: Mapping[str, Artifact]) -> Iterator[CompressionRow]:
    measured = {stage.inputs["candidate"]: artifact for stage, artifact in there if isinstance(stage, MeasureStage)}
    for stage, artifact in there:
        metrics = artifact.manifest.metrics
        if "lossless" not in metrics:
            continue  # not a compression
        fidelity = _read(Fidelity, measured[stage.name]) if stage.name in measured else None
        note = "" if fidelity else _why_unmeasured(stage, artifact)
        yield CompressionRow(stage.name, metrics["bytes"], metrics.get("bits_per_weight"), fidelity, note)


def _why_unmeasured(stage: Stage, artifact: Artifact) -> str:
    if stage.name == REFERENCE:
        return "the uncompressed student, which the others are compared with"
    if artifact.manifest.metrics["lossless"]:
        return IDENTICAL
    return NO_ENGINE if artifact.model().format == "gguf" else NOT_RUNNABLE


def _measured_on(stages: tuple[Stage, ...]) -> str:
    stage = next((stage for stage in stages if isinstance(stage, MeasureStage)), None)
    return f"{stage.text.name}, windows of {stage.context} tokens" if stage else ""


def _modifiers(there: Pairs) -> Iterator[NamedModifier]:
    for stage, artifact in there:
        if stage.kind == "adapter":
            yield NamedModifier(stage.component, _read(ModifierReport, artifact))


def _routers(there: Pairs) -> Iterator[NamedRouter]:
    for stage, artifact in there:
        if stage.kind == "router":
            yield NamedRouter(stage.component, _read(RouterReport, artifact))


def _read(kind: type[T], artifact: Artifact) -> T:
    """The report that a stage stored among its artifact's metrics."""
    known = {key: value for key, value in artifact.manifest.metrics.items() if key != "summary"}
    return TypeAdapter(kind).validate_python(known)


def _budget(recipe: Recipe, there: Pairs, shipped: Mapping[str, int] | None) -> Budget:
    spent = sum(artifact.manifest.metrics.get("usd") or 0.0 for stage, artifact in there if stage.name == "distill")
    parts = tuple(Part(name, size) for name, size in (shipped or {}).items())
    return Budget(parts, recipe.budget.bytes if parts else None, spent, recipe.budget.usd)


def _packages(artifacts: Mapping[str, Artifact]) -> dict[str, str]:
    found: dict[str, str] = {}
    for artifact in artifacts.values():
        found |= artifact.manifest.provenance.get("packages", {})
    return dict(sorted(found.items()))
