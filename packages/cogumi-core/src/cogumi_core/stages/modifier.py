"""Modifiers: adapters for what the base fails at."""

from __future__ import annotations

from dataclasses import asdict
from typing import ClassVar, Final

from cogumi_core.api.errors import PluginError
from cogumi_core.api.interfaces import Modifier
from cogumi_core.api.types import ModifierReport
from cogumi_core.stages.base import Built, Work, declared
from cogumi_core.stages.models.base import ModelStage

ADAPTER: Final = "adapter.gguf"
OUTCOMES: Final = "outcomes.jsonl"


class ModifierStage(ModelStage):
    """One domain's adapters, for exactly the base that will be served. Refused ones are kept, with their report, and stay out
    of the system."""

    id: ClassVar[str] = "modifier"
    artifact: ClassVar[str] = "adapter"

    def build(self, work: Work) -> Built:
        report = work.make(self.steps[0], Modifier).build(self.model(work), work.output, work.run)
        if not isinstance(report, ModifierReport) or not report.offers:
            message = f"modifier '{self.component}' offered no adapter; a ModifierReport with at least one is expected"
            raise PluginError(message)
        for offer in report.offers:
            for name in (ADAPTER, OUTCOMES):
                if not (work.output / offer.folder / name).exists():
                    message = f"modifier '{self.component}' wrote no {offer.folder}/{name}; see the contract of Modifier"
                    raise PluginError(message)
        best, baseline = report.offers[0], report.baseline
        verdict = "accepted" if report.accepted else f"refused: {best.reason}"
        more = f", the best of {len(report.offers)} adapters" if len(report.offers) > 1 else ""
        summary = f"{best.result.share:.1%} against {baseline.share:.1%} of {best.result.n} held-out tasks{more}; {verdict}"
        declares, why = declared(self.steps)
        return Built(
            summary,
            asdict(report),
            deterministic=declares and report.deterministic,
            why_not=report.why_not or why,
        )
