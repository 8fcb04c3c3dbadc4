"""Modifiers and the router: what answers where the base fails, and what decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import ClassVar

from cogumi_core.api.errors import PluginError
from cogumi_core.api.types import Message, ModifierReport, RouteExample, RouterReport
from cogumi_core.formats.dataset import JsonlDataset
from cogumi_core.formats.rows import read_rows, route_example_from_row
from cogumi_core.stages.base import Built, Stage, Work, declared
from cogumi_core.stages.models.models import ModelStage
from cogumi_core.store.artifacts import Artifact
from cogumi_core.store.fingerprint import sha256_text

ADAPTER = "adapter.gguf"
OUTCOMES = "outcomes.jsonl"
HELD_OUT_SHARE = 0.2


class ModifierStage(ModelStage):
    """One domain's adapter, for exactly the base that will be served. A refused one is kept, with its report, and stays out
    of the system."""

    kind: ClassVar[str] = "adapter"

    def build(self, work: Work) -> Built:
        report: ModifierReport = work.make(self.steps[0]).build(self.model(work), work.output, work.run)
        for name in (ADAPTER, OUTCOMES):
            if not (work.output / name).exists():
                message = f"modifier '{self.component}' wrote no {name}; see the contract of Modifier"
                raise PluginError(message)
        verdict = "accepted" if report.accepted else f"refused: {report.reason}"
        result, baseline = report.result, report.baseline
        summary = f"{result.share:.1%} against {baseline.share:.1%} of {result.n} held-out tasks; {verdict}"
        declares, why = declared(self.steps)
        return Built(
            summary,
            asdict(report),
            deterministic=declares and report.deterministic,
            why_not=report.why_not or why,
        )


@dataclass(frozen=True, kw_only=True)
class RouterStage(Stage):
    """Learns when the base is right from its graded answers on each modifier's tasks, and from the dataset's prompts which
    other domains there are."""

    kind: ClassVar[str] = "router"

    def build(self, work: Work) -> Built:
        modifiers = [artifact for role, artifact in sorted(work.inputs.items()) if role.startswith("modifier")]
        examples = [*_outcomes(modifiers), *_general(work.inputs.get("dataset"))]
        report: RouterReport = work.make(self.steps[0]).fit(examples, work.output, work.run)
        declares, why = declared(self.steps)
        return Built(_router_summary(report), asdict(report), deterministic=declares, why_not=why)


def _outcomes(modifiers: list[Artifact]) -> Iterator[RouteExample]:
    for artifact in modifiers:
        yield from (route_example_from_row(row) for _, row in read_rows(artifact.path / OUTCOMES))


def _general(dataset: Artifact | None) -> Iterator[RouteExample]:
    """The data's prompts, ungraded: what queries of other domains look like."""
    for example in JsonlDataset.open(dataset.path) if dataset else ():
        # The split follows from the id alone, so that it does not change when rows come or go.
        held_out = int(sha256_text(example.id)[:8], 16) / 2**32 < HELD_OUT_SHARE
        messages = (Message("user", example.instruction),)
        domain = str(example.metadata.get("domain", "general"))
        yield RouteExample(messages, domain, "held-out" if held_out else "fit")


def _router_summary(report: RouterReport) -> str:
    parts = [f"fitted on {report.n_fit} graded answers"]
    if report.auroc is not None:
        parts.append(f"AUROC {report.auroc:.2f}")
    if report.ece is not None:
        parts.append(f"ECE {report.ece:.3f}")
    if report.escalated is not None:
        parts.append(f"{report.escalated:.0%} of {report.n_held_out} held-out answers escalated")
    return ", ".join(parts)
