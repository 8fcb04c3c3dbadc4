"""The benchmark `bfcl`: its splits, and its grader on right, wrong and odd answers."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
from processes import python

from cogumi_core import InputError, Message, Registry, RunContext, Task
from cogumi_core.formats.tools import format_call
from cogumi_core.testing import BenchmarkSuite
from cogumi_core.testing.samples import ODD_TEXTS
from cogumi_modifiers.benchmarks.bfcl import BfclBenchmark
from cogumi_modifiers.benchmarks.settings import BfclSettings
from cogumi_modifiers.benchmarks.splits import near_duplicates, split_by_group

SPLITS = ("mine", "train", "validate")
SCHEMA = {
    "properties": {
        "name": {"const": "book"},
        "arguments": {
            "properties": {
                "city": {"type": "string"},
                "nights": {"type": "integer"},
                "price": {"type": "number"},
                "rooms": {"type": "array"},
                "guest": {"type": "object"},
                "late": {"type": "boolean"},
            },
            "required": ["city"],
        },
    }
}
ACCEPTED = {
    "city": ["New York", "NYC"],
    "nights": [3, ""],
    "price": [99.5, 100, ""],
    "rooms": [["a", 1], ""],
    "guest": [{"name": ["Ann", "ann lee"], "age": [30, ""]}, ""],
    "late": [True, ""],
}


class TestConformance(BenchmarkSuite):
    component = "bfcl"


def _benchmark(**settings: Any) -> BfclBenchmark:
    made: BfclBenchmark = Registry.installed().create("benchmark", "bfcl", **settings)
    return made


@pytest.fixture(scope="module")
def benchmark() -> BfclBenchmark:
    return _benchmark()


def _task(index: int, group: str, text: str = "") -> Task:
    return Task(f"t{index}", (Message("user", text or f"question {index}"),), "d", group, {})


BOOK = Task("t", (Message("user", "?"),), "automation", "book", {"book": ACCEPTED}, schema=SCHEMA)


def test_every_reference_of_the_data_is_graded_correct(run_context: RunContext) -> None:
    everything = _benchmark(mine_tasks=0, train_tasks=0, validate_tasks=400)
    wrong = [
        task.id
        for task in everything.tasks("validate", run_context)
        if not everything.grade(task, task.reference or "", run_context).correct
    ]
    assert wrong == []


def test_no_function_is_in_two_splits(benchmark: BfclBenchmark, run_context: RunContext) -> None:
    groups = [{task.group for task in benchmark.tasks(split, run_context)} for split in SPLITS]
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_splits_have_the_sizes_asked_for(benchmark: BfclBenchmark, run_context: RunContext) -> None:
    settings = BfclSettings()
    sizes = [len(list(benchmark.tasks(split, run_context))) for split in SPLITS]
    assert sizes == [settings.mine_tasks, settings.train_tasks, settings.validate_tasks]


def test_another_seed_gives_another_split(run_context: RunContext) -> None:
    one, other = ({task.id for task in _benchmark(split_seed=seed).tasks("validate", run_context)} for seed in (1, 2))
    assert 0 < len(one & other) < len(one)


def test_the_split_does_not_depend_on_the_order_of_the_tasks() -> None:
    tasks = [_task(index, f"g{index % 17}") for index in range(60)]
    counts = {"mine": 10, "train": 20, "validate": 15}
    expected = split_by_group(tasks, counts, 5)
    random.Random(0).shuffle(tasks)
    assert split_by_group(tasks, counts, 5) == expected


def test_the_split_does_not_depend_on_pythons_hash_seed() -> None:
    program = (
        "from pathlib import Path\nfrom cogumi_core import Registry, RunContext\n"
        "registry = Registry.installed()\nrun = RunContext(1, Path(), registry.services)\n"
        "print([task.id for task in registry.create('benchmark', 'bfcl').tasks('mine', run)])"
    )
    one, two = (python(program, env={**os.environ, "PYTHONHASHSEED": seed}).stdout for seed in ("1", "2"))
    assert one == two
    assert "bfcl-" in one


def test_resizing_a_split_leaves_the_held_out_tasks_alone(run_context: RunContext) -> None:
    small, large = (list(_benchmark(train_tasks=size).tasks("validate", run_context)) for size in (20, 190))
    assert small == large


def test_splits_larger_than_the_data_are_an_input_error(run_context: RunContext) -> None:
    with pytest.raises(InputError, match="has 400 tasks, too few"):
        list(_benchmark(train_tasks=600).tasks("train", run_context))


def test_an_unknown_split_is_an_input_error(benchmark: BfclBenchmark, run_context: RunContext) -> None:
    with pytest.raises(InputError, match="the splits are mine, train, validate"):
        list(benchmark.tasks("test", run_context))


def test_questions_that_resemble_trained_ones_are_counted() -> None:
    trained = [_task(1, "a", "Find the greatest common divisor (GCD) of 12 and 18")]
    held_out = [
        _task(2, "b", "Find the Greatest Common Divisor (GCD) of two numbers, 36 and 48."),
        _task(3, "c", "Book a hotel"),
    ]
    assert near_duplicates(trained, held_out) == {"t2"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"city": "New York"},
        {"city": "new-york."},
        {"city": "nyc", "nights": 3, "price": 99.5, "late": True},
        {"city": "NYC", "price": 100.0},
        {"city": "NYC", "rooms": ["A", 1]},
        {"city": "NYC", "guest": {"name": "ANN", "age": 30}},
        {"city": "NYC", "guest": {"name": "Ann Lee"}},
    ],
)
def test_a_call_with_accepted_values_is_correct(
    benchmark: BfclBenchmark, arguments: dict[str, Any], run_context: RunContext
) -> None:
    assert benchmark.grade(BOOK, format_call("book", arguments), run_context).correct


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "missing argument"),
        ({"city": "Boston"}, "wrong value"),
        ({"city": ["New York"]}, "wrong value"),
        ({"city": "NYC", "nights": 3.0}, "wrong value"),
        ({"city": "NYC", "nights": "3"}, "wrong value"),
        ({"city": "NYC", "nights": ""}, "wrong value"),
        ({"city": "NYC", "nights": True}, "wrong value"),
        ({"city": "NYC", "late": 1}, "wrong value"),
        ({"city": "NYC", "rooms": [1, "a"]}, "wrong value"),
        ({"city": "NYC", "rooms": ["a"]}, "wrong value"),
        ({"city": "NYC", "guest": {"age": 30}}, "wrong value"),
        ({"city": "NYC", "guest": {"name": "Ann", "size": 1}}, "wrong value"),
        ({"city": "NYC", "stars": 5}, "unknown argument"),
    ],
)
def test_a_wrong_call_is_wrong_and_says_why(
    benchmark: BfclBenchmark, arguments: dict[str, Any], reason: str, run_context: RunContext
) -> None:
    grade = benchmark.grade(BOOK, format_call("book", arguments), run_context)
    assert (grade.correct, grade.score, grade.reason) == (False, 0.0, reason)


def test_an_argument_that_may_not_be_left_out_is_missed_though_the_schema_has_it_optional(
    benchmark: BfclBenchmark, run_context: RunContext
) -> None:
    task = Task("t", (), "automation", "book", {"book": {"city": ["NYC"], "nights": [3]}}, schema=SCHEMA)
    assert benchmark.grade(task, format_call("book", {"city": "NYC"}), run_context).reason == "missing argument"


def test_among_several_functions_the_right_one_counts(benchmark: BfclBenchmark, run_context: RunContext) -> None:
    other = {"properties": {"name": {"const": "cancel"}, "arguments": {"properties": {}, "required": []}}}
    task = Task("t", (), "automation", "book", {"book": {"city": ["NYC"]}}, schema={"oneOf": [other, SCHEMA]})
    assert benchmark.grade(task, format_call("book", {"city": "NYC"}), run_context).correct
    assert benchmark.grade(task, format_call("cancel", {}), run_context).reason == "wrong function"


ODD = [
    "",
    "I would call the function book.",
    '{"name": "book"}',
    '{"name": 1, "arguments": {}}',
    '[{"name": "book", "arguments": {}}]',
    '{"name": "book", "arguments": {"city": NaN}}',
    '{"name": "book", "arguments": {"nights": ' + "9" * 5000 + "}}",
    '{"name": "book", "arguments": {"city": ' + "[" * 5000 + "]" * 5000 + "}}",
    json.dumps({"name": "book", "arguments": {"city": None, "guest": [[]], "rooms": {"a": 1}}}),
    *ODD_TEXTS,
]


@pytest.mark.parametrize("answer", ODD)
def test_no_answer_however_odd_upsets_the_grader(benchmark: BfclBenchmark, answer: str, run_context: RunContext) -> None:
    assert not benchmark.grade(BOOK, answer, run_context).correct
