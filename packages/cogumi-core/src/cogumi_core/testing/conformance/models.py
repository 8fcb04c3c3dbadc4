"""What compressors, trainers and modifiers share: one model in, a folder out, a report.

All are slow with a real model, so one run serves all checks of a class (`ran`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from cogumi_core.api.component import Provided
from cogumi_core.api.interfaces import RunContext
from cogumi_core.api.types import ModelFacts, ModelRef, ModelReport
from cogumi_core.plugins.guard import stage_running
from cogumi_core.plugins.registry import Registry
from cogumi_core.store.digests import DigestCache, digest_path
from cogumi_core.testing.conformance.base import ComponentSuite, files_below
from cogumi_core.testing.conformance.facts import untrue
from cogumi_core.testing.context import a_run

__all__ = ["CLAIMED", "ModelSuite", "Ran", "ReportedModelSuite"]

FORMAT_SIGNS: Final = {"gguf": "model.gguf", "hf": "config.json"}
CLAIMED: Final = ModelFacts(quantisation="claimed-by-the-suite")
"""What the suite says of the model handed in. No file bears it out, so it shows whether facts are copied blindly."""


@dataclass(frozen=True)
class Ran:
    """What one run did: the model handed in, the report, where it wrote, what it said of its progress, and the input's digest
    after it."""

    base: ModelRef
    report: Any
    output: Path
    around: Path
    progress: list[tuple[float, float | None]]
    after: str


class ModelSuite(ComponentSuite):
    """One model in, a folder out."""

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
    def class_settings(cls) -> Mapping[str, Any]:
        """The component's settings, for those that name files."""
        return cls.settings

    @pytest.fixture(scope="class")
    @classmethod
    def ran(
        cls,
        base: ModelRef,
        class_registry: Registry,
        class_settings: Mapping[str, Any],
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Ran:
        return cls().run_once(base, class_registry, class_settings, tmp_path_factory.mktemp("conformance"))

    def run_once(self, base: ModelRef, registry: Registry, settings: Mapping[str, Any], folder: Path) -> Ran:
        """Runs the component on `base` in `folder`."""
        progress: list[tuple[float, float | None]] = []

        def note(done: float, total: float | None = None, unit: str = "", **figures: float) -> None:
            progress.append((done, total))

        given = base if base.facts != ModelFacts() else replace(base, facts=CLAIMED)
        before = digest_path(base.path, DigestCache(None))
        run, output = self.context(registry, given, folder), folder / "output"
        output.mkdir()
        with stage_running("conformance"):
            report = self.call(
                registry.create(self.kind, self.component, **settings), given, output, replace(run, progress=note)
            )
        after = digest_path(base.path, DigestCache(None))
        return Ran(replace(given, digest=before), report, output, folder, progress, after)

    def context(self, registry: Registry, base: ModelRef, folder: Path) -> RunContext:
        """What the stage would give."""
        return a_run(folder, registry=registry.with_services(student=base))

    def call(self, made: Any, base: ModelRef, output: Path, run: RunContext) -> Any:
        raise NotImplementedError

    def test_accepts_formats(self, provided: Provided) -> None:
        assert provided.component.accepts, "`accepts` names no format: the order of stages cannot be checked"

    def test_input_is_untouched(self, ran: Ran) -> None:
        assert ran.after == ran.base.digest, "the model handed in was changed"

    def test_writes_only_into_output_and_scratch(self, ran: Ran) -> None:
        strangers = {path.name for path in ran.around.iterdir()} - {"output", "scratch", "calls", "given"}
        assert not strangers, f"written elsewhere: {strangers}"
        assert files_below(ran.output), "nothing was written"

    def test_metrics_are_json(self, ran: Ran) -> None:
        json.dumps(dict(ran.report.metrics), allow_nan=False)

    def test_says_why_a_run_is_not_deterministic(self, ran: Ran, provided: Provided) -> None:
        declared = provided.component.why_not
        assert ran.report.deterministic or ran.report.why_not or declared, "deterministic=False needs why_not"

    def test_shows_progress(self, ran: Ran) -> None:
        assert ran.progress, "run.progress was never called: no bar, and no way to interrupt"
        assert all(total is None or done <= total for done, total in ran.progress), "done exceeds total"

    def test_same_input_gives_the_same_files(
        self,
        ran: Ran,
        base: ModelRef,
        class_registry: Registry,
        class_settings: Mapping[str, Any],
        provided: Provided,
        tmp_path: Path,
    ) -> None:
        if not provided.component.deterministic or not ran.report.deterministic:
            pytest.skip("it says it is not deterministic")
        again = self.run_once(base, class_registry, class_settings, tmp_path)
        assert files_below(again.output) == files_below(ran.output), "the same input gave other bytes"


class ReportedModelSuite(ModelSuite):
    """What compressors and trainers owe besides: a model in the promised format, and its facts."""

    def test_produces_a_format(self, provided: Provided) -> None:
        assert provided.component.produces, "`produces` names no format"

    def test_output_has_the_promised_format(self, ran: Ran, provided: Provided) -> None:
        sign = FORMAT_SIGNS.get(provided.component.produces)
        assert sign is None or (ran.output / sign).is_file(), f"a model of format '{provided.component.produces}' has {sign}"

    def test_reports_facts(self, ran: Ran) -> None:
        assert isinstance(ran.report, ModelReport), f"it reported {type(ran.report).__name__}, not a ModelReport"
        assert isinstance(ran.report.facts, ModelFacts), f"its facts are {type(ran.report.facts).__name__}, not ModelFacts"
        json.dumps(asdict(ran.report.facts), allow_nan=False)
        assert all(0 <= share <= 1 for share in ran.report.facts.sparsity.values()), "a sparsity is no share"

    def test_facts_are_of_its_result(self, ran: Ran, provided: Provided) -> None:
        """The suite claims what is not so of the model handed in. A packed model is the same, and keeps what is said of it."""
        facts, component = ran.report.facts, provided.component
        if component.packs:
            assert facts == ran.base.facts, "it packs, so the facts of the model stay as they are"
            return
        wrong = untrue(facts, ran.output, component.produces)
        assert not wrong, f"its facts are not true of what it wrote: {'; '.join(wrong)}"
        if component.produces != ran.base.format:
            assert facts.quantisation != CLAIMED.quantisation, (
                "facts.quantisation is what was said of the model handed in, though its weights were written anew"
            )
