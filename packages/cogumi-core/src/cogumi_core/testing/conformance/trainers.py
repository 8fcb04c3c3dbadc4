"""The contract of trainers: see `models`; and losses, and going on after an interruption."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cogumi_core.api.errors import Interrupted
from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import Example, ModelRef, ModelReport
from cogumi_core.plugins.registry import Registry
from cogumi_core.testing.conformance.models import Ran, ReportedModelSuite
from cogumi_core.testing.samples import sample_conversations, sample_examples, written_dataset

__all__ = ["TrainerSuite"]


class TrainerSuite(ReportedModelSuite):
    """A trainer; choose settings with few steps."""

    kind = "trainer"

    def dataset(self) -> Sequence[Example]:
        """What it trains on."""
        return [*sample_examples(20), *sample_conversations()]

    def context(self, registry: Registry, base: ModelRef, folder: Path) -> RunContext:
        return replace(super().context(registry, base, folder), reference=base)

    def call(self, made: Any, base: ModelRef, output: Path, run: RunContext) -> Any:
        rows = written_dataset(output.parent / "given", self.dataset())
        return made.train(base, rows, output, run)

    def test_reports_finite_losses(self, ran: Ran) -> None:
        assert ran.report.losses, "no loss was recorded"
        assert all(math.isfinite(point.loss) for point in ran.report.losses), "a loss is not finite"
        steps = [point.step for point in ran.report.losses]
        assert steps == sorted(set(steps)), "steps are not in order, each once"

    def test_writes_weights_and_tokenizer(self, ran: Ran) -> None:
        names = {path.name for path in ran.output.rglob("*")}
        assert any(name.endswith(".safetensors") for name in names), "no weights in safetensors"
        assert any(name.startswith("tokenizer") for name in names), "no tokenizer"

    def test_goes_on_after_an_interruption(
        self, base: ModelRef, class_registry: Registry, class_settings: Mapping[str, Any], tmp_path: Path
    ) -> None:
        run, output = self.context(class_registry, base, tmp_path), tmp_path / "output"
        made = class_registry.create(self.kind, self.component, **class_settings)
        output.mkdir()
        with pytest.raises(Interrupted):
            self.call(made, base, output, replace(run, progress=_interrupt_late))
        report = self.call(class_registry.create(self.kind, self.component, **class_settings), base, output, run)
        assert isinstance(report, ModelReport)


def _interrupt_late(done: float, total: float | None = None, unit: str = "", **figures: float) -> None:
    """Stops in the middle, where there is something to resume."""
    if total is not None and done >= total / 2:
        message = "stopped by the conformance suite"
        raise Interrupted(message)
