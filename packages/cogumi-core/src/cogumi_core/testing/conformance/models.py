"""Contracts of what changes models: compressors and trainers.

Both are slow with a real model, so one run serves all checks of a class (`ran`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cogumi_core.api.errors import Interrupted
from cogumi_core.api.interfaces import RunContext, Services
from cogumi_core.api.types import CompressionReport, Example, ModelRef, TrainReport
from cogumi_core.plugins.host import Provided
from cogumi_core.plugins.registry import Registry
from cogumi_core.store.digests import DigestCache, digest_path
from cogumi_core.testing.conformance.base import ComponentSuite, files_below
from cogumi_core.testing.samples import sample_examples

__all__ = ["CompressorSuite", "ModelSuite", "Ran", "TrainerSuite"]

_FORMAT_SIGNS = {"gguf": "model.gguf", "hf": "config.json"}


@dataclass(frozen=True)
class Ran:
    """What one run did: its report, where it wrote, what it said of its progress, and the input's digest before and after."""

    report: Any
    output: Path
    around: Path
    progress: list[tuple[float, float | None]]
    before: str
    after: str


class ModelSuite(ComponentSuite):
    """What compressors and trainers share: one model in, a folder out."""

    @pytest.fixture(scope="class")
    @classmethod
    def base(cls, smollm2: Path) -> ModelRef:
        """The model handed in: the real SmolLM2-135M-Instruct. Replace it for a component that takes another format."""
        return ModelRef(smollm2, "gguf", digest_path(smollm2, DigestCache(None)))

    @pytest.fixture(scope="class")
    @classmethod
    def class_registry(cls) -> Registry:
        return Registry.installed()

    @pytest.fixture(scope="class")
    @classmethod
    def ran(cls, base: ModelRef, class_registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Ran:
        return cls().run_once(base, class_registry, tmp_path_factory.mktemp("conformance"))

    def run_once(self, base: ModelRef, registry: Registry, folder: Path) -> Ran:
        """Runs the component on `base` in `folder`."""
        progress: list[tuple[float, float | None]] = []

        def note(done: float, total: float | None = None, unit: str = "", **figures: float) -> None:
            progress.append((done, total))

        run, output = _context(registry.services, folder), folder / "output"
        output.mkdir()
        made = registry.create(self.kind, self.component, **self.settings)
        report = self.call(made, base, output, replace(run, progress=note))
        return Ran(report, output, folder, progress, base.digest, digest_path(base.path, DigestCache(None)))

    def call(self, made: Any, base: ModelRef, output: Path, run: RunContext) -> Any:
        raise NotImplementedError

    def test_accepts_and_produces_are_declared(self, provided: Provided) -> None:
        assert provided.component.accepts, "`accepts` names no format: the order of stages cannot be checked"
        assert provided.component.produces, "`produces` names no format"

    def test_input_is_untouched(self, ran: Ran) -> None:
        assert ran.after == ran.before, "the model handed in was changed"

    def test_writes_only_into_output_and_scratch(self, ran: Ran) -> None:
        strangers = {path.name for path in ran.around.iterdir()} - {"output", "scratch"}
        assert not strangers, f"written elsewhere: {strangers}"
        assert files_below(ran.output), "nothing was written"

    def test_output_has_the_promised_format(self, ran: Ran, provided: Provided) -> None:
        sign = _FORMAT_SIGNS.get(provided.component.produces)
        assert sign is None or (ran.output / sign).is_file(), f"a model of format '{provided.component.produces}' has {sign}"

    def test_metrics_are_json(self, ran: Ran) -> None:
        json.dumps(dict(ran.report.metrics), allow_nan=False)

    def test_shows_progress(self, ran: Ran) -> None:
        assert ran.progress, "run.progress was never called: no bar, and no way to interrupt"
        assert all(total is None or done <= total for done, total in ran.progress), "done exceeds total"

    def test_same_input_gives_the_same_files(
        self, ran: Ran, base: ModelRef, class_registry: Registry, provided: Provided, tmp_path: Path
    ) -> None:
        if not provided.component.deterministic or not getattr(ran.report, "deterministic", True):
            pytest.skip("it says it is not deterministic")
        again = self.run_once(base, class_registry, tmp_path)
        assert files_below(again.output) == files_below(ran.output), "the same input gave other bytes"


class CompressorSuite(ModelSuite):
    """A compressor. Replace `base` where it does not take GGUF, and `calibration` where it needs texts."""

    kind = "compressor"

    def calibration(self) -> Iterable[str]:
        """Texts for calibration."""
        return [example.response for example in sample_examples()]

    def call(self, made: Any, base: ModelRef, output: Path, run: RunContext) -> Any:
        return made.compress(base, output, self.calibration(), run)

    def test_reports(self, ran: Ran) -> None:
        assert isinstance(ran.report, CompressionReport)
        json.dumps(dict(ran.report.facts), allow_nan=False)


class TrainerSuite(ModelSuite):
    """A trainer; choose settings with few steps."""

    kind = "trainer"

    def dataset(self) -> Sequence[Example]:
        """What it trains on."""
        return sample_examples(24)

    def call(self, made: Any, base: ModelRef, output: Path, run: RunContext) -> Any:
        return made.train(base, _Examples(self.dataset()), output, run)

    def test_reports_finite_losses(self, ran: Ran) -> None:
        assert isinstance(ran.report, TrainReport)
        assert ran.report.losses, "no loss was recorded"
        assert all(math.isfinite(point.loss) for point in ran.report.losses), "a loss is not finite"

    def test_writes_weights_and_tokenizer(self, ran: Ran) -> None:
        names = {path.name for path in ran.output.rglob("*")}
        assert any(name.endswith(".safetensors") for name in names), "no weights in safetensors"
        assert any(name.startswith("tokenizer") for name in names), "no tokenizer"

    def test_goes_on_after_an_interruption(self, base: ModelRef, class_registry: Registry, tmp_path: Path) -> None:
        run, output = _context(class_registry.services, tmp_path), tmp_path / "output"
        made = class_registry.create(self.kind, self.component, **self.settings)
        output.mkdir()
        with pytest.raises(Interrupted):
            self.call(made, base, output, replace(run, progress=_interrupt_late))
        report = self.call(class_registry.create(self.kind, self.component, **self.settings), base, output, run)
        assert isinstance(report, TrainReport)


class _Examples:
    """A dataset in memory."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = examples

    def __iter__(self) -> Iterator[Example]:
        return iter(self._examples)

    def __len__(self) -> int:
        return len(self._examples)


def _context(services: Services, folder: Path) -> RunContext:
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    return RunContext(seed=17, scratch=scratch, services=services)


def _interrupt_late(done: float, total: float | None = None, unit: str = "", **figures: float) -> None:
    """Stops in the middle, where there is something to resume."""
    if total is not None and done >= total / 2:
        message = "stopped by the conformance suite"
        raise Interrupted(message)
