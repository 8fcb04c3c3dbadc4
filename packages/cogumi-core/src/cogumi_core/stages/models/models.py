"""Training and compression: stages that take a model and give one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from cogumi_core.api.errors import InputError, PluginError
from cogumi_core.api.types import CompressionReport, ModelRef, TrainReport
from cogumi_core.formats.dataset import JsonlDataset
from cogumi_core.stages.base import Built, Stage, Work, declared
from cogumi_core.store.artifacts import Artifact

CALIBRATION_ROWS = 2048  # the specification's number of calibration samples; a compressor takes as many as it wants


@dataclass(frozen=True, kw_only=True)
class ModelStage(Stage):
    """A stage whose model comes from an earlier stage, or from the recipe's `student:` where there is none."""

    kind: ClassVar[str] = "model"

    def model(self, work: Work) -> ModelRef:
        """The model to start from. Raises InputError when the recipe names none."""
        if "model" in work.inputs:
            return work.inputs["model"].model()
        if work.run.services.student is None:
            message = f"'{self.name}' needs a model: add `student:` to the recipe"
            raise InputError(message)
        return work.run.services.student


class TrainStage(ModelStage):
    """Fits the student on the dataset."""

    def build(self, work: Work) -> Built:
        dataset = JsonlDataset.open(work.inputs["dataset"].path)
        if not len(dataset):
            message = f"'{self.name}' has no rows to train on: the data set is empty"
            raise InputError(message)
        base = self.model(work)
        report: TrainReport = work.make(self.steps[0]).train(base, dataset, work.output, work.run)
        declares, why = declared(self.steps)
        metrics = {"losses": [asdict(point) for point in report.losses], **report.metrics}
        return Built(
            _loss_summary(report),
            metrics,
            facts=base.facts,
            deterministic=declares and report.deterministic,
            why_not=report.why_not or why,
        )


def _loss_summary(report: TrainReport) -> str:
    if not report.losses:
        return "trained"
    first, last = report.losses[0], report.losses[-1]
    return f"{last.step} steps, loss {first.loss:.3f} -> {last.loss:.3f}"


class CompressStage(ModelStage):
    """One compressor. Facts of earlier stages travel on, so that what they did can be honoured."""

    def build(self, work: Work) -> Built:
        model = self.model(work)
        texts = _calibration(work.inputs.get("dataset"))
        report: CompressionReport = work.make(self.steps[0]).compress(model, work.output, texts, work.run)
        size = folder_bytes(work.output)
        if not size:
            message = f"compressor '{self.component}' reported success but wrote nothing; see the contract of Compressor"
            raise PluginError(message)
        before = path_bytes(model.path)
        produced = self.steps[0].component.produces
        metrics = {"bytes": size, "bytes_before": before, "lossless": report.lossless, "format": produced, **report.metrics}
        deterministic, why_not = declared(self.steps)
        summary = f"{before / 1e6:.1f} MB -> {size / 1e6:.1f} MB"
        return Built(summary, metrics, {**model.facts, **report.facts}, deterministic, why_not)


def _calibration(dataset: Artifact | None) -> Iterator[str]:
    """Texts of the training data, the same distribution as the model was fitted on; none without a dataset."""
    if dataset is None:
        return
    for count, example in enumerate(JsonlDataset.open(dataset.path)):
        if count >= CALIBRATION_ROWS:
            return
        yield f"{example.instruction}\n{example.response}"


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def path_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return folder_bytes(path) if path.is_dir() else path.stat().st_size
