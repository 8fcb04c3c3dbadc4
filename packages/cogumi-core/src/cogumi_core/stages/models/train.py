"""Training: fits the student on the data set."""

from __future__ import annotations

from typing import ClassVar

from cogumi_core.api.errors import InputError
from cogumi_core.api.interfaces import Trainer
from cogumi_core.api.types import ModelReport
from cogumi_core.formats.dataset import JsonlDataset
from cogumi_core.stages.base import Built, Work
from cogumi_core.stages.models.base import ModelStage


class TrainStage(ModelStage):
    """One trainer over all rows."""

    id: ClassVar[str] = "train"

    def build(self, work: Work) -> Built:
        dataset = training_rows(self.name, work)
        report = work.make(self.steps[0], Trainer).train(self.model(work), dataset, work.output, work.run)
        return self.built(report, loss_summary(report), {})


def training_rows(name: str, work: Work) -> JsonlDataset:
    """The rows to train on. Raises InputError when there are none."""
    dataset = JsonlDataset.open(work.inputs["dataset"].path)
    if not len(dataset):
        message = f"'{name}' has no rows to train on: the data set is empty"
        raise InputError(message)
    return dataset


def loss_summary(report: ModelReport) -> str:
    """`40 steps, loss 2.497 -> 2.310`."""
    if not report.losses:
        return "trained"
    first, last = report.losses[0], report.losses[-1]
    worse = "; it rose, so look at the rows and the learning rate" if last.loss > first.loss else ""
    return f"{last.step} steps, loss {first.loss:.3f} -> {last.loss:.3f}{worse}"
