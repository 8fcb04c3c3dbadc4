"""The benchmark `humaneval`: answers are run, and only ones whose checks ran to the end are right."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from cogumi_core import Registry, RunContext, Task
from cogumi_core.testing import BenchmarkSuite
from cogumi_core.testing.samples import ODD_TEXTS
from cogumi_modifiers.benchmarks.humaneval import HumanEvalBenchmark

BODY = "    return any(abs(a - b) < threshold for i, a in enumerate(numbers) for b in numbers[:i])\n"


class TestConformance(BenchmarkSuite):
    component = "humaneval"
    settings: ClassVar[dict[str, Any]] = {"timeout": 60.0}
    graded = 6


def _benchmark(**settings: Any) -> HumanEvalBenchmark:
    made: HumanEvalBenchmark = Registry.installed().create("benchmark", "humaneval", **settings)
    return made


@pytest.fixture(scope="module")
def benchmark() -> HumanEvalBenchmark:
    return _benchmark(timeout=60.0)


@pytest.fixture(scope="module")
def hasty() -> HumanEvalBenchmark:
    """Too hasty for any answer to be graded right on a busy machine; made for answers that would never end."""
    return _benchmark(timeout=1.0)


@pytest.fixture
def first(run_context: RunContext) -> Task:
    tasks = _benchmark(mine_tasks=0, train_tasks=0, validate_tasks=164).tasks("validate", run_context)
    return next(task for task in tasks if task.id == "HumanEval-0")


def test_the_canonical_solutions_pass(benchmark: HumanEvalBenchmark, run_context: RunContext) -> None:
    tasks = [task for split in ("mine", "train", "validate") for task in benchmark.tasks(split, run_context)][::8]
    assert [task.id for task in tasks if not benchmark.grade(task, task.reference or "", run_context).correct] == []


@pytest.mark.parametrize(
    "answer",
    [
        BODY,
        f"```python\ndef has_close_elements(numbers, threshold):\n{BODY}```",
        f"Sure, here it is:\n```py\ndef has_close_elements(numbers, threshold):\n{BODY}```\nIt compares all pairs.",
    ],
    ids=["body", "block", "block in prose"],
)
def test_a_right_answer_may_be_a_body_or_a_block(
    benchmark: HumanEvalBenchmark, first: Task, answer: str, run_context: RunContext
) -> None:
    assert benchmark.grade(first, answer, run_context).correct


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("    return True\n", "failed its checks"),
        ("    raise SystemExit(0)\n", "ended before its checks"),
        ("    import os; os._exit(0)\n", "ended before its checks"),
        ("I do not know.", "failed its checks"),
        ("``` \n\n```", "no code"),
    ],
)
def test_a_wrong_answer_says_why(
    benchmark: HumanEvalBenchmark, first: Task, answer: str, reason: str, run_context: RunContext
) -> None:
    grade = benchmark.grade(first, answer, run_context)
    assert (grade.correct, grade.reason) == (False, reason)


@pytest.mark.parametrize("answer", ["    while True: pass\n", "    import time; time.sleep(3600)\n"])
def test_an_answer_that_never_ends_is_stopped_and_says_why(
    hasty: HumanEvalBenchmark, first: Task, answer: str, run_context: RunContext
) -> None:
    grade = hasty.grade(first, answer, run_context)
    # Which limit is met first, time or CPU time, is up to how busy the machine is.
    assert not grade.correct
    assert grade.reason in ("over a limit", "too slow")


@pytest.mark.parametrize("answer", ODD_TEXTS)
def test_no_answer_however_odd_upsets_the_grader(
    benchmark: HumanEvalBenchmark, first: Task, answer: str, run_context: RunContext
) -> None:
    assert not benchmark.grade(first, answer, run_context).correct
