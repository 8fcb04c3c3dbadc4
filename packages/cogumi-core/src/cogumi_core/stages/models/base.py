"""What stages that work on a model have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from cogumi_core.api.errors import InputError, PluginError
from cogumi_core.api.types import ModelFacts, ModelRef, ModelReport
from cogumi_core.stages.base import Built, Stage, Work, declared


@dataclass(frozen=True, kw_only=True)
class ModelStage(Stage):
    """A stage whose model comes from an earlier stage, or from the recipe's `student:` where there is none."""

    artifact: ClassVar[str] = "model"

    def model(self, work: Work) -> ModelRef:
        """The model to start from. Raises InputError when the recipe names none."""
        for role in ("model", "runnable"):
            if role in work.inputs:
                return work.inputs[role].model()
        if work.run.services.student is None:
            message = f"'{self.name}' needs a model: add `student:` to the recipe"
            raise InputError(message)
        return work.run.services.student

    def built(self, report: object, summary: str, metrics: dict[str, Any]) -> Built:
        """The report of the component as the stage's result. Raises PluginError for a report of another type, or without
        facts."""
        if not isinstance(report, ModelReport) or not isinstance(report.facts, ModelFacts):
            message = (
                f"'{self.component}' reported {type(report).__name__}; a ModelReport with the facts of its result is expected"
            )
            raise PluginError(message)
        declares, why = declared(self.steps)
        losses = {"losses": [{"step": p.step, "loss": p.loss, "learning_rate": p.learning_rate} for p in report.losses]}
        return Built(
            summary,
            {**metrics, **(losses if report.losses else {}), **report.metrics},
            facts=report.facts,
            format=self.steps[-1].component.produces,
            deterministic=declares and report.deterministic,
            why_not=report.why_not or why,
        )


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def path_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return folder_bytes(path) if path.is_dir() else path.stat().st_size
