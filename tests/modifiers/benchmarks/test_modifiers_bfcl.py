"""The benchmark `bfcl`: its splits, and its grader on right, wrong and odd answers."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import Any

import pytest

from cogumi_core.api.errors import InputError
from cogumi_core.api.interfaces import Benchmark, Services
from cogumi_core.api.types import Message, Task
from cogumi_core.formats.tools import format_call
from cogumi_core.testing.samples import ODD_TEXTS
from cogumi_modifiers.benchmarks.bfcl import BfclBenchmark
from cogumi_modifiers.benchmarks.splits import near_duplicates, split_by_group
from cogumi_modifiers.config import BfclSettings

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


def _benchmark(**settings: Any) -> BfclBenchmark:
    return BfclBenchmark(BfclSettings(**settings), Services(None))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def benchmark() -> BfclBenchmark:
    return _benchmark()


def _task(index: int, group: str, text: str = "") -> Task:
    return Task(f"t{index}", (Message("user", text or f"question {index}"),), "d", group, {})


BOOK = Task("t", (Message("user", "?"),), "automation", "book", {"book": ACCEPTED}, schema=SCHEMA)


def test_it_is_a_benchmark(benchmark: BfclBenchmark) -> None:
    assert isinstance(benchmark, Benchmark)


def test_every_reference_of_the_data_is_graded_correct() -> None:
    everything = _benchmark(mine_tasks=0, train_tasks=0, validate_tasks=400)
    wrong = [task.id for task in everything.tasks("validate") if not everything.grade(task, task.reference or "").correct]
    assert wrong == []


def test_no_function_is_in_two_splits(benchmark: BfclBenchmark) -> None:
    groups = [{task.group for task in benchmark.tasks(split)} for split in SPLITS]
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_splits_have_the_sizes_asked_for(benchmark: BfclBenchmark) -> None:
    settings = BfclSettings()
    sizes = [len(list(benchmark.tasks(split))) for split in SPLITS]
    assert sizes == [settings.mine_tasks, settings.train_tasks, settings.validate_tasks]


def test_another_seed_gives_another_split() -> None:
    one, other = ({task.id for task in _benchmark(split_seed=seed).tasks("validate")} for seed in (1, 2))
    assert 0 < len(one & other) < len(one)


def test_the_split_does_not_depend_on_the_order_of_the_tasks() -> None:
    tasks = [_task(index, f"g{index % 17}") for index in range(60)]
    counts = {"mine": 10, "train": 20, "validate": 15}
    expected = split_by_group(tasks, counts, 5)
    random.Random(0).shuffle(tasks)
    assert split_by_group(tasks, counts, 5) == expected


def test_the_split_does_not_depend_on_pythons_hash_seed() -> None:
    program = (
        "from cogumi_core.api.interfaces import Services\nfrom cogumi_modifiers.config import BfclSettings\n"
        "from cogumi_modifiers.benchmarks.bfcl import BfclBenchmark\n"
        "print([t.id for t in BfclBenchmark(BfclSettings(), Services(None)).tasks('mine')])"
    )
    seeds = ({**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2"))
    one, two = (
        subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True).stdout for env in seeds
    )
    assert one == two


def test_resizing_a_split_leaves_the_held_out_tasks_alone() -> None:
    small, large = (list(_benchmark(train_tasks=size).tasks("validate")) for size in (20, 190))
    assert small == large


def test_splits_larger_than_the_data_are_an_input_error() -> None:
    with pytest.raises(InputError, match="has 400 tasks, too few"):
        list(_benchmark(train_tasks=600).tasks("train"))


def test_an_unknown_split_is_an_input_error(benchmark: BfclBenchmark) -> None:
    with pytest.raises(InputError, match="the splits are mine, train, validate"):
        list(benchmark.tasks("test"))


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
def test_a_call_with_accepted_values_is_correct(benchmark: BfclBenchmark, arguments: dict[str, Any]) -> None:
    assert benchmark.grade(BOOK, format_call("book", arguments)).correct


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
def test_a_wrong_call_is_wrong_and_says_why(benchmark: BfclBenchmark, arguments: dict[str, Any], reason: str) -> None:
    grade = benchmark.grade(BOOK, format_call("book", arguments))
    assert (grade.correct, grade.score, grade.reason) == (False, 0.0, reason)


def test_an_argument_that_may_not_be_left_out_is_missed_though_the_schema_has_it_optional(benchmark: BfclBenchmark) -> None:
    task = Task("t", (), "automation", "book", {"book": {"city": ["NYC"], "nights": [3]}}, schema=SCHEMA)
    assert benchmark.grade(task, format_call("book", {"city": "NYC"})).reason == "missing argument"


def test_among_several_functions_the_right_one_counts(benchmark: BfclBenchmark) -> None:
    other = {"properties": {"name": {"const": "cancel"}, "arguments": {"properties": {}, "required": []}}}
    task = Task("t", (), "automation", "book", {"book": {"city": ["NYC"]}}, schema={"oneOf": [other, SCHEMA]})
    assert benchmark.grade(task, format_call("book", {"city": "NYC"})).correct
    assert benchmark.grade(task, format_call("cancel", {})).reason == "wrong function"


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
def test_no_answer_however_odd_upsets_the_grader(benchmark: BfclBenchmark, answer: str) -> None:
    assert not benchmark.grade(BOOK, answer).correct
