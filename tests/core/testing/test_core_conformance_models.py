"""The suites of what changes models: facts are of the result, offers are what lies in their folders."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from conformance_support import Isolated, checks, offered

from cogumi_core import (
    AdapterOffer,
    Component,
    Interval,
    LossPoint,
    Message,
    ModelFacts,
    ModelRef,
    ModelReport,
    ModifierReport,
    RouteExample,
    RunContext,
    Vocabulary,
)
from cogumi_core.api.component import Provided
from cogumi_core.formats.rows import route_example_row, write_rows
from cogumi_core.testing import CompressorSuite, IsolatedPlugins, ModifierSuite, TrainerSuite
from cogumi_core.testing.conformance.facts import untrue, zeros
from cogumi_core.testing.conformance.models import CLAIMED, Ran

ZEROS = 0.25


def write_weights(folder: Path, sparsity: float = 0.0) -> Path:
    """A folder that looks like a Hugging Face model: one matrix of a feed-forward layer, a share of it zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = np.ones((8, 8), dtype="<f4")
    weights.ravel()[: round(sparsity * weights.size)] = 0
    header = {"model.layers.0.mlp.up_proj.weight": {"dtype": "F32", "shape": [8, 8], "data_offsets": [0, weights.nbytes]}}
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + weights.tobytes())
    (folder / "config.json").write_text('{"vocab_size": 10}')
    (folder / "tokenizer.json").write_text("{}")
    return folder


class Prune:
    """Sets a quarter of the weights to zero, and says so."""

    facts: ClassVar[ModelFacts] = ModelFacts(sparsity={"ffn": ZEROS})

    def __init__(self, settings: Any = None, services: Any = None) -> None:
        pass

    def compress(self, model: ModelRef, output: Path, run: RunContext) -> ModelReport:
        run.progress(1, 1, "layers")
        write_weights(output, ZEROS)
        return ModelReport(self.facts)


class Fit:
    """Trains nothing, but keeps what a trainer owes."""

    def __init__(self, settings: Any = None, services: Any = None) -> None:
        pass

    def train(self, base: ModelRef, dataset: Any, output: Path, run: RunContext) -> ModelReport:
        for step in (1, 2):
            run.progress(step, 2, "steps")
        write_weights(output)
        return ModelReport(ModelFacts(), (LossPoint(1, 2.0, 1e-3), LossPoint(2, 1.5, 1e-3)))


class Adapt:
    """Offers two adapters, the second refused."""

    def __init__(self, settings: Any = None, services: Any = None) -> None:
        pass

    def build(self, base: ModelRef, output: Path, run: RunContext) -> ModifierReport:
        run.progress(1, 1, "adapters")
        offers = []
        for rank, accepted in ((8, True), (4, False)):
            folder = output / f"rank-{rank}"
            folder.mkdir()
            (folder / "adapter.gguf").write_bytes(b"GGUF" + bytes(rank))
            route = RouteExample((Message("user", "2+2?"),), "math", "fit", "4", (-0.1,), True)
            write_rows(folder / "outcomes.jsonl", [route_example_row(route)])
            result = Interval(0.5, 0.2, 0.8, 10)
            offers.append(
                AdapterOffer(folder.name, rank, 4 + rank, result, 3, 1, 0.6, accepted, "it won" if accepted else "no")
            )
        return ModifierReport("math", Interval(0.3, 0.1, 0.6, 10), offers)


class _OnTinyWeights(Isolated):
    more: ClassVar[dict[str, Any]] = {"accepts": frozenset({"hf"}), "produces": "hf"}

    @pytest.fixture(scope="class")
    @classmethod
    def base(cls, tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
        return ModelRef(write_weights(tmp_path_factory.mktemp("base") / "tiny"), "hf", "")


class TestCompressor(_OnTinyWeights, CompressorSuite):
    factory = Prune


class TestTrainer(_OnTinyWeights, TrainerSuite):
    factory = Fit


class TestModifier(_OnTinyWeights, ModifierSuite):
    factory = Adapt
    more: ClassVar[dict[str, Any]] = {"accepts": frozenset({"hf"})}


# --- and what breaks one clause each ---------------------------------------------------------------------------------------


def ran(folder: Path, report: Any, **changes: Any) -> Ran:
    """What a run left that wrote pruned weights."""
    output = write_weights(folder / "output", ZEROS)
    base = ModelRef(folder / "given", "gguf", "sha256:1", CLAIMED)
    return replace(Ran(base, report, output, folder, [(1, 1)], "sha256:1"), **changes)


def provided(produces: str = "hf", **fields: Any) -> Provided:
    component = Component("compressor", "mine", "-", config="", factory="", accepts=frozenset(), produces=produces, **fields)
    return Provided(component, "", "")


BAD_FACTS = {
    "zeros that are not there": ModelFacts(sparsity={"ffn": 0.5}),
    "zeros that are not told in full": ModelFacts(sparsity={"ffn": 0.1}),
    "a vocabulary of another size": ModelFacts(vocabulary=Vocabulary(9, 10)),
    "copied from the model handed in": CLAIMED,
}


@pytest.mark.parametrize("facts", BAD_FACTS.values(), ids=BAD_FACTS)
def test_compressor_suite_notices_facts(facts: ModelFacts, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="facts"):
        checks(CompressorSuite, "test_facts_are_of_its_result", ran=ran(tmp_path, ModelReport(facts)), provided=provided())


def test_compressor_suite_notices_a_packer_that_forgets_the_facts(tmp_path: Path) -> None:
    forgetful = ran(tmp_path, ModelReport(ModelFacts(), lossless=True))
    with pytest.raises(AssertionError, match="it packs"):
        checks(CompressorSuite, "test_facts_are_of_its_result", ran=forgetful, provided=provided("zstd", packs=True))


BAD_RUNS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "metrics that are no JSON": ("test_metrics_are_json", {"report": ModelReport(ModelFacts(), metrics={"at": float("nan")})}),
    "too much progress": ("test_shows_progress", {"progress": [(2, 1)]}),
    "another report": ("test_reports_facts", {"report": {"facts": {}}}),
    "facts as a mapping": ("test_reports_facts", {"report": ModelReport({"sparsity": 0.5})}),  # type: ignore[arg-type]
    "a sparsity above one": ("test_reports_facts", {"report": ModelReport(ModelFacts(sparsity={"ffn": 50}))}),
    "the input changed": ("test_input_is_untouched", {"after": "sha256:2"}),
    "no progress": ("test_shows_progress", {"progress": []}),
    "no reason": ("test_says_why_a_run_is_not_deterministic", {"report": ModelReport(ModelFacts(), deterministic=False)}),
}


@pytest.mark.parametrize(("check", "changes"), BAD_RUNS.values(), ids=BAD_RUNS)
def test_compressor_suite_notices(check: str, changes: Mapping[str, Any], tmp_path: Path) -> None:
    good = ran(tmp_path, ModelReport(ModelFacts(sparsity={"ffn": ZEROS})))
    with pytest.raises((AssertionError, ValueError)):
        checks(CompressorSuite, check, ran=replace(good, **changes), provided=provided())


@pytest.mark.parametrize("check", ["test_accepts_formats", "test_produces_a_format"])
def test_compressor_suite_notices_a_component_without_formats(check: str) -> None:
    with pytest.raises(AssertionError, match="names no format"):
        checks(CompressorSuite, check, provided=provided(""))


def test_compressor_suite_notices_another_format(tmp_path: Path) -> None:
    good = ran(tmp_path, ModelReport(ModelFacts()))
    with pytest.raises(AssertionError, match=r"has model\.gguf"):
        checks(CompressorSuite, "test_output_has_the_promised_format", ran=good, provided=provided("gguf"))


def test_compressor_suite_notices_bytes_that_change(tmp_path: Path) -> None:
    class Restless(Prune):
        def compress(self, model: ModelRef, output: Path, run: RunContext) -> ModelReport:
            (output / "made").write_text(str(output))
            return super().compress(model, output, run)

    class Suite(TestCompressor):
        factory = Restless

    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    registry, base = offered(Suite(), IsolatedPlugins()), ModelRef(write_weights(tmp_path / "base"), "hf", "")
    first = Suite().run_once(base, registry, {}, tmp_path / "first")
    given = {"base": base, "class_registry": registry, "class_settings": {}, "tmp_path": tmp_path / "second"}
    with pytest.raises(AssertionError, match="other bytes"):
        checks(Suite, "test_same_input_gives_the_same_files", ran=first, provided=provided(), **given)


def test_trainer_suite_notices_a_model_without_a_tokenizer(tmp_path: Path) -> None:
    done = ran(tmp_path, ModelReport(ModelFacts()))
    (done.output / "tokenizer.json").unlink()
    with pytest.raises(AssertionError, match="no tokenizer"):
        checks(TrainerSuite, "test_writes_weights_and_tokenizer", ran=done)


def test_trainer_suite_notices_one_that_cannot_be_interrupted(tmp_path: Path) -> None:
    class Deaf(Fit):
        def train(self, base: ModelRef, dataset: Any, output: Path, run: RunContext) -> ModelReport:
            return super().train(base, dataset, output, replace(run, progress=lambda *done, **figures: None))

    class Suite(TestTrainer):
        factory = Deaf

    registry, base = offered(Suite(), IsolatedPlugins()), ModelRef(write_weights(tmp_path / "base"), "hf", "")
    given = {"base": base, "class_registry": registry, "class_settings": {}, "tmp_path": tmp_path}
    with pytest.raises(pytest.fail.Exception):
        checks(Suite, "test_goes_on_after_an_interruption", **given)


def test_modifier_suite_notices_an_adapter_without_outcomes(tmp_path: Path, run_context: RunContext) -> None:
    report = Adapt().build(ModelRef(tmp_path, "hf", ""), tmp_path, run_context)
    (tmp_path / "rank-8" / "outcomes.jsonl").write_text("")
    done = Ran(ModelRef(tmp_path, "hf", ""), report, tmp_path, tmp_path, [], "")
    with pytest.raises(AssertionError, match="is empty"):
        checks(ModifierSuite, "test_outcomes_can_be_read", ran=done)


def test_compressor_suite_notices_files_that_are_written_elsewhere(tmp_path: Path) -> None:
    good = ran(tmp_path, ModelReport(ModelFacts()))
    (tmp_path / "cache").mkdir()
    with pytest.raises(AssertionError, match="written elsewhere"):
        checks(CompressorSuite, "test_writes_only_into_output_and_scratch", ran=good)


@pytest.mark.parametrize("steps", [(), ((1, float("nan")),), ((2, 1.0), (1, 1.0))], ids=["no loss", "no number", "disorder"])
def test_trainer_suite_notices(steps: Any, tmp_path: Path) -> None:
    report = ModelReport(ModelFacts(), [LossPoint(step, loss, 0.1) for step, loss in steps])
    with pytest.raises(AssertionError):
        checks(TrainerSuite, "test_reports_finite_losses", ran=ran(tmp_path, report))


BAD_OFFERS: dict[str, Mapping[str, Any]] = {
    "a folder that is not there": {"folder": "rank-2"},
    "a folder elsewhere": {"folder": "../rank-8"},
    "another size": {"bytes": 1},
    "no rank": {"rank": 0},
}


@pytest.mark.parametrize("changes", BAD_OFFERS.values(), ids=BAD_OFFERS)
def test_modifier_suite_notices_an_offer(changes: Mapping[str, Any], tmp_path: Path, run_context: RunContext) -> None:
    (tmp_path / "output").mkdir()
    report = Adapt().build(ModelRef(tmp_path, "hf", ""), tmp_path / "output", run_context)
    lying = replace(report, offers=[replace(report.offers[0], **changes), *report.offers[1:]])
    done = Ran(ModelRef(tmp_path, "hf", ""), lying, tmp_path / "output", tmp_path, [], "")
    with pytest.raises(AssertionError):
        checks(ModifierSuite, "test_every_offer_has_its_folder", ran=done)


def test_modifier_suite_notices_two_offers_in_one_folder(tmp_path: Path, run_context: RunContext) -> None:
    (tmp_path / "output").mkdir()
    report = Adapt().build(ModelRef(tmp_path, "hf", ""), tmp_path / "output", run_context)
    twice = replace(report, offers=[report.offers[0]] * 2)
    done = Ran(ModelRef(tmp_path, "hf", ""), twice, tmp_path / "output", tmp_path, [], "")
    with pytest.raises(AssertionError, match="share a folder"):
        checks(ModifierSuite, "test_every_offer_has_its_folder", ran=done)


BAD_REPORTS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "nothing offered": ("test_report_holds_together", {"offers": ()}),
    "no domain": ("test_report_holds_together", {"domain": ""}),
    "an interval upside down": ("test_report_holds_together", {"baseline": Interval(0.3, 0.6, 0.1, 10)}),
    "other tasks": ("test_offers_are_told_apart_by_their_result", {"baseline": Interval(0.3, 0.1, 0.6, 11)}),
}


@pytest.mark.parametrize(("check", "changes"), BAD_REPORTS.values(), ids=BAD_REPORTS)
def test_modifier_suite_notices_a_report(
    check: str, changes: Mapping[str, Any], tmp_path: Path, run_context: RunContext
) -> None:
    report = replace(Adapt().build(ModelRef(tmp_path, "hf", ""), tmp_path, run_context), **changes)
    done = Ran(ModelRef(tmp_path, "hf", ""), report, tmp_path, tmp_path, [], "")
    with pytest.raises(AssertionError):
        checks(ModifierSuite, check, ran=done)


def test_modifier_suite_notices_a_refused_adapter_before_an_accepted_one(tmp_path: Path, run_context: RunContext) -> None:
    report = Adapt().build(ModelRef(tmp_path, "hf", ""), tmp_path, run_context)
    done = Ran(ModelRef(tmp_path, "hf", ""), replace(report, offers=report.offers[::-1]), tmp_path, tmp_path, [], "")
    with pytest.raises(AssertionError, match="best offer comes first"):
        checks(ModifierSuite, "test_offers_are_told_apart_by_their_result", ran=done)


def test_zeros_are_counted_in_every_type_of_weights(tmp_path: Path) -> None:
    assert zeros(write_weights(tmp_path, ZEROS)) == {"ffn": ZEROS}
    half = {"mlp.weight": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}
    text = json.dumps(half).encode()
    # In BF16, 0x8000 is minus zero and 0x3F80 is one.
    content = struct.pack("<Q", len(text)) + text + struct.pack("<4H", 0x8000, 0x0000, 0x3F80, 0x3F80)
    (tmp_path / "model.safetensors").write_bytes(content)
    assert zeros(tmp_path) == {"ffn": 0.5}


@pytest.mark.model
def test_a_gguf_file_says_its_own_quantisation(smollm2: Path, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").symlink_to(smollm2)
    assert untrue(ModelFacts(quantisation="Q4_1"), tmp_path, "gguf") == []
    assert "most weights of the file are Q4_1" in untrue(ModelFacts(quantisation="Q8_0"), tmp_path, "gguf")[0]
    assert "most weights of the file are Q4_1" in untrue(ModelFacts(), tmp_path, "gguf")[0]
    assert "vocabulary" in untrue(ModelFacts(quantisation="Q4_1", vocabulary=Vocabulary(9, 10)), tmp_path, "gguf")[0]
