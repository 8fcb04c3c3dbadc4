"""Asking a benchmark's tasks: as many at once as the session answers, each answer kept, the order that of the tasks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from modifiers_domain_support import zoo

from cogumi_core import EngineError, GenerateRequest, Interrupted, Message, ModelRef, OpenOptions, RunContext, Task, Token
from cogumi_core.testing import IsolatedPlugins
from cogumi_core.testing.fake_engine import FakeEngine, FakeSession, write_fake_model
from cogumi_modifiers import domains
from cogumi_modifiers.domains.probe import Answer, AnswerLog, Configuration, ask, example_turns

BASE = Configuration("base")
TASKS = [Task(f"task-{number}", (Message("user", f"question {number}"),), "d", f"g{number}", "") for number in range(6)]


class GatedSession(FakeSession):
    """Lets no request go on before `parallel` of them are inside; `most` counts how many ever were."""

    def __init__(self, parallel: int) -> None:
        super().__init__(OpenOptions(), parallel)
        self.barrier = threading.Barrier(parallel, timeout=60)
        self.inside, self.most, self.threads = 0, 0, set[int]()
        self._lock = threading.Lock()

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.threads.add(threading.get_ident())
        self.barrier.wait()
        yield from super().stream(request, adapter)
        with self._lock:
            self.inside -= 1


class BackwardSession(FakeSession):
    """Answers the second of two requests first."""

    def __init__(self) -> None:
        super().__init__(OpenOptions(), 2)
        self.second_is_done, self.finished = threading.Event(), list[str]()

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        if request.messages[-1].content.endswith("0"):
            self.second_is_done.wait()
        yield from super().stream(request, adapter)
        self.finished.append(request.messages[-1].content)
        self.second_is_done.set()


class EndlessSession(FakeSession):
    """Answers `question 0` once another is under way, and everything else without end; `closed` counts what was given up."""

    def __init__(self) -> None:
        super().__init__(OpenOptions(), 2)
        self.started, self.begun, self.closed = threading.Event(), 0, 0

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        if request.messages[-1].content == "question 0":
            self.started.wait()
            yield Token(1, "x", -0.1, "stop")
            return
        self.begun += 1
        try:
            while True:
                self.started.set()
                yield Token(1, "x", -0.1)
        finally:
            self.closed += 1


class FailingSession(FakeSession):
    """Cannot answer `question 3`."""

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        if request.messages[-1].content == "question 3":
            message = "the model fell over"
            raise EngineError(message)
        return super().stream(request, adapter)


def _session(parallel: int) -> FakeSession:
    return FakeSession(OpenOptions(), parallel)


def _ask(session: Any, run: RunContext, tasks: list[Task] | None = None) -> dict[str, Answer]:
    return dict(ask(session, TASKS if tasks is None else tasks, BASE, max_tokens=64, run=run))


def _kept(run: RunContext) -> list[str]:
    return [json.loads(line)["id"] for line in (run.scratch / "answers-base.jsonl").read_text().splitlines()]


def test_a_session_of_two_is_kept_busy(run_context: RunContext) -> None:
    session = GatedSession(2)
    answers = _ask(session, run_context)
    assert session.most == 2
    assert {task: answer.text for task, answer in answers.items()} == {f"task-{n}": f"question {n}" for n in range(6)}


def test_a_session_of_one_is_asked_one_by_one_in_this_thread(run_context: RunContext) -> None:
    session = GatedSession(1)
    _ask(session, run_context)
    assert (session.most, session.threads) == (1, {threading.get_ident()})


def test_answers_are_in_the_order_of_the_tasks_whichever_comes_first(run_context: RunContext) -> None:
    session = BackwardSession()
    assert list(_ask(session, run_context, TASKS[:2])) == ["task-0", "task-1"]
    assert session.finished == ["question 1", "question 0"]


def test_answers_do_not_depend_on_how_many_are_given_at_once(run_context: RunContext, tmp_path: Path) -> None:
    def timeless(session: Any, run: RunContext) -> list[Answer]:
        return [replace(answer, seconds=0.0) for answer in _ask(session, run).values()]

    other = replace(run_context, scratch=tmp_path / "other")
    other.scratch.mkdir()
    assert timeless(_session(1), run_context) == timeless(_session(3), other)


def test_an_interruption_ends_what_is_under_way_and_keeps_what_was_answered(run_context: RunContext) -> None:
    def stop(done: float, *_: Any, **__: Any) -> None:
        if done:
            raise Interrupted

    session = EndlessSession()
    with pytest.raises(Interrupted):
        _ask(session, replace(run_context, progress=stop))
    assert _kept(run_context) == ["task-0"]
    assert session.closed == session.begun >= 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("probe")]


@pytest.mark.parametrize("parallel", [1, 2])
def test_an_engines_error_is_the_probes(run_context: RunContext, parallel: int) -> None:
    with pytest.raises(EngineError, match="the model fell over"):
        _ask(FailingSession(OpenOptions(), parallel), run_context)


@pytest.mark.parametrize("parallel", [1, 2])
def test_only_what_was_not_answered_is_asked_again(run_context: RunContext, parallel: int) -> None:
    _ask(_session(parallel), run_context, TASKS[:4])
    seen: list[tuple[float, float]] = []
    run = replace(run_context, progress=lambda done, total, unit: seen.append((done, total)))
    _ask(_session(parallel), run)
    assert seen == [(4, 6), (5, 6), (6, 6)]
    assert sorted(_kept(run_context)) == [task.id for task in TASKS]


def test_an_answer_cut_by_a_crash_is_dropped_from_the_log(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    AnswerLog(path).add(Answer("one", "é", (-0.5,), "stop", 0.1))
    path.write_bytes(path.read_bytes() + b'{"id":"two","text":"\xc3')
    log = AnswerLog(path)
    assert log["one"] == Answer("one", "é", (-0.5,), "stop", 0.1)
    assert "two" not in log
    log.add(Answer("two", "x", (), "stop", 0.1))
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["one", "two"]


def test_examples_stand_behind_the_system_turn() -> None:
    solved = Task("s", (Message("system", "rules"), Message("user", "1+1?")), "d", "g", "", reference="2")
    asked = Task("t", (Message("system", "rules"), Message("user", "2+2?")), "d", "g", "", schema={"type": "integer"})
    request = Configuration("base + 1 examples", examples=example_turns([solved])).request(asked, 64)
    assert [turn.role for turn in request.messages] == ["system", "user", "assistant", "user"]
    assert request.messages[1].content == "rules\n\n1+1?"
    assert (request.schema, request.sampling.max_tokens) == ({"type": "integer"}, 64)


def test_without_grammar_a_task_is_answered_freely() -> None:
    asked = Task("t", (Message("user", "2+2?"),), "d", "g", "", schema={"type": "integer"})
    assert Configuration("base", grammar=False).request(asked, 64).schema is None


def test_the_engine_is_told_how_many_answers_are_wanted(run_context: RunContext, tmp_path: Path) -> None:
    engine, plugins = FakeEngine(), IsolatedPlugins()
    plugins.host.register(zoo(), "zoo", "zoo", "1.0")
    plugins.offer("engine", "fake", lambda settings, services: engine, accepts=frozenset({"gguf"}))
    plugins.add(*domains.COMPONENTS, distribution="cogumi-modifiers")
    modifier = plugins.registry().create("modifier", "domain", benchmark="foxes", parallel=3)

    def stop(*_: Any, **__: Any) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        modifier.build(ModelRef(write_fake_model(tmp_path / "m"), "gguf", ""), tmp_path, replace(run_context, progress=stop))
    assert [options.parallel for options in engine.opened] == [3]
