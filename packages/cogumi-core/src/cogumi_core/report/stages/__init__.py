"""Time, tokens, dollars, size and digest of every stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cogumi_core.api.types import ModelFacts
from cogumi_core.report.context import ReportContext
from cogumi_core.report.section import PageSection
from cogumi_core.report.spend import Spend, spend_of
from cogumi_core.report.wording import count, duration, usd
from cogumi_core.stages.base import Stage
from cogumi_core.store.artifacts import Artifact


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage: what it gave (`artifact`), who did it, and what that took. `facts` are a model's; `spend` is None where no
    teacher was asked."""

    name: str
    artifact: str
    component: str
    distribution: str
    seconds: float
    digest: str
    bytes: int
    summary: str = ""
    facts: ModelFacts | None = None
    spend: Spend | None = None
    deterministic: bool = True
    why_not: str = ""


def collect(context: ReportContext) -> Sequence[StageRow]:
    return tuple(_row(stage, artifact) for stage, artifact in context.built)


def _row(stage: Stage, artifact: Artifact) -> StageRow:
    manifest = artifact.manifest
    return StageRow(
        name=stage.name,
        artifact=manifest.artifact,
        component=stage.component,
        distribution=manifest.distribution,
        seconds=manifest.provenance.get("seconds", 0.0),
        digest=artifact.digest,
        bytes=manifest.size,
        summary=manifest.metrics.get("summary", ""),
        facts=manifest.facts,
        spend=spend_of(artifact),
        deterministic=manifest.deterministic,
        why_not=manifest.why_not,
    )


def view(rows: Sequence[StageRow]) -> Mapping[str, str]:
    """The last line of the table."""
    spends = [row.spend for row in rows if row.spend]
    return {
        "seconds": duration(sum(row.seconds for row in rows)),
        "prompt": count(sum(spend.prompt_tokens for spend in spends)),
        "completion": count(sum(spend.completion_tokens for spend in spends)),
        "usd": usd(sum(spend.usd or 0.0 for spend in spends)),
    }


SECTION: PageSection[Sequence[StageRow]] = PageSection("stages", Sequence[StageRow], collect, view)
