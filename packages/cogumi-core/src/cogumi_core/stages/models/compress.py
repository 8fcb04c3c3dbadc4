"""Compression: one step that makes the model smaller, or a trainer that recovers what a step before it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from cogumi_core.api.errors import PluginError
from cogumi_core.api.interfaces import Compressor, RunContext, Trainer
from cogumi_core.api.types import ModelRef, ModelReport
from cogumi_core.formats.dataset import JsonlDataset
from cogumi_core.stages.base import UNCOMPRESSED, Built, Roles, Work, uses_of
from cogumi_core.stages.models.base import ModelStage, folder_bytes, path_bytes
from cogumi_core.stages.models.calibration import CalibrationTexts
from cogumi_core.stages.models.train import loss_summary, training_rows

if TYPE_CHECKING:
    from cogumi_core.api.sections import Section
    from cogumi_core.recipe.form import Step


class CompressStage(ModelStage):
    """The component says which facts hold of its result; the stage passes none on by itself."""

    id: ClassVar[str] = "compress"

    @classmethod
    def wiring(cls, section: Section, steps: Sequence[Step], roles: Roles) -> dict[str, str]:
        """The rows only for a component that looks at them, the uncompressed model only for one that asks for it: what is
        wired is part of the fingerprint."""
        found = super().wiring(section, steps, roles)
        uses = {name for step in steps for name in uses_of(step)}
        if "dataset" not in uses and "calibration" not in uses:
            found.pop("dataset", None)
        if "reference" in uses and roles.get(UNCOMPRESSED):
            found["reference"] = roles[UNCOMPRESSED][-1]
        return found

    def build(self, work: Work) -> Built:
        model, (step,) = self.model(work), self.steps
        run = self._context(work, model)
        if step.kind == "trainer":
            rows = training_rows(self.name, work)
            report: ModelReport = work.make(step, Trainer).train(model, rows, work.output, run)
        else:
            report = work.make(step, Compressor).compress(model, work.output, run)
        size, before = folder_bytes(work.output), path_bytes(model.path)
        if not size:
            message = f"'{self.component}' reported success but wrote nothing; see the contract of {step.kind.capitalize()}"
            raise PluginError(message)
        summary = f"{before / 1e6:.1f} MB -> {size / 1e6:.1f} MB"
        if step.kind == "trainer":
            summary = f"{loss_summary(report)}; {summary}"
        metrics: dict[str, Any] = {
            "bytes": size,
            "bytes_before": before,
            "lossless": report.lossless,
            "format": step.component.produces,
        }
        return self.built(report, summary, metrics)

    def _context(self, work: Work, model: ModelRef) -> RunContext:
        """What only this section gives, to those that ask for it: the uncompressed model, and rows to calibrate with."""
        run = work.run
        if "reference" in work.inputs:
            run = replace(run, reference=work.inputs["reference"].model())
        elif "reference" in uses_of(self.steps[0]):
            run = replace(run, reference=run.services.student)
        if "dataset" in work.inputs:
            dataset = JsonlDataset.open(work.inputs["dataset"].path)
            run = replace(run, dataset=dataset, calibration=CalibrationTexts(dataset, model))
        return run
