"""Building a domain's modifier: the gate, what it writes, and going on after a kill."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import modifiers_domain_support as support
import pytest
import torch
from modifiers_domain_support import ANSWER, build, registry_with_foxes
from processes import finished
from pydantic import ValidationError

from cogumi_compress.gguf.export import export_gguf
from cogumi_core import InputError, Interrupted, MissingDependency, ModelRef, Modifier, ModifierReport, Registry, RunContext
from cogumi_core.formats.rows import read_rows, route_example_from_row
from cogumi_core.measure.answers import answer_features
from cogumi_core.testing.conformance.modifiers import false_in_offers
from cogumi_modifiers.domains.probe import AnswerLog
from cogumi_modifiers.domains.settings import AutomationSettings, DomainSettings
from cogumi_modifiers.testing import tiny_llama

Built = tuple[Path, ModifierReport]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    export_gguf(tiny_llama(folder / "hf"), folder / "base.gguf", "F32")
    return folder / "base.gguf"


@pytest.fixture(scope="module")
def built(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    return folder, build(base, folder, baselines=("grammar", "plain", "examples"))


@pytest.fixture(scope="module")
def several(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("several")
    return folder, build(base, folder, lora_r=[2, 16, 8])


def _outputs(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in (folder / "output").rglob("*") if path.is_file())
    return {str(path.relative_to(folder / "output")): path.read_bytes() for path in paths}


def _outcomes(folder: Path, offer: str = "rank-8") -> list[dict[str, Any]]:
    return [row for _, row in read_rows(folder / "output" / offer / "outcomes.jsonl")]


def test_it_is_a_modifier() -> None:
    modifier = registry_with_foxes().create("modifier", "domain", benchmark="foxes")
    assert isinstance(modifier, Modifier)
    assert modifier.domain == "foxes"


def test_an_adapter_that_helps_is_accepted(built: Built) -> None:
    (offer,) = built[1].offers
    assert offer.accepted
    assert (offer.won, offer.lost, offer.result.n, offer.rank) == (12, 0, 12, 8)
    assert offer.p_value == pytest.approx(2 * 0.5**12)


def test_what_is_offered_is_there(built: Built) -> None:
    assert list(false_in_offers(built[1], built[0] / "output")) == []
    assert set(_outputs(built[0])) == {"rank-8/adapter.gguf", "rank-8/outcomes.jsonl"}


def test_every_configuration_is_reported_with_its_interval(built: Built) -> None:
    report = built[1]
    expected = ["base + grammar", "base", "base + 2 examples + grammar", "adapter + grammar"]
    assert list(report.configurations) == expected
    assert report.configurations["adapter + grammar"] == report.offers[0].result


def test_fixed_tasks_are_shown_with_both_answers(built: Built) -> None:
    shown = built[1].fixed
    assert len(shown) == 8
    assert all(row["adapter"] == ANSWER != row["base"] for row in shown)
    assert shown[0]["question"].startswith("how many foxes in validate")
    assert built[1].failing == []


def test_losses_fall_and_rows_are_counted(built: Built) -> None:
    report = built[1]
    assert report.losses[-1].loss < report.losses[0].loss / 4
    assert report.metrics["training_rows"] == 24 + report.metrics["mined_failures"] == 30


def test_outcomes_are_fit_rows_of_mined_tasks_and_held_out_rows_of_validated_ones(built: Built) -> None:
    rows = [route_example_from_row(row) for row in _outcomes(built[0])]
    assert [row.split for row in rows] == ["fit"] * 6 + ["held-out"] * 12
    assert {row.adapter_correct for row in rows[:6]} == {None}
    assert all(row.adapter_correct and row.correct is False and row.has_schema and row.logprobs for row in rows[6:])


def test_outcomes_carry_the_features_that_serving_computes(built: Built) -> None:
    rows = [route_example_from_row(row) for row in _outcomes(built[0])]
    assert all(set(row.features) == {"tokens", "mean_logprob", "min_logprob", "low_logprob"} for row in rows)
    assert rows[0].features == pytest.approx(answer_features(rows[0].logprobs), abs=1e-5)


def test_the_served_base_gives_the_outcomes_whatever_the_strongest_baseline(built: Built) -> None:
    rows = _outcomes(built[0])[6:]
    log = AnswerLog(built[0] / "scratch" / "answers-base---grammar.jsonl")
    assert [row["answer"] for row in rows] == [log[f"validate-{index}"].text for index in range(12)]


def test_an_adapter_that_does_not_help_is_refused_and_still_written(base: Path, tmp_path: Path) -> None:
    report = build(base, tmp_path, learning_rate=1e-9)
    assert not report.accepted
    assert "solves no more held-out tasks than the untrained model" in report.offers[0].reason
    assert len(report.failing) == 8
    assert set(_outputs(tmp_path)) == {"rank-8/adapter.gguf", "rank-8/outcomes.jsonl"}


def test_a_gain_on_too_few_tasks_is_refused_as_chance(base: Path, tmp_path: Path) -> None:
    report = build(base, tmp_path, benchmark={"validate_tasks": 4})
    assert (report.offers[0].won, report.accepted) == (4, False)
    assert "may be chance" in report.offers[0].reason


def test_tasks_without_schemas_are_answered_freely(base: Path, tmp_path: Path) -> None:
    report = build(base, tmp_path, benchmark={"has_schema": False})
    assert not report.needs_schema
    assert list(report.configurations) == ["base", "adapter"]


def test_too_long_prompts_are_left_out_and_counted(base: Path, tmp_path: Path) -> None:
    report = build(base, tmp_path, benchmark={"words": 200})
    assert report.metrics["too_long"] == 3
    assert report.metrics["tasks"] == {"mine": 5, "train": 23, "validate": 11}


@pytest.mark.parametrize(
    ("benchmark", "message"),
    [
        ({"validate_tasks": 0}, "no task to validate on"),
        ({"validate_tasks": 1, "words": 200}, "tasks were left out, with prompts over 128 tokens"),
        ({"references": False}, "no task with a reference answer"),
    ],
)
def test_a_benchmark_that_cannot_decide_is_an_input_error(
    base: Path, tmp_path: Path, benchmark: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build(base, tmp_path, benchmark=benchmark)


def test_a_base_that_is_no_gguf_file_is_refused(tmp_path: Path) -> None:
    registry = registry_with_foxes()
    modifier = registry.create("modifier", "domain", benchmark="foxes")
    with pytest.raises(InputError, match="needs the GGUF file that will be served"):
        modifier.build(ModelRef(tmp_path, "hf", ""), tmp_path, RunContext(1, tmp_path, registry.services))


def test_without_an_engine_what_to_install_is_said(base: Path, tmp_path: Path) -> None:
    registry = Registry.installed({"COGUMI_PLUGINS": "cogumi-modifiers"})
    registry.host.register(support.zoo(), "zoo", "zoo", "1.0")
    modifier = registry.create("modifier", "domain", benchmark="foxes")
    with pytest.raises(MissingDependency, match=r"the engine that will serve.*pip install 'cogumi-serve"):
        modifier.build(ModelRef(base, "gguf", ""), tmp_path, RunContext(1, tmp_path, registry.services))


# --- several ranks ---


def test_every_rank_is_offered_the_best_first(several: Built) -> None:
    folder, report = several
    assert {offer.folder for offer in report.offers} == {"rank-2", "rank-8", "rank-16"}
    assert list(false_in_offers(report, folder / "output")) == []
    order = [(not offer.accepted, -offer.result.share, offer.bytes) for offer in report.offers]
    assert order == sorted(order)
    assert report.accepted


def test_all_ranks_are_measured_on_the_same_tasks(several: Built) -> None:
    folder, report = several
    rows = [_outcomes(folder, offer.folder) for offer in report.offers]
    told_apart = [[{**row, "adapter_correct": None} for row in own] for own in rows]
    assert told_apart[0] == told_apart[1] == told_apart[2]
    for offer, own in zip(report.offers, rows, strict=True):
        assert sum(bool(row["adapter_correct"]) for row in own) == round(offer.result.share * offer.result.n)
    names = {"adapter of rank 2 + grammar", "adapter of rank 8 + grammar", "adapter of rank 16 + grammar"}
    assert set(report.configurations) == {"base + grammar", *names}


def test_one_of_several_adapters_is_the_one_that_would_be_built_alone(several: Built, built: Built) -> None:
    assert _outputs(several[0])["rank-8/adapter.gguf"] == _outputs(built[0])["rank-8/adapter.gguf"]


def test_losses_are_those_of_the_best_and_differences_of_each(several: Built) -> None:
    report = several[1]
    assert report.losses[-1].loss < report.losses[0].loss / 4
    assert set(report.metrics["offers"]) == {offer.folder for offer in report.offers}
    assert all({"difference", "near_duplicates"} == set(own) for own in report.metrics["offers"].values())


def test_several_tries_share_the_significance(base: Path, tmp_path: Path) -> None:
    # Six tasks, all won: p = 0.031, enough for one adapter and not for two.
    one = build(base, tmp_path / "one", benchmark={"validate_tasks": 6})
    two = build(base, tmp_path / "two", benchmark={"validate_tasks": 6}, lora_r=[8, 9])
    assert (one.offers[0].won, one.accepted) == (6, True)
    assert {offer.rank: offer.accepted for offer in two.offers}[8] is False
    assert "p is not below 0.025" in next(offer.reason for offer in two.offers if offer.rank == 8)


@pytest.mark.parametrize(
    ("settings", "scales"),
    [({}, {8: 16.0, 32: 64.0}), ({"lora_alpha": 24}, {8: 24.0, 32: 24.0})],
)
def test_alpha_is_twice_each_rank_unless_given(settings: dict[str, Any], scales: dict[int, float]) -> None:
    chosen = AutomationSettings(lora_r=list(scales), **settings)
    assert {rank: chosen.scale(rank) for rank in chosen.lora_r} == scales


@pytest.mark.parametrize("ranks", [[], [8, 8], [0], 0, True, "8"])
def test_ranks_that_mean_nothing_are_refused(ranks: Any) -> None:
    with pytest.raises(ValidationError, match="lora_r"):
        AutomationSettings(lora_r=ranks)


def test_a_domain_has_to_be_told_its_benchmark() -> None:
    with pytest.raises(ValidationError, match="benchmark"):
        DomainSettings()  # type: ignore[call-arg]
    assert AutomationSettings().benchmark.name == "bfcl"


# --- going on ---


class Stop:
    """Progress that asks to stop at the given call."""

    def __init__(self, call: int) -> None:
        self.left = call

    def __call__(self, *_: Any, **__: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise Interrupted


def test_a_build_interrupted_again_and_again_ends_in_the_same_bytes(base: Path, built: Built, tmp_path: Path) -> None:
    interruptions = 0
    for call in (3, 10, 9, 25, 12):
        with contextlib.suppress(Interrupted):
            build(base, tmp_path, Stop(call))
            break
        interruptions += 1
    build(base, tmp_path)
    assert interruptions == 5
    assert _outputs(tmp_path) == _outputs(built[0])


@pytest.mark.parametrize("call", [10, 40], ids=["while asking", "while training"])
def test_a_killed_build_ends_in_the_same_bytes(base: Path, built: Built, tmp_path: Path, call: int) -> None:
    killed = finished(sys.executable, support.__file__, base, tmp_path, torch.get_num_threads(), call)
    assert killed.returncode == -9, killed.stderr
    build(base, tmp_path)
    assert _outputs(tmp_path) == _outputs(built[0])


def test_answers_are_not_asked_twice(base: Path, tmp_path: Path) -> None:
    build(base, tmp_path)
    before = (tmp_path / "scratch" / "answers-base---grammar.jsonl").read_bytes()
    (tmp_path / "output").rename(tmp_path / "first")
    build(base, tmp_path)
    assert (tmp_path / "scratch" / "answers-base---grammar.jsonl").read_bytes() == before


@pytest.mark.slow
@pytest.mark.model
def test_automation_helps_the_real_model_beyond_chance(smollm2: Path, tmp_path: Path) -> None:
    services = Registry.installed().services
    for name in ("scratch", "output"):
        (tmp_path / name).mkdir()
    modifier = services.registry.create("modifier", "automation")
    run = RunContext(17, tmp_path / "scratch", services)
    report = modifier.build(ModelRef(smollm2, "gguf", ""), tmp_path / "output", run)
    assert report.accepted
    assert report.offers[0].result.share - report.baseline.share > 0.10
    assert report.needs_schema
