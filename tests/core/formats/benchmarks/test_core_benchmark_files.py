"""Readers of benchmark files: what they say is read as it is meant, and what is of another kind is refused by name."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from cogumi_core import InputError, Message
from cogumi_core.api.locate import locate
from cogumi_core.formats.benchmarks.bfcl import ANSWERS, QUESTIONS, read_bfcl, reference_call
from cogumi_core.formats.benchmarks.humaneval import HumanEvalRow, read_humaneval
from cogumi_core.formats.tools import parse_call

QUESTION = {
    "id": "q1",
    "question": [[{"role": "system", "content": "Be exact."}, {"role": "user", "content": "Is it warm in Rome?"}]],
    "function": [
        {
            "name": "weather",
            "description": "Weather of a place.",
            "parameters": {"type": "dict", "properties": {"place": {"type": "string"}}, "required": ["place"]},
        }
    ],
}
PROBLEM = {
    "task_id": "HumanEval/0",
    "prompt": "def one():\n",
    "entry_point": "one",
    "canonical_solution": "    return 1\n",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
}


def bfcl(folder: Path, question: dict[str, Any], truth: list[Any]) -> list[Any]:
    """The rows of a BFCL file with this one question."""
    (folder / "questions.json").write_text(json.dumps(question))
    (folder / "answers.json").write_text(json.dumps({"id": "q1", "ground_truth": truth}))
    return list(read_bfcl(folder / "questions.json", folder / "answers.json"))


def test_a_bfcl_row_has_turns_and_functions_in_standard_json_schema(tmp_path: Path) -> None:
    (row,) = bfcl(tmp_path, QUESTION, [{"weather": {"place": ["Rome"]}}])
    assert row.messages == (Message("system", "Be exact."), Message("user", "Is it warm in Rome?"))
    assert row.tools[0]["parameters"]["type"] == "object"
    assert parse_call(reference_call(row)) == ("weather", {"place": "Rome"})


@pytest.mark.parametrize(
    ("changes", "truth", "problem"),
    [
        ({}, [{"rain": {}}], "which the row does not describe"),
        ({}, [{"weather": {}}, {"weather": {}}], "needs 1 turns and 2 calls"),
        ({"function": [{"name": "weather", "parameters": {"type": "HashMap"}}]}, [{"weather": {}}], "unknown type 'HashMap'"),
        ({"question": [[{"role": "robot", "content": "a"}]]}, [{"weather": {}}], "has the role 'robot'"),
        ({"question": 3}, [{"weather": {}}], "not a BFCL row"),
        ({"id": "q2"}, [{"weather": {}}], "no possible answer for 'q2'"),
    ],
)
def test_a_bfcl_row_of_another_kind_is_named(changes: dict[str, Any], truth: list[Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"questions\.json, line 1") as caught:
        bfcl(tmp_path, {**QUESTION, **changes}, truth)
    assert problem in str(caught.value)


@pytest.mark.parametrize("name", ["problems.jsonl", "problems.jsonl.gz"])
def test_humaneval_is_read_plain_and_gzipped(name: str, tmp_path: Path) -> None:
    data = json.dumps(PROBLEM).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    (row,) = read_humaneval(tmp_path / name)
    assert row == HumanEvalRow(*PROBLEM.values())
    assert row.question == "Complete this Python function.\n\n```python\ndef one():\n```"
    assert row.answer == "```python\ndef one():\n    return 1\n```"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"task_id": 3}', "not a HumanEval problem; task_id, prompt"),
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object"),
        ("\udcff", "not text in UTF-8"),
    ],
)
def test_a_bad_humaneval_line_is_named(line: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_bytes(line.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"bad\.jsonl, line 1") as caught:
        list(read_humaneval(tmp_path / "bad.jsonl"))
    assert problem in str(caught.value)


def test_every_bfcl_reference_is_one_call_that_gives_all_required_arguments() -> None:
    for row in read_bfcl(locate(QUESTIONS), locate(ANSWERS)):
        call = parse_call(reference_call(row))
        assert call is not None
        name, arguments = call
        parameters = next(tool for tool in row.tools if tool["name"] == name)["parameters"]
        assert set(parameters.get("required", ())) <= set(arguments) <= set(parameters["properties"])


@pytest.mark.parametrize(
    ("position", "arguments"),
    [
        (211, {"to": "john.doe@example.com", "subject": "Meeting", "body": "Let's meet at 10 AM tomorrow"}),
        (122, {"table": [[10, 20], [30, 40]]}),
        (
            89,
            {
                "database_name": "StudentDB",
                "table_name": "students",
                "conditions": {"department": "Science", "school": "Bluebird High School"},
            },
        ),
    ],
    ids=["only left out", "nested lists", "objects of alternatives"],
)
def test_bfcl_references_are_plain_values(position: int, arguments: dict[str, Any]) -> None:
    row = list(read_bfcl(locate(QUESTIONS), locate(ANSWERS)))[position]
    assert parse_call(reference_call(row)) == (next(iter(row.accepted)), arguments)
