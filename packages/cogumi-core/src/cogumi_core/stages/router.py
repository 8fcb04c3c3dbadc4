"""The router: learns when the base is right from its graded answers on each modifier's tasks, and from the dataset's prompts
which other domains there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar, Final

from cogumi_core.api.interfaces import Router
from cogumi_core.api.types import RouteExample, RouterReport
from cogumi_core.formats.dataset import JsonlDataset
from cogumi_core.formats.rows import read_rows, route_example_from_row
from cogumi_core.stages.base import Built, Roles, Stage, Work, declared
from cogumi_core.stages.choose import chosen_folders
from cogumi_core.stages.modifier import OUTCOMES
from cogumi_core.store.artifacts import Artifact
from cogumi_core.store.fingerprint import sha256_text

if TYPE_CHECKING:
    from cogumi_core.api.sections import Section
    from cogumi_core.recipe.form import Step

HELD_OUT_SHARE: Final = 0.2


class RouterStage(Stage):
    """Of each modifier, the outcomes of the adapter that the system carries; of one that is left out, those of its best."""

    id: ClassVar[str] = "router"
    artifact: ClassVar[str] = "router"

    @classmethod
    def wiring(cls, section: Section, steps: Sequence[Step], roles: Roles) -> dict[str, str]:
        choice = roles.get("choice", ())
        return super().wiring(section, steps, roles) | ({"choice": choice[-1]} if choice else {})

    def build(self, work: Work) -> Built:
        examples = [*_outcomes(work), *_general(work.inputs.get("dataset"))]
        report: RouterReport = work.make(self.steps[0], Router).fit(examples, work.output, work.run)
        declares, why = declared(self.steps)
        return Built(_summary(report), asdict(report), deterministic=declares, why_not=why)


def _outcomes(work: Work) -> Iterator[RouteExample]:
    chosen = chosen_folders(work.inputs["choice"]) if "choice" in work.inputs else []
    for index, (_, folder) in enumerate(chosen):
        artifact = work.inputs[f"adapters[{index}]"]
        best = artifact.manifest.metrics["offers"][0]["folder"]
        yield from (route_example_from_row(row) for _, row in read_rows(artifact.path / (folder or best) / OUTCOMES))


def _general(dataset: Artifact | None) -> Iterator[RouteExample]:
    """The data's prompts, ungraded: what queries of other domains look like."""
    for example in JsonlDataset.open(dataset.path) if dataset else ():
        # The split follows from the id alone, so that it does not change when rows come or go.
        held_out = int(sha256_text(example.id)[:8], 16) / 2**32 < HELD_OUT_SHARE
        domain = str(example.metadata.get("domain", "general"))
        yield RouteExample(example.prompt, domain, "held-out" if held_out else "fit", has_schema=bool(example.tools))


def _summary(report: RouterReport) -> str:
    parts = [f"fitted on {report.n_fit} graded answers"]
    if report.auroc is not None:
        parts.append(f"AUROC {report.auroc:.2f}")
    if report.ece is not None:
        parts.append(f"ECE {report.ece:.3f}")
    if report.escalated is not None:
        parts.append(f"{report.escalated:.0%} of {report.n_held_out} held-out answers escalated")
    return ", ".join(parts)
