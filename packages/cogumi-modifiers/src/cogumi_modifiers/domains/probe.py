"""Asks a model the tasks of a benchmark, as it is served, and keeps every answer the moment it is there.

As many tasks are under way at once as the session answers. Answers are appended to a JSON Lines file as they come and synced
one by one, so that a killed run asks only what was not answered yet. With greedy decoding and an engine that computes each
answer from nothing, a resumed probe equals an undisturbed one, and so does one with more or fewer answers at once. Sampling
several answers for a task is left out.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from cogumi_core import GenerateRequest, Message, RunContext, Sampling, Session, Task
from cogumi_core.formats.rows import dump_line


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way of answering: constrained by the task's schema or not, with other turns before the question, with an adapter."""

    name: str
    grammar: bool = True
    examples: tuple[Message, ...] = ()
    adapter: str | None = None

    def request(self, task: Task, max_tokens: int) -> GenerateRequest:
        """What is sent for `task`: the examples stand after its system turn."""
        system = tuple(message for message in task.messages[:1] if message.role == "system")
        messages = (*system, *self.examples, *task.messages[len(system) :])
        return GenerateRequest(messages, Sampling(max_tokens=max_tokens), task.schema if self.grammar else None)


def example_turns(tasks: Sequence[Task]) -> tuple[Message, ...]:
    """Solved tasks as earlier turns; what stood in a system turn becomes part of the question."""
    turns: list[Message] = []
    for task in tasks:
        turns.append(Message("user", "\n\n".join(message.text for message in task.messages)))
        turns.append(Message("assistant", task.reference or ""))
    return tuple(turns)


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

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._answers

    def __getitem__(self, task_id: str) -> Answer:
        return self._answers[task_id]

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
    session: Session, tasks: Sequence[Task], configuration: Configuration, *, max_tokens: int, run: RunContext
) -> Mapping[str, Answer]:
    """Answers by task id, in the order of the tasks; what an earlier attempt left in `run.scratch` is not asked again."""
    slug = "".join(letter if letter.isalnum() else "-" for letter in configuration.name)
    log = AnswerLog(run.scratch / f"answers-{slug}.jsonl")
    waiting = [task for task in tasks if task.id not in log]
    done, unit = len(tasks) - len(waiting), f"tasks, {configuration.name}"
    run.progress(done, len(tasks), unit)
    with closing(_answers(session, waiting, configuration, max_tokens)) as answers:
        for answer in answers:
            log.add(answer)
            done += 1
            run.progress(done, len(tasks), unit)
    return {task.id: log[task.id] for task in tasks}


def _answers(
    session: Session, tasks: Sequence[Task], configuration: Configuration, max_tokens: int
) -> Generator[Answer, None, None]:
    """Each as soon as it is there, `session.parallel` under way at once. Closing ends those within a token."""
    stopped = threading.Event()

    def answer(task: Task) -> Answer:
        return _answer(session, task, configuration, max_tokens, stopped)

    if session.parallel == 1:  # in this thread: in another one, llama.cpp would start a second team of its own
        yield from map(answer, tasks)
        return
    pool = ThreadPoolExecutor(session.parallel, "probe")
    try:
        for future in as_completed([pool.submit(answer, task) for task in tasks]):
            yield future.result()
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def _answer(session: Session, task: Task, configuration: Configuration, max_tokens: int, stopped: threading.Event) -> Answer:
    started = time.monotonic()
    stream = session.stream(configuration.request(task, max_tokens), configuration.adapter)
    tokens = []
    try:
        for token in stream:
            tokens.append(token)
            if stopped.is_set():
                raise CancelledError
    finally:
        # One that is neither exhausted nor closed would keep the session for itself.
        if callable(close := getattr(stream, "close", None)):
            close()
    text = "".join(token.text for token in tokens)
    reason = tokens[-1].finish_reason or "" if tokens else ""
    return Answer(task.id, text, tuple(token.logprob for token in tokens), reason, time.monotonic() - started)
