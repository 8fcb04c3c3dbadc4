"""Sources: every prompt has an id, a domain, a source and a licence; a bad row is named by file and line."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cogumi_core.api.errors import InputError
from cogumi_core.api.interfaces import Services, Source
from cogumi_core.api.locate import locate
from cogumi_core.api.types import Message, Prompt
from cogumi_core.formats.benchmarks.bfcl import ANSWERS, QUESTIONS, read_bfcl, reference_call
from cogumi_core.formats.tools import parse_call
from cogumi_core.plugins.registry import Registry
from cogumi_teachers.config import JsonlSettings
from cogumi_teachers.sources.jsonl import JsonlSource

USER = Message("user", "Hi?")


def read(services: Services, *rows: Any, **settings: Any) -> list[Prompt]:
    """The prompts of a file `data.jsonl` with these rows, each an object or a raw line."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (services.base_dir / "data.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return list(JsonlSource(JsonlSettings(path="data.jsonl", **settings), services).prompts())


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
    row: dict[str, Any], messages: tuple[Message, ...], reference: str | None, bare_services: Services
) -> None:
    (prompt,) = read(bare_services, row)
    assert (prompt.messages, prompt.reference) == (messages, reference)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{", "line 2: not valid JSON"),
        ("[]", "line 2: each line must be a JSON object"),
        ({}, "line 2: no prompt"),
        ({"prompt": " "}, "line 2: 'prompt' is"),
        ({"prompt": 5}, "line 2: 'prompt' is 5"),
        ({"prompt": None}, "line 2: 'prompt' is null"),
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
        ({"messages": [{"role": "robot", "content": "a"}]}, "message 1 has the role 'robot'"),
        ({"messages": [{"role": "user", "content": 1}]}, "message 1: 'content' is 1"),
        ({"messages": [{"role": "system", "content": "a"}]}, "the last of 'messages' must be the user's"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "the last of 'messages' must be the user's"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(row: Any, problem: str, bare_services: Services) -> None:
    with pytest.raises(InputError, match=r"data\.jsonl, line 2") as caught:
        read(bare_services, {"prompt": "fine", "id": "first"}, row)
    assert problem in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_is_an_empty_data_set(content: bytes, bare_services: Services) -> None:
    (bare_services.base_dir / "empty.jsonl").write_bytes(content)
    with pytest.raises(InputError, match="empty data set"):
        list(JsonlSource(JsonlSettings(path="empty.jsonl"), bare_services).prompts())


@pytest.mark.parametrize(("name", "problem"), [("none.jsonl", "no such file"), (".", "this is a folder"), ("b", "UTF-8")])
def test_a_path_that_is_no_text_file_is_named(name: str, problem: str, bare_services: Services) -> None:
    (bare_services.base_dir / "b").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=problem):
        list(JsonlSource(JsonlSettings(path=name), bare_services).prompts())


def test_ids_come_from_the_content_where_the_rows_have_none(bare_services: Services) -> None:
    first = read(bare_services, {"prompt": "a"}, {"prompt": "b"})
    moved = read(bare_services, {"prompt": "b"}, {"prompt": "a", "domain": "code"})
    assert {prompt.id for prompt in first} == {prompt.id for prompt in moved}


def test_rows_with_equal_content_and_no_id_stay_apart(bare_services: Services) -> None:
    ids = [prompt.id for prompt in read(bare_services, {"prompt": "a"}, {"prompt": "a"}, {"prompt": "a"})]
    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]


def test_rows_may_be_numbered(bare_services: Services) -> None:
    assert [prompt.id for prompt in read(bare_services, {"prompt": "a", "id": 7})] == ["7"]


def test_the_row_wins_over_its_metadata_and_both_over_the_settings(bare_services: Services) -> None:
    rows = [{"prompt": "a", "domain": "math", "metadata": {"domain": "code", "licence": "MIT"}}, {"prompt": "b"}]
    first, second = read(bare_services, *rows, domain="science", licence="CC0-1.0", source="mine")
    assert (first.domain, first.licence, first.source) == ("math", "MIT", "mine")
    assert (second.domain, second.licence, second.source) == ("science", "CC0-1.0", "mine")


def test_a_prompt_always_has_domain_source_and_licence(bare_services: Services) -> None:
    (prompt,) = read(bare_services, {"prompt": "a"})
    assert (prompt.domain, prompt.source, prompt.licence) == ("general", "jsonl", "unknown")


def test_difficulty_and_other_metadata_travel_along(bare_services: Services) -> None:
    (prompt,) = read(bare_services, {"prompt": "a", "difficulty": "hard", "metadata": {"page": 3}})
    assert prompt.metadata == {"difficulty": "hard", "page": 3}


def test_limit_takes_the_first_rows_and_reads_no_further(bare_services: Services) -> None:
    assert len(read(bare_services, {"prompt": "a"}, {"prompt": "b"}, "broken", limit=2)) == 2


def test_jsonl_streams(bare_services: Services) -> None:
    (bare_services.base_dir / "data.jsonl").write_text('{"prompt": "a"}\nbroken\n')
    prompts = JsonlSource(JsonlSettings(path="data.jsonl"), bare_services).prompts()
    assert next(prompts).messages[0].content == "a"


@pytest.mark.parametrize(("name", "count", "licence"), [("bfcl", 400, "Apache-2.0"), ("humaneval", 164, "MIT")])
def test_installed_benchmarks_are_sources(name: str, count: int, licence: str, registry: Registry) -> None:
    source = registry.create("source", name)
    prompts = list(source.prompts())
    assert isinstance(source, Source)
    assert len({prompt.id for prompt in prompts}) == count
    assert {prompt.licence for prompt in prompts} == {licence}
    assert all(prompt.reference and prompt.domain and prompt.source == name for prompt in prompts)
    assert prompts == list(source.prompts())


@pytest.mark.parametrize("name", ["bfcl", "humaneval"])
def test_a_missing_package_is_named_with_the_pip_command(name: str, registry: Registry) -> None:
    with pytest.raises(InputError, match=r"python -m cogumi_core.formats.data_packages no-such-package"):
        list(registry.create("source", name, path="package:no_such_package/data.json").prompts())


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


@pytest.mark.parametrize("name", ["parallel", "simple_java"])
def test_bfcl_files_of_another_kind_are_refused(name: str, registry: Registry) -> None:
    files = {"path": QUESTIONS.replace("simple_python", name), "answers": ANSWERS.replace("simple_python", name)}
    with pytest.raises(InputError, match="line"):
        list(registry.create("source", "bfcl", **files).prompts())


def test_a_bfcl_file_with_the_answers_of_another_is_refused(registry: Registry) -> None:
    with pytest.raises(InputError, match="no possible answer"):
        list(registry.create("source", "bfcl", answers=ANSWERS.replace("simple_python", "multiple")).prompts())


def test_humaneval_references_are_python_that_defines_the_function(registry: Registry) -> None:
    for prompt in registry.create("source", "humaneval").prompts():
        code = (prompt.reference or "").removeprefix("```python\n").removesuffix("\n```")
        compile(code, prompt.id, "exec")


def test_a_damaged_humaneval_file_is_named(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(InputError, match=r"bad\.jsonl\.gz"):
        list(registry.create("source", "humaneval", path=str(tmp_path / "bad.jsonl.gz")).prompts())


def test_the_shipped_prompts_cover_six_domains(registry: Registry) -> None:
    shipped = Path(__file__).parents[3] / "examples" / "prompts.jsonl"
    prompts = list(registry.create("source", "jsonl", path=str(shipped)).prompts())
    domains = Counter(prompt.domain for prompt in prompts)
    assert set(domains) == {"code", "reasoning", "math", "science", "conversation", "creative"}
    assert min(domains.values()) >= 21
    assert len(prompts) >= 120
    assert all(prompt.reference and prompt.licence == "Apache-2.0" for prompt in prompts)
    assert {prompt.metadata["difficulty"] for prompt in prompts} == {"easy", "medium", "hard"}
