"""Schemas as grammars: everything that comes out is JSON that the schema allows, and what cannot be kept is refused by name."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from serve_support import ask

from cogumi_core import JSON, EngineError
from cogumi_core.formats.tools import call_schema
from cogumi_serve.engines.llama_cpp.engine import LlamaCppSession
from cogumi_serve.engines.llama_cpp.native import Grammar, Model
from cogumi_serve.grammar.json_grammar import grammar_of
from cogumi_serve.grammar.number_grammar import integer_rule, number_rule

WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"type": "string", "enum": ["C", "F"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 14},
        },
        "required": ["city"],
    },
}
PING = {"name": "ping", "parameters": {"type": "object", "properties": {}}}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "required": ["name"],
        }
    },
}

# (schema, texts that must pass, texts that must not)
TABLE: list[tuple[JSON, list[str], list[str]]] = [
    ({"const": 'a "quoted" \\ back\nslash é'}, ['"a \\"quoted\\" \\\\ back\\nslash é"'], ['"a"', '"a \\"quoted\\""']),
    ({"enum": ["x", 1, None, True, [1, 2]]}, ['"x"', "1", "null", "true", "[1, 2]"], ['"y"', "2", "false"]),
    ({"type": "string", "enum": ["x", 1]}, ['"x"'], ["1"]),
    ({"type": ["string", "null"]}, ['"a"', "null"], ["1"]),
    ({"type": "string"}, ['""', '"a\\n\\u00e9 \\"q\\""', '"日本"'], ['"a\nb"', '"\\ud800"', "a", '"a']),
    ({"type": "string", "minLength": 2, "maxLength": 3}, ['"ab"', '"abc"'], ['"a"', '"abcd"']),
    ({"type": "string", "format": "date"}, ['"2024-02-28"'], ['"2024-13-01"', '"2024-1-1"']),
    ({"type": "string", "format": "something-else"}, ['"anything"'], ["1"]),
    ({"type": "integer"}, ["0", "-7", "1234"], ["01", "1.5", "+1", ""]),
    ({"type": "number"}, ["0", "-7.25", "1e5", "1.5E-3"], [".5", "1.", "01", "NaN"]),
    ({"type": "number", "minimum": 0, "maximum": 1}, ["0", "0.5", "1"], ["-0.5", "1.5", "2"]),
    ({"type": "boolean"}, ["true", "false"], ["True", "null"]),
    (
        {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
        ["[1]", "[1, 2]", "[1,2]"],
        ["[]", "[1,2,3]"],
    ),
    ({"type": "array", "items": {"type": "null"}, "maxItems": 0}, ["[]"], ["[null]"]),
    ({"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False}, ['[1, "a"]'], ["[1]", '["a", 1]']),
    ({"type": "object"}, ["{}", '{"a": 1, "b": [{}]}'], ["[]", '{"a" : 1}']),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, ["{}", '{"a": 1}'], ['{"a": "b"}']),
    ({"type": "object", "additionalProperties": False}, ["{}"], ['{"a": 1}']),
    (
        {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "null"}, "c": {}}, "required": ["b"]},
        ['{"b": null}', '{"a": 1, "b": null}', '{"b":null,"c":[]}', '{"a": 1, "b": null, "c": "x"}'],
        ["{}", '{"a": 1}', '{"b": null,}', '{"b": null, "d": 1}', '{ "b": null}', '{"b":  null}'],
    ),
    (
        {"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}},
        ["{}", '{"a": null}', '{"b": null}', '{"a": null, "b": null}'],
        ['{, "b": null}', '{"a": null, }'],
    ),
    (
        {"oneOf": [{"type": "integer"}, {"type": "object", "properties": {"k": {"const": 1}}, "required": ["k"]}]},
        ["5", '{"k": 1}'],
        ['"a"', "{}"],
    ),
    (
        {
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
            "type": "object",
            "properties": {"a": {"const": 1}, "b": {"const": 2}},
        },
        ['{"a": 1}', '{"b": 2}', '{"a": 1, "b": 2}'],
        ["{}"],
    ),
    (
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]},
                {"properties": {"b": {"const": 2}}, "required": ["b"]},
            ]
        },
        ['{"a": 1, "b": 2}'],
        ['{"a": 1}'],
    ),
    (
        TREE,
        ['{"name": "a"}', '{"name": "a", "children": [{"name": "b", "children": []}]}'],
        ["{}", '{"name": "a", "children": [1]}'],
    ),
    (True, ["1", '"a"', "[]", '{"a": null}'], ["", "nul"]),
    (
        call_schema([WEATHER, PING]),
        [
            '{"name": "get_weather", "arguments": {"city": "Rome", "unit": "C", "days": 14}}',
            '{"name": "ping", "arguments": {}}',
        ],
        [
            '{"name": "get_weather", "arguments": {}}',
            '{"name": "ping", "arguments": {"city": "Rome"}}',
            '{"name": "pong", "arguments": {}}',
            '{"name": "get_weather", "arguments": {"city": "Rome", "days": 15}}',
        ],
    ),
]


@pytest.fixture(scope="module")
def vocabulary(base_path: Path) -> Iterator[Model]:
    model = Model(base_path, vocab_only=True, mmap=True)
    yield model
    model.close()


def passes(model: Model, schema: JSON, text: str) -> bool:
    """Whether the grammar lets `text` through from beginning to end."""
    grammar = Grammar(model, grammar_of(schema))
    for token in model.tokenize(text, special=False):
        if not grammar.allowed(np.array([token], dtype=np.int32))[0]:
            return False
        grammar.accept(token)
    return bool(grammar.allowed(np.array([2], dtype=np.int32))[0])


@pytest.mark.parametrize("row", range(len(TABLE)))
def test_a_grammar_lets_valid_texts_through_and_no_others(vocabulary: Model, row: int) -> None:
    schema, valid, invalid = TABLE[row]
    assert [text for text in valid if not passes(vocabulary, schema, text)] == []
    assert [text for text in invalid if passes(vocabulary, schema, text)] == []


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "string", "pattern": "^a+$"}, "schema: the keyword 'pattern'"),
        (
            {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}},
            "schema.a: the keyword 'uniqueItems'",
        ),
        ({"not": {"type": "string"}}, "the keyword 'not'"),
        ({"type": "dict"}, 'unknown type "dict"'),
        ({"$ref": "https://example.com/x"}, "only references inside the schema"),
        ({"$ref": "#/$defs/missing"}, "leads nowhere"),
        ({"type": "number", "minimum": 0.5}, "bound 0.5 of a number is not whole"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "no number lies between"),
        ({"type": "string", "maxLength": 100_000}, "'maxLength' must be a whole number from 0 to 1000"),
        ({"type": "object", "properties": {"a": False}}, "schema.a: nothing is allowed here"),
        ({"type": "integer", "enum": ["x"]}, "no value of 'enum'"),
        ({"anyOf": []}, "an empty list of alternatives"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "two different values of 'type'"),
        ([1], "a schema must be an object"),
        ({"properties": 5}, "'properties' must be an object"),
        ({"enum": 5}, "a list is expected"),
        ({"required": [1], "type": "object"}, "'required' must list names"),
        ({"minimum": "a", "type": "integer"}, "'minimum' must be a number"),
    ],
)
def test_what_a_grammar_cannot_keep_is_refused_by_place_and_name(schema: JSON, said: str) -> None:
    with pytest.raises(EngineError, match=re.escape(said)):
        grammar_of(schema)


def test_a_schema_nested_without_end_is_refused() -> None:
    schema: JSON = {"type": "string"}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(EngineError, match="nested deeper"):
        grammar_of(schema)


def test_a_short_schema_with_countless_alternatives_is_refused_at_once() -> None:
    schema: JSON = {"type": "string"}
    for _ in range(25):
        schema = {"type": "object", "anyOf": [{}, {"required": ["a"]}], "properties": {"a": schema}}
    with pytest.raises(EngineError, match="alternatives multiplied out"):
        grammar_of(schema)


def test_a_schema_that_only_refers_to_itself_is_refused() -> None:
    with pytest.raises(EngineError, match="refers only to itself"):
        grammar_of({"$ref": "#"})
    with pytest.raises(EngineError, match="refers only to itself"):
        grammar_of({"anyOf": [{"$ref": "#"}, {"type": "null"}]})


def as_regex(rule: str) -> re.Pattern[str]:
    """These rules use only literals, classes, groups and counts: nearly a regular expression already."""
    text = re.sub(r'"([^"]*)"', lambda found: re.escape(found[1]), rule)
    return re.compile(text.replace(" ", ""))


def test_every_integer_range_holds_exactly_its_numbers() -> None:
    order = random.Random(3)
    for _ in range(300):
        low, high = sorted(order.randint(-1200, 1200) for _ in range(2))
        pattern = as_regex(integer_rule(low, high))
        around = [
            *range(low - 3, low + 4),
            *range(high - 3, high + 4),
            0,
            1,
            -1,
            10,
            99,
            100,
            999,
            1000,
            order.randint(-1300, 1300),
        ]
        for value in around:
            assert bool(pattern.fullmatch(str(value))) == (low <= value <= high), (low, high, value)


def test_every_number_range_holds_only_numbers_within_it() -> None:
    order = random.Random(4)
    for _ in range(300):
        low, high = sorted(order.sample(range(-30, 30), 2))
        open_low, open_high = order.random() < 0.5, order.random() < 0.5
        rule = number_rule(
            None if open_low else low,
            None if open_high else high,
            above=low if open_low else None,
            below=high if open_high else None,
        )
        pattern = as_regex(rule)
        for value in (low, high, low + 0.5, high - 0.5, low - 0.5, high + 0.5, low - 1, high + 1, 0, 0.25, -0.25):
            inside = (low < value if open_low else low <= value) and (value < high if open_high else value <= high)
            assert bool(pattern.fullmatch(f"{value:g}")) == inside, (low, high, open_low, open_high, value)


@pytest.mark.model
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_the_model_fills_in_a_tool_call_that_parses(session: LlamaCppSession, temperature: float) -> None:
    request = ask(
        "What is the weather in Rome?", schema=call_schema([WEATHER, PING]), max_tokens=120, temperature=temperature, seed=1
    )
    tokens = list(session.stream(request))
    call = json.loads("".join(token.text for token in tokens))
    assert tokens[-1].finish_reason == "stop"
    assert call["name"] in ("get_weather", "ping")
