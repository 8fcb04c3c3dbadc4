"""Model stages: facts are of the result, trainers and compressors alternate, and each sees what it asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench import Bench

from cogumi_core import ModelFacts, ModelRef, ModelReport, RunContext, StageError
from cogumi_core.formats.rows import example_row, write_rows
from cogumi_core.testing import IsolatedPlugins
from cogumi_core.testing.samples import sample_conversations, sample_examples

HF = frozenset({"hf"})
HEAD = "student: student\ndataset: rows.jsonl\n"
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}"
Act = Callable[[ModelRef, RunContext], ModelFacts]


class Step:
    """A trainer and a compressor in one; `act` says what it does to the facts, `seen` is what it was given."""

    def __init__(self, act: Act) -> None:
        self.act = act
        self.seen: list[tuple[ModelRef, RunContext, Any]] = []

    def compress(self, model: ModelRef, output: Path, run: RunContext) -> ModelReport:
        return self._write(model, output, run, None)

    def train(self, base: ModelRef, dataset: Any, output: Path, run: RunContext) -> ModelReport:
        return self._write(base, output, run, [example.id for example in dataset])

    def _write(self, model: ModelRef, output: Path, run: RunContext, rows: Any) -> ModelReport:
        self.seen.append((model, run, rows))
        for path in model.path.iterdir():
            if path.name != "manifest.json":
                (output / path.name).write_bytes(path.read_bytes())
        with (output / "history").open("a") as out:
            out.write(f"{run.seed} {len(self.seen)}\n")
        return ModelReport(self.act(model, run))


PRUNED = ModelFacts(sparsity={"ffn": 0.7, "attention": 0.6}, structure="2:4")


class Chain(Bench):
    def __init__(self, plugins: IsolatedPlugins, folder: Path) -> None:
        super().__init__(plugins, folder)
        (folder / "student").mkdir()
        tokenizer = {"chat_template": TEMPLATE, "bos_token": "<s>", "eos_token": "</s>"}
        (folder / "student" / "config.json").write_text("{}")
        (folder / "student" / "tokenizer_config.json").write_text(json.dumps(tokenizer))
        write_rows(folder / "rows.jsonl", map(example_row, [*sample_examples(5), *sample_conversations()[:1]]))
        self.steps: dict[str, Step] = {}

    def offer(self, kind: str, name: str, act: Act, **more: Any) -> Step:
        step = self.steps[name] = Step(act)
        self.plugins.offer(kind, name, lambda settings, services: step, accepts=HF, produces="hf", **more)
        return step

    def facts(self, done: Any, stage: str) -> ModelFacts:
        facts = done.artifacts[stage].manifest.facts
        assert isinstance(facts, ModelFacts)
        return facts


@pytest.fixture
def chain(isolated_plugins: IsolatedPlugins, tmp_path: Path) -> Chain:
    bench = Chain(isolated_plugins, tmp_path)
    bench.offer("compressor", "prune", lambda model, run: PRUNED)
    bench.offer("trainer", "recover", lambda model, run: replace(model.facts, other={"steps": 3}))
    bench.offer("trainer", "refill", lambda model, run: ModelFacts())
    bench.offer("compressor", "quantise", lambda model, run: replace(model.facts, quantisation="INT4"))
    return bench


def test_a_trainer_may_stand_between_two_compressors_and_facts_travel(chain: Chain) -> None:
    done = chain.run(HEAD + "compress:\n  - use: prune\n  - use: recover\n  - use: quantise\n")
    assert chain.built()[-3:] == ["compress[0]:prune", "compress[1]:recover", "compress[2]:quantise"]
    ((model, run, rows),) = chain.steps["recover"].seen
    assert model.facts == PRUNED
    assert rows is not None
    assert len(rows) == 6
    assert run.reference is not None
    assert run.reference.path == chain.folder / "student"  # from before the damage
    assert chain.facts(done, "compress[2]:quantise") == replace(PRUNED, quantisation="INT4", other={"steps": 3})


def test_facts_that_a_step_undoes_are_not_carried_on(chain: Chain) -> None:
    done = chain.run(HEAD + "compress:\n  - use: prune\n  - use: refill\n  - use: quantise\n")
    assert chain.facts(done, "compress[2]:quantise") == ModelFacts(quantisation="INT4")


def test_the_reference_is_the_trained_student_once_there_is_one(chain: Chain) -> None:
    chain.offer("trainer", "first", lambda model, run: ModelFacts())
    done = chain.run(HEAD + "train: {use: first}\ncompress:\n  - use: prune\n  - use: recover\n")
    ((_, run, _),) = chain.steps["recover"].seen
    assert run.reference is not None
    assert run.reference.path == done.artifacts["train:first"].path


@pytest.mark.parametrize(("asks", "given"), [((), False), (("calibration",), True)])
def test_rows_are_for_those_that_ask_and_part_of_their_key_alone(chain: Chain, asks: tuple[str, ...], given: bool) -> None:
    step = chain.offer("compressor", "some", lambda model, run: ModelFacts(), uses=frozenset(asks))
    text = HEAD + "compress: [{use: some}]\n"
    chain.run(text)
    ((_, run, _),) = step.seen
    assert (run.calibration is not None) is given
    write_rows(chain.folder / "rows.jsonl", map(example_row, sample_examples(6)))
    assert (chain.states(text)["compress[0]:some"] == "hit") is not given or chain.states(text)["dataset"] == "miss"


def test_calibration_texts_are_templated_conversations_and_come_again(chain: Chain) -> None:
    texts: list[list[str]] = []

    def act(model: ModelRef, run: RunContext) -> ModelFacts:
        assert run.calibration is not None
        texts.extend([list(run.calibration), list(run.calibration)])
        return ModelFacts()

    chain.offer("compressor", "calibrated", act, uses=frozenset({"calibration"}))
    chain.run(HEAD + "compress: [{use: calibrated}]\n")
    first, second = texts
    assert first == second
    assert len(first) == 6
    assert first[-1].startswith("<system>Answer in one word.</system><user>Is it warm in Lisbon?</user><assistant>Yes.")


def test_budgets_are_there_for_steps(chain: Chain) -> None:
    chain.run("budget: {bytes: 3MB}\n" + HEAD + "compress: [{use: prune}]\n")
    ((_, run, _),) = chain.steps["prune"].seen
    assert run.budget.bytes == 3_000_000


def test_a_report_without_facts_breaks_the_contract(chain: Chain) -> None:
    chain.offer("compressor", "silent", lambda model, run: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(StageError, match="a ModelReport with the facts of its result is expected"):
        chain.run(HEAD + "compress: [{use: silent}]\n")
