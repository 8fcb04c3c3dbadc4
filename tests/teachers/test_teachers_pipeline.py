"""The data components in the pipeline: what their stages write, and what their results depend on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from cogumi_core import Example, Message, Registry, ToolCall, parse_recipe, run
from cogumi_core.formats.dataset import DROPPED, GROUPS, KEPT, JsonlDataset
from cogumi_core.formats.rows import example_row, read_rows, write_rows
from cogumi_core.stages.data import filter as filter_stage
from cogumi_core.stages.data.distill import DistillStage
from cogumi_core.testing import IsolatedPlugins
from cogumi_core.testing.fake_engine import FakeEngine
from cogumi_teachers import sources, teachers


def built(recipe: str, folder: Path, registry: Registry, *, store: str = "store", only: str | None = None) -> dict[str, Any]:
    """The artifacts of the recipe by stage, built in a store of that name."""
    parsed = parse_recipe(recipe, "data.yaml", folder, registry)
    return dict(run(parsed, out=folder / "out", store=folder / store, registry=registry, only=only).artifacts)


def local_key(engine_version: str) -> dict[str, Any]:
    """The key of a stage in which `local` answers, run by an engine of that version."""
    plugins = IsolatedPlugins()
    plugins.add(*sources.COMPONENTS, *teachers.COMPONENTS)
    plugins.offer("engine", "fake", FakeEngine, version=engine_version)
    text = "{sources: [{use: jsonl, with: {path: p.jsonl}}], distill: [{use: local, with: {model: m.fake}}]}"
    recipe = parse_recipe(text, registry=plugins.registry())
    return DistillStage(name="distill", seed=0, steps=recipe.sections["distill"]).key({"prompts": "0" * 64})


def test_another_version_of_the_engine_is_another_key_for_what_local_answers() -> None:
    assert local_key("1") == local_key("1")
    assert local_key("1") != local_key("2")


def many_rows() -> list[Example]:
    """More rows than one piece of work holds, some to drop for each reason."""
    answers = [
        "A sound answer.",
        "too short",
        "I cannot help with that.",
        "```\nnever closed in this answer",
        "as long as that " * 9,
    ]
    return [
        Example.of(f"r{index}", f"Question {index}?", f"{answers[index % len(answers)]} {index}", {"quality_score": index % 7})
        for index in range(2 * filter_stage.ROWS_AT_ONCE + 100)
    ]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A real tokenizer.json in which every word is one token."""
    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_filters_in_two_processes_give_the_bytes_of_one(
    tmp_path: Path, tokenizer: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "rows.jsonl", map(example_row, many_rows()))
    filters = (
        "filter: [{use: length, with: {tokenizer: tokenizer.json, min_tokens: 4, max_tokens: 20}}, "
        "{use: format, with: {max_repeats: 3}}]"
    )
    alone = built(f"dataset: rows.jsonl\n{filters}", tmp_path, registry, store="alone")
    executor = "executor: {use: local, with: {workers: 2}}"
    monkeypatch.delattr(filter_stage, "pair")  # nothing is judged in this process any more
    beside = built(f"dataset: rows.jsonl\n{executor}\n{filters}", tmp_path, registry, store="beside")
    assert {name: one.digest for name, one in alone.items()} == {name: one.digest for name, one in beside.items()}
    last = list(alone.values())[-1]
    assert {row["reason"] for _, row in read_rows(last.path / DROPPED)} >= {"too short", "too long", "refusal"}
    assert [example.id for example in JsonlDataset.open(last.path)][:2] == ["r0", "r5"]


def test_the_best_scored_copy_stays_and_the_groups_are_written(tmp_path: Path, registry: Registry) -> None:
    text = "An apple is a fruit that grows on trees in every orchard of the valley."
    scores = {"a": 3.0, "b": 9.0, "c": 7.0}
    rows = [
        Example.of(name, "Name a fruit.", f"{text}{'!' * index}", {"quality_score": scores[name]})
        for index, name in enumerate("abc")
    ]
    write_rows(tmp_path / "rows.jsonl", map(example_row, rows))
    artifact = list(built("{dataset: rows.jsonl, dedup: {use: minhash}}", tmp_path, registry).values())[-1]
    assert [row["id"] for _, row in read_rows(artifact.path / KEPT)] == ["b"]
    (group,) = [row for _, row in read_rows(artifact.path / GROUPS)]
    assert (group["survivor"], [copy["id"] for copy in group["duplicates"]]) == ("b", ["a", "c"])


CALLING = """
sources: [{use: bfcl, with: {limit: 5}}]
distill: [{use: reference}]
filter: [{use: format}]
"""


def test_reference_calls_become_rows_with_functions_and_calls(tmp_path: Path, registry: Registry) -> None:
    artifacts = built(CALLING, tmp_path, registry)
    examples = list(JsonlDataset.open(list(artifacts.values())[-1].path))
    assert len(examples) == 5
    for example in examples:
        (call,) = example.answer.tool_calls
        assert call.name in {tool["name"] for tool in example.tools}
        assert json.loads(example.response)["name"] == call.name


def test_a_conversation_keeps_its_roles_on_the_way_to_a_row(tmp_path: Path, registry: Registry) -> None:
    turns = (
        Message("system", "Be brief."),
        Message("user", "Is it warm in Rome?"),
        Message("assistant", "", (ToolCall("weather", '{"place": "Rome"}', "c1"),)),
        Message("tool", '{"celsius": 31}', (), "c1"),
        Message("assistant", "Yes, 31 °C."),
    )
    tools = ({"name": "weather", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}},)
    write_rows(tmp_path / "talk.jsonl", [example_row(Example("t", turns, {}, tools))])
    recipe = "{sources: [{use: jsonl, with: {path: talk.jsonl}}], distill: [{use: reference}]}"
    (example,) = JsonlDataset.open(built(recipe, tmp_path, registry)["distill"].path)
    assert (example.messages, example.tools) == (turns, tools)


@pytest.mark.parametrize("layout", ["alpaca", "sharegpt", "openai"])
def test_a_layout_reads_the_same_as_a_data_set_and_as_a_source(layout: str, tmp_path: Path, registry: Registry) -> None:
    path = Path(__file__).parent / "sources" / "layouts" / f"{layout}.jsonl"
    recipe = f"{{sources: [{{use: jsonl, with: {{path: {path}}}}}], distill: [{{use: reference}}]}}"
    rows = JsonlDataset.open(built(f"{{dataset: {path}, filter: [{{use: format}}]}}", tmp_path, registry)["dataset"].path)
    taught = JsonlDataset.open(built(recipe, tmp_path, registry)["distill"].path)
    said = [[(example.prompt, example.answer.text, example.tools) for example in found] for found in (rows, taught)]
    assert said[0] == said[1]
