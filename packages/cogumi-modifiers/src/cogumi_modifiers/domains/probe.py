"""Asks a model the tasks of a benchmark, as it is served, and keeps every answer the moment it is there.

Answers are appended to a JSON Lines file and synced one by one, so that a killed run asks only what was not answered yet. With
greedy decoding and an engine that computes each answer from nothing, a resumed probe equals an undisturbed one. Sampling
several answers for a task is left out.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cogumi_core.api.interfaces import RunContext, Session
from cogumi_core.api.types import GenerateRequest, Message, Sampling, Task
from cogumi_core.formats.rows import dump_line


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way of answering: constrained by the task's schema or not, with other turns before the question, with an adapter."""

    name: str
    grammar: bool = True
    examples: tuple[Message, ...] = ()
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `logprobs`: of each token, the model's own; `seconds`: wall-clock time it took."""

    id: str
    text: str
    logprobs: tuple[float, ...]
    finish_reason: str
    seconds: float


class AnswerLog:
    """The answers of one configuration on disk. A line cut by a crash is dropped when the log is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._answers = {answer.id: answer for answer in self._read()}

    def get(self, task_id: str) -> Answer | None:
        return self._answers.get(task_id)

    def add(self, answer: Answer) -> None:
        """On return the answer is on disk."""
        with self._path.open("a", encoding="utf-8") as out:
            out.write(dump_line(asdict(answer)))
            out.flush()
            os.fsync(out.fileno())
        self._answers[answer.id] = answer

    def _read(self) -> Iterator[Answer]:
        if not self._path.exists():
            return
        whole = self._path.read_bytes()
        kept = whole[: whole.rfind(b"\n") + 1]
        if len(kept) < len(whole):
            os.truncate(self._path, len(kept))
        for line in kept.splitlines():
            row = json.loads(line)
            yield Answer(**{**row, "logprobs": tuple(row["logprobs"])})


def ask(
    session: Session,
    tasks: Sequence[Task],
    configuration: Configuration,
    *,
    max_tokens: int,
    run: RunContext,
) -> Mapping[str, Answer]:
    """Answers by task id; those that an earlier attempt left in `run.scratch` are not asked again."""
    log = AnswerLog(run.scratch / f"answers-{_slug(configuration.name)}.jsonl")
    unit = f"tasks, {configuration.name}"
    answers: dict[str, Answer] = {}
    for done, task in enumerate(tasks):
        run.progress(done, len(tasks), unit)
        answer = log.get(task.id)
        if answer is None:
            answer = _ask_one(session, task, configuration, max_tokens)
            log.add(answer)
        answers[task.id] = answer
    run.progress(len(tasks), len(tasks), unit)
    return answers


def _ask_one(session: Session, task: Task, configuration: Configuration, max_tokens: int) -> Answer:
    started = time.monotonic()
    schema = task.schema if configuration.grammar else None
    request = GenerateRequest(prompt_of(task, configuration), Sampling(max_tokens=max_tokens), schema)
    tokens = list(session.stream(request, configuration.adapter))
    text = "".join(token.text for token in tokens)
    reason = tokens[-1].finish_reason or "" if tokens else ""
    return Answer(task.id, text, tuple(token.logprob for token in tokens), reason, time.monotonic() - started)


def prompt_of(task: Task, configuration: Configuration) -> tuple[Message, ...]:
    """The turns sent for `task`: the configuration's examples stand after the task's system turn."""
    system = tuple(message for message in task.messages[:1] if message.role == "system")
    return (*system, *configuration.examples, *task.messages[len(system) :])


def example_turns(tasks: Sequence[Task]) -> tuple[Message, ...]:
    """Solved tasks as earlier turns; what stood in a system turn becomes part of the question."""
    turns: list[Message] = []
    for task in tasks:
        turns.append(Message("user", "\n\n".join(message.content for message in task.messages)))
        turns.append(Message("assistant", task.reference or ""))
    return tuple(turns)


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)
