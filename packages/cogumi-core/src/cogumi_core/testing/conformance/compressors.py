"""The contract of compressors: see `models`; what is theirs alone is what they calibrate with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import ModelRef
from cogumi_core.plugins.registry import Registry
from cogumi_core.testing.conformance.models import ReportedModelSuite
from cogumi_core.testing.samples import sample_examples, written_dataset

__all__ = ["CompressorSuite"]


class CompressorSuite(ReportedModelSuite):
    """A compressor. Replace `base` where it does not take GGUF, and `calibration` where it needs other texts."""

    kind = "compressor"

    def calibration(self) -> Sequence[str]:
        """Texts to calibrate with, as conversations rendered by a chat template."""
        return [f"user: {example.instruction}\nassistant: {example.response}\n" for example in sample_examples()]

    def context(self, registry: Registry, base: ModelRef, folder: Path) -> RunContext:
        """Rows and calibration texts are there only for a component that `uses` them, as in a run."""
        run = super().context(registry, base, folder)
        if "calibration" not in registry.get(self.kind, self.component).component.uses:
            return replace(run, reference=base)
        dataset = written_dataset(folder / "given", sample_examples())
        return replace(run, reference=base, dataset=dataset, calibration=self.calibration())

    def call(self, made: Any, base: ModelRef, output: Path, run: RunContext) -> Any:
        return made.compress(base, output, run)
