"""The kit itself: its context pays, its samples survive a file, and it has a suite for every kind."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from cogumi_core import KINDS, BudgetExceeded, Completion, CompletionRequest, Limits, Message, RunContext, Sampling, testing
from cogumi_core.plugins.guard import stage_running
from cogumi_core.testing import (
    ComponentSuite,
    EchoTeacher,
    IsolatedPlugins,
    PricedTeacher,
    a_run,
    near_copies,
    sample_conversations,
    sample_examples,
    sample_prompts,
    written_dataset,
)

QUESTION = CompletionRequest((Message("user", "Name one colour."),), Sampling(max_tokens=4))


def test_a_question_is_asked_once_however_often_it_is_put(tmp_path: Path) -> None:
    run, teacher = a_run(tmp_path), EchoTeacher()
    answers = [answer for _ in range(2) for answer in run.calls.ask(teacher, [QUESTION])]
    assert isinstance(answers[0], Completion)
    assert answers[0] == answers[1]
    assert len(teacher.requests) == 1


def test_another_context_on_the_same_folder_finds_what_was_answered(tmp_path: Path) -> None:
    first, second = EchoTeacher(), EchoTeacher()
    assert [*a_run(tmp_path).calls.ask(first, [QUESTION])] == [*a_run(tmp_path).calls.ask(second, [QUESTION])]
    assert second.requests == []


def test_the_context_keeps_to_its_budget(tmp_path: Path) -> None:
    teacher = PricedTeacher()
    run = a_run(tmp_path, budget=Limits(usd=0.25))
    questions = [replace(QUESTION, messages=(Message("user", f"Name colour {number}."),)) for number in range(30)]
    with pytest.raises(BudgetExceeded):
        list(run.calls.ask(teacher, questions))
    assert 0 < len(teacher.requests) < 30


def test_the_context_tells_what_was_spent(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    list(run.calls.ask(PricedTeacher(), [QUESTION]))
    (spent,) = run.calls.spend  # type: ignore[attr-defined]
    assert (spent["asked"], spent["usd"] > 0) == (1, True)


def test_the_context_asks_a_teacher_that_refuses_everybody_else(tmp_path: Path, isolated_plugins: IsolatedPlugins) -> None:
    isolated_plugins.offer("teacher", "echo", lambda settings, services: EchoTeacher())
    run = a_run(tmp_path, registry=isolated_plugins.registry())
    teacher = isolated_plugins.registry().create("teacher", "echo")
    with stage_running("a stage"):
        (answer,) = run.calls.ask(teacher, [QUESTION])
    assert isinstance(answer, Completion)


def test_what_is_given_replaces_what_the_context_has(tmp_path: Path, run_context: RunContext) -> None:
    assert (a_run(tmp_path).seed, a_run(tmp_path, seed=3).seed, run_context.seed) == (17, 3, 17)


def test_samples_survive_a_file(tmp_path: Path) -> None:
    rows = [*sample_examples(), *sample_conversations(), *near_copies()]
    dataset = written_dataset(tmp_path, rows)
    assert list(dataset) == rows
    assert [row for shard in dataset.shards(4) for row in shard] == rows


def test_samples_have_ids_of_their_own() -> None:
    ids = [row.id for row in (*sample_examples(), *sample_conversations(), *near_copies(), *sample_prompts())]
    assert len(ids) == len(set(ids))


UNBROKEN = {"test_a_stream_left_open_does_not_hold_up_the_next"}
"""Checks without a component that breaks them: one that holds up the next stream would hold up the test too."""


def test_every_check_of_every_suite_is_broken_by_some_component() -> None:
    suites = Path(testing.__file__).parent / "conformance"
    made = {name for path in suites.glob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
    cases = "".join(path.read_text() for path in Path(__file__).parent.glob("test_core_conformance_*.py"))
    assert {name for name in made if f'"{name}"' not in cases} == UNBROKEN


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_suite(kind: str) -> None:
    suites = [getattr(testing, name) for name in testing.__all__ if name.endswith("Suite")]
    assert any(issubclass(suite, ComponentSuite) and suite.kind == kind for suite in suites)
