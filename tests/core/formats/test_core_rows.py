"""Rows and the values that they stand for: what is written is read back, and what cannot be read names file, line and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogumi_core import Example, InputError, Message, Prompt, RouteExample, ToolCall
from cogumi_core.formats.dataset import KEPT, JsonlDataset, MemoryDataset
from cogumi_core.formats.rows import (
    dump_line,
    example_from_row,
    example_row,
    parse_row,
    prompt_from_row,
    prompt_row,
    read_rows,
    route_example_from_row,
    route_example_row,
    write_rows,
)

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12)
TEXT = WORDS.filter(str.strip)
CALLS = st.builds(ToolCall, TEXT, st.just('{"a": 1}'), WORDS)
TURNS = st.one_of(
    st.builds(Message, st.sampled_from(("system", "user")), TEXT),
    st.builds(Message, st.just("assistant"), TEXT, st.lists(CALLS, max_size=2).map(tuple)),
    st.builds(Message, st.just("tool"), TEXT, st.just(()), WORDS),
)
ANSWERS = st.one_of(
    st.builds(Message, st.just("assistant"), TEXT),
    st.builds(Message, st.just("assistant"), st.just(""), st.lists(CALLS, min_size=1, max_size=2).map(tuple)),
)
TOOLS = st.lists(st.fixed_dictionaries({"name": TEXT, "description": WORDS}), max_size=2).map(tuple)
METADATA = st.dictionaries(WORDS, st.integers() | WORDS | st.none(), max_size=3)
EXAMPLES = st.builds(
    lambda id, turns, answer, metadata, tools: Example(id, (*turns, answer), metadata, tools),
    TEXT,
    st.lists(TURNS, min_size=1, max_size=4).filter(lambda turns: turns[-1].role != "assistant"),
    ANSWERS,
    METADATA,
    TOOLS,
)


@given(EXAMPLES)
def test_an_example_comes_back_from_its_row_as_it_was(example: Example) -> None:
    assert example_from_row(parse_row(dump_line(example_row(example)).encode(), "here"), "here") == example


@given(EXAMPLES)
def test_a_row_of_one_question_and_one_answer_is_alpaca_s(example: Example) -> None:
    row = example_row(example)
    assert row["response"] == example.response
    plain = len(example.messages) == 2 and example.messages[0].role == "user" and not example.answer.tool_calls
    assert ("messages" in row) is not plain


@given(
    st.builds(
        Prompt, TEXT, st.lists(TURNS, min_size=1, max_size=3).map(tuple), TEXT, TEXT, TEXT, st.none() | TEXT, METADATA, TOOLS
    )
)
def test_a_prompt_comes_back_from_its_row_as_it_was(prompt: Prompt) -> None:
    assert prompt_from_row(json.loads(json.dumps(prompt_row(prompt)))) == prompt


def test_an_outcome_comes_back_with_its_features() -> None:
    outcome = RouteExample((Message("user", "?"),), "code", "fit", "yes", (-0.5, -0.25), True, False, True, {"mean": -0.375})
    assert route_example_from_row(json.loads(json.dumps(route_example_row(outcome)))) == outcome


def test_a_mark_blank_lines_and_dos_line_ends_are_read_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": 2}')
    assert list(read_rows(path)) == [(1, {"a": 1}), (4, {"a": 2})]


UNREADABLE = {
    "cut": (b'{"a": 1', "not valid JSON"),
    "no object": (b"[1]", "each line must be a JSON object, this is list"),
    "NaN": (b'{"a": NaN}', "NaN is no JSON number"),
    "latin-1": ('{"a": "é"}'.encode("latin-1"), "not text in UTF-8"),
    "deep": (b'{"a": ' + b"[" * 100_000, "nested too deeply|maximum recursion"),
    "many digits": (b'{"a": ' + b"9" * 5_000 + b"}", "not JSON that can be read"),
}


@pytest.mark.parametrize(("line", "said"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_line_that_cannot_be_read_is_named_with_its_file(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b"\n")
    with pytest.raises(InputError, match=rf"rows\.jsonl, line 2: .*({said})"):
        list(read_rows(path))


WRONG_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "no id": ({"instruction": "a", "response": "b"}, "'id' is missing"),
    "no question": ({"id": "1", "response": "b"}, "no question"),
    "no answer": ({"id": "1", "instruction": "a"}, "no answer"),
    "blank answer": ({"id": "1", "instruction": "a", "response": " "}, "no answer"),
    "metadata": ({"id": "1", "instruction": "a", "response": "b", "metadata": [1]}, "'metadata' must be an object"),
    "only an answer": ({"id": "1", "messages": [{"role": "assistant", "content": "b"}]}, "needs a question"),
    "role": ({"id": "1", "messages": [{"role": "robot", "content": "b"}]}, r"'messages'\[0\] has the role 'robot'"),
    "tools": ({"id": "1", "instruction": "a", "response": "b", "tools": [{}]}, r"'tools'\[0\] must be"),
}


@pytest.mark.parametrize(("row", "said"), WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_a_row_that_is_no_example_says_which_field(row: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=rf"^rows, line 3: .*{said}"):
        example_from_row(row, "rows, line 3")


NULLS = ("metadata", "messages", "conversations", "tools", "system", "input")


@pytest.mark.parametrize("column", NULLS)
def test_a_column_that_is_null_counts_as_absent(column: str) -> None:
    row = {"id": "1", "instruction": "a", "response": "b"}
    assert example_from_row({**row, column: None}, "x") == example_from_row(row, "x")


# --- data sets ------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 12))
def test_shards_together_are_the_whole_in_order(tmp_path_factory: pytest.TempPathFactory, rows: int, count: int) -> None:
    examples = [Example.of(f"r{index}", f"q {'x' * index}", "a\n" * (index + 1)) for index in range(rows)]
    folder = tmp_path_factory.mktemp("rows")
    write_rows(folder / KEPT, map(example_row, examples))
    for dataset in (JsonlDataset.open(folder), MemoryDataset(examples)):
        shards = dataset.shards(count)
        assert [example for shard in shards for example in shard] == examples == list(dataset)
        assert len(shards) == min(count, rows)
        sizes = [len(shard) for shard in shards]
        assert max(sizes) - min(sizes) <= 1
        assert [len(list(part)) for shard in shards for part in shard.shards(2)] == [
            len(part) for shard in shards for part in shard.shards(2)
        ]


def test_a_bad_row_in_a_shard_has_the_number_of_its_line_in_the_file(tmp_path: Path) -> None:
    lines = [dump_line(example_row(Example.of(f"r{i}", "q", "a"))) for i in range(6)]
    (tmp_path / KEPT).write_text("".join([*lines[:4], '{"id": "bad"}\n', lines[5]]))
    last = JsonlDataset.open(tmp_path).shards(2)[1]
    with pytest.raises(InputError, match=r"line 5: no question"):
        list(last)
