"""The source `jsonl`: every layout that is about; a bad row is named by file and line."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cogumi_core import InputError, Message, Prompt, RunContext, ToolCall
from cogumi_core.formats.conversations import message_row
from cogumi_core.formats.rows import dump_line, example_row
from cogumi_core.testing import sample_examples
from cogumi_teachers.sources.jsonl import JsonlSource
from cogumi_teachers.sources.settings import JsonlSettings

USER = Message("user", "Hi?")
TURNS = [{"role": "user", "content": "Hi?"}]
LAYOUTS = Path(__file__).parent / "layouts"
WEATHER = ToolCall("weather", '{"place": "Rome"}', "c1")


def read(work: RunContext, *rows: Any, **settings: Any) -> list[Prompt]:
    """The prompts of a file `data.jsonl` with these rows, each an object or a raw line."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (work.services.base_dir / "data.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return prompts_of("data.jsonl", work, **settings)


def prompts_of(path: str | Path, work: RunContext, **settings: Any) -> list[Prompt]:
    return list(JsonlSource(JsonlSettings(path=str(path), **settings), work.services).prompts(work))


def layout(name: str, work: RunContext) -> list[Prompt]:
    """The prompts of one of the small files beside this one."""
    return prompts_of(LAYOUTS / f"{name}.jsonl", work)


def test_alpaca_rows_are_read(work: RunContext) -> None:
    french, prime, capital = layout("alpaca", work)
    assert french.messages == (Message("user", "Translate into French.\n\nGood morning."),)
    assert prime.messages == (Message("user", "Name a prime number."),)
    assert capital.messages[0] == Message("system", "You answer in one word.")
    assert [prompt.reference for prompt in (french, prime, capital)] == ["Bonjour.", "Seven.", "Paris."]


def test_sharegpt_rows_are_read(work: RunContext) -> None:
    talk, beside, _ = layout("sharegpt", work)
    assert [turn.role for turn in talk.messages] == ["system", "user", "assistant", "user"]
    assert (talk.messages[-1].content, talk.reference) == ("Who are you?", "A model.")
    assert beside.messages == (Message("system", "Be brief."), Message("user", "Hi!"))


def test_sharegpt_rows_hold_functions_calls_and_results(work: RunContext) -> None:
    tool = layout("sharegpt", work)[2]
    assert [function["name"] for function in tool.tools] == ["weather"]
    call = tool.messages[1].tool_calls[0]
    assert (call.name, json.loads(call.arguments)) == ("weather", {"place": "Rome"})
    assert tool.messages[2] == Message("tool", '{"celsius": 31}')
    assert tool.reference == "Yes, 31 °C."


def test_openai_rows_keep_their_system_turn_as_a_turn(work: RunContext) -> None:
    talk = layout("openai", work)[0]
    assert talk.messages == (Message("system", "Be brief."), Message("user", "Hi!"))
    assert talk.reference == "Hello."


def test_openai_rows_hold_functions_calls_and_results(work: RunContext) -> None:
    _, call, result = layout("openai", work)
    assert call.tools == result.tools
    assert call.tools[0]["name"] == "weather"
    assert json.loads(call.reference or "") == {"name": "weather", "arguments": {"place": "Rome"}}
    assert result.messages[1:] == (Message("assistant", "", (WEATHER,)), Message("tool", '{"celsius": 31}', (), "c1"))


def test_every_layout_of_one_conversation_gives_the_same_prompt(work: RunContext) -> None:
    turns = [Message("system", "Be brief."), Message("user", "Hi?"), Message("assistant", "Yo.")]
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    rows = [
        {"system": "Be brief.", "instruction": "Hi?", "output": "Yo."},
        {"conversations": [{"from": names[turn.role], "value": turn.content} for turn in turns]},
        {"messages": [message_row(turn) for turn in turns]},
    ]
    found = [(prompt.messages, prompt.reference) for prompt in read(work, *rows)]
    assert found == [found[0]] * 3
    assert found[0] == (tuple(turns[:2]), "Yo.")


def test_a_data_set_of_our_own_is_a_source_again(work: RunContext) -> None:
    rows = [example_row(example) for example in sample_examples()]
    rows.append(
        {
            "id": "long",
            "instruction": "system: Be brief.\n\nuser: Hi?",
            "response": "Yo.",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi?"},
                {"role": "assistant", "content": "Yo."},
            ],
        }
    )
    prompts = read(work, *map(dump_line, rows))
    assert [prompt.id for prompt in prompts] == [row["id"] for row in rows]
    assert [prompt.reference for prompt in prompts] == [row["response"] for row in rows]
    assert prompts[-1].messages == (Message("system", "Be brief."), USER)


@pytest.mark.parametrize(
    ("row", "messages", "reference"),
    [
        ({"prompt": "Hi?"}, (USER,), None),
        ({"prompt": "Hi?", "reference": "Yo."}, (USER,), "Yo."),
        ({"instruction": "Hi?", "response": "Yo."}, (USER,), "Yo."),
        ({"instruction": "Hi?", "input": "", "output": "Yo."}, (USER,), "Yo."),
        ({"instruction": "Add.", "input": "1 2", "output": "3"}, (Message("user", "Add.\n\n1 2"),), "3"),
        ({"messages": [{"role": "user", "content": "Hi?"}]}, (USER,), None),
        ({"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yo."}]}, (USER,), "Yo."),
        ({"prompt": "Hi?", "reference": None}, (USER,), None),
    ],
    ids=["prompt", "reference", "standard form", "alpaca", "alpaca with input", "messages", "last turn answers", "null answer"],
)
def test_jsonl_reads_the_usual_shapes(
    row: dict[str, Any], messages: tuple[Message, ...], reference: str | None, work: RunContext
) -> None:
    (prompt,) = read(work, row)
    assert (prompt.messages, prompt.reference) == (messages, reference)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{", "line 2: not valid JSON"),
        ("[]", "line 2: each line must be a JSON object"),
        ({}, "line 2: no question"),
        ({"prompt": " "}, "line 2: no question; one of 'prompt'"),
        ({"prompt": 5}, "line 2: no question"),
        ({"prompt": None}, "line 2: no question"),
        ({"prompt": "a", "instruction": "b"}, "has both 'prompt' and 'instruction'"),
        ({"prompt": "a", "response": "b", "output": "c"}, "has both 'response' and 'output'"),
        ({"prompt": "a", "reference": ""}, "line 2: 'reference' is"),
        ({"prompt": "a", "domain": ["x"]}, "line 2: 'domain' is"),
        ({"prompt": "a", "licence": " "}, "line 2: 'licence' is"),
        ({"prompt": "a", "difficulty": 3}, "line 2: 'difficulty' is 3"),
        ({"prompt": "a", "metadata": []}, "line 2: 'metadata' must be an object"),
        ({"prompt": "a", "id": ""}, "line 2: 'id' is"),
        ({"prompt": "a", "id": True}, "line 2: 'id' is true"),
        ({"prompt": "a", "id": "first"}, "line 2: the id 'first' is already on line 1"),
        ({"messages": []}, "line 2: 'messages' must be a list"),
        ({"conversations": [{"from": "robot", "value": "a"}]}, "has the role 'robot'"),
        ({"conversations": [{"from": "function_call", "value": "{"}]}, "not valid JSON"),
        ({"prompt": "a", "tools": [{}]}, "line 2: 'tools'[0] must be"),
        ({"prompt": "a", "tools": "["}, "line 2: 'tools' is not valid JSON"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "line 2: 'messages'[0] has the role 'robot'"),
        ({"messages": [{"role": "user", "content": 1}]}, "line 2: 'messages'[0].content must be text"),
        ({"messages": [{"role": "system", "content": "a"}]}, "must be the user's"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "must be the user's"),
        ({"messages": [*TURNS, {"role": "assistant", "content": ""}]}, "the last turn of the assistant is empty"),
        ({"messages": [*TURNS, {"role": "assistant", "content": "a"}], "response": "b"}, "keep one of them"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(row: Any, problem: str, work: RunContext) -> None:
    with pytest.raises(InputError, match=r"data\.jsonl, line 2") as caught:
        read(work, {"prompt": "fine", "id": "first"}, row)
    assert problem in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_is_an_empty_data_set(content: bytes, work: RunContext) -> None:
    (work.services.base_dir / "empty.jsonl").write_bytes(content)
    with pytest.raises(InputError, match="empty data set"):
        prompts_of("empty.jsonl", work)


@pytest.mark.parametrize(("name", "problem"), [("none.jsonl", "no such file"), (".", "this is a folder"), ("b", "UTF-8")])
def test_a_path_that_is_no_text_file_is_named(name: str, problem: str, work: RunContext) -> None:
    (work.services.base_dir / "b").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=problem):
        prompts_of(name, work)


def test_ids_come_from_the_content_where_the_rows_have_none(work: RunContext) -> None:
    first = read(work, {"prompt": "a"}, {"prompt": "b"})
    moved = read(work, {"prompt": "b"}, {"prompt": "a", "domain": "code"})
    assert {prompt.id for prompt in first} == {prompt.id for prompt in moved}


def test_rows_with_equal_content_and_no_id_stay_apart(work: RunContext) -> None:
    ids = [prompt.id for prompt in read(work, {"prompt": "a"}, {"prompt": "a"}, {"prompt": "a"})]
    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]


def test_rows_may_be_numbered(work: RunContext) -> None:
    assert [prompt.id for prompt in read(work, {"prompt": "a", "id": 7})] == ["7"]


def test_the_row_wins_over_its_metadata_and_both_over_the_settings(work: RunContext) -> None:
    rows = [{"prompt": "a", "domain": "math", "metadata": {"domain": "code", "licence": "MIT"}}, {"prompt": "b"}]
    first, second = read(work, *rows, domain="science", licence="CC0-1.0", source="mine")
    assert (first.domain, first.licence, first.source) == ("math", "MIT", "mine")
    assert (second.domain, second.licence, second.source) == ("science", "CC0-1.0", "mine")


def test_a_prompt_always_has_domain_source_and_licence(work: RunContext) -> None:
    (prompt,) = read(work, {"prompt": "a"})
    assert (prompt.domain, prompt.source, prompt.licence) == ("general", "jsonl", "unknown")


def test_difficulty_and_other_metadata_travel_along(work: RunContext) -> None:
    (prompt,) = read(work, {"prompt": "a", "difficulty": "hard", "metadata": {"page": 3}})
    assert prompt.metadata == {"difficulty": "hard", "page": 3}


def test_limit_takes_the_first_rows_and_reads_no_further(work: RunContext) -> None:
    assert len(read(work, {"prompt": "a"}, {"prompt": "b"}, "broken", limit=2)) == 2


def test_jsonl_streams(work: RunContext) -> None:
    (work.services.base_dir / "data.jsonl").write_text('{"prompt": "a"}\nbroken\n')
    prompts = JsonlSource(JsonlSettings(path="data.jsonl"), work.services).prompts(work)
    assert next(prompts).messages[0].content == "a"


def test_the_shipped_prompts_cover_six_domains(work: RunContext) -> None:
    shipped = Path(__file__).parents[3] / "examples" / "prompts.jsonl"
    prompts = prompts_of(shipped, work)
    domains = Counter(prompt.domain for prompt in prompts)
    assert set(domains) == {"code", "reasoning", "math", "science", "conversation", "creative"}
    assert min(domains.values()) >= 21
    assert len(prompts) >= 120
    assert all(prompt.reference and prompt.licence == "Apache-2.0" for prompt in prompts)
    assert {prompt.metadata["difficulty"] for prompt in prompts} == {"easy", "medium", "hard"}
