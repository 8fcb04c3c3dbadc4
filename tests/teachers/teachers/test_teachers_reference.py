"""The teacher `reference`: the source's own answer, for nothing."""

from __future__ import annotations

import asyncio
import json

import pytest

from cogumi_core import Completion, CompletionRequest, Message, Price, Services, Teacher, TeacherRefusal, Usage
from cogumi_teachers.teachers.reference import ReferenceTeacher
from cogumi_teachers.teachers.settings import ReferenceSettings

ASK = (Message("user", "Is it warm in Rome?"),)
TOOLS = ({"name": "weather", "description": "Weather of a place.", "parameters": {"type": "object"}},)
CALL = '{"name": "weather", "arguments": {"place": "Rome"}}'


@pytest.fixture
def teacher(bare_services: Services) -> ReferenceTeacher:
    return ReferenceTeacher(ReferenceSettings(), bare_services)


def answer(teacher: ReferenceTeacher, reference: str | None, tools: tuple = ()) -> Completion:
    return asyncio.run(teacher.complete(CompletionRequest(ASK, reference=reference, tools=tools)))


def test_it_is_a_teacher_that_needs_a_reference(teacher: ReferenceTeacher) -> None:
    assert isinstance(teacher, Teacher)
    assert teacher.needs_reference


def test_it_answers_with_the_sources_answer_and_costs_no_tokens(teacher: ReferenceTeacher) -> None:
    completion = answer(teacher, "Yes.")
    assert (completion.text, completion.usage, completion.finish_reason) == ("Yes.", Usage(), "stop")
    assert teacher.price == Price(0, 0)


@pytest.mark.parametrize("reference", [None, "", " \n"])
def test_it_refuses_without_an_answer(reference: str | None, teacher: ReferenceTeacher) -> None:
    with pytest.raises(TeacherRefusal, match="no answer"):
        answer(teacher, reference)


@pytest.mark.parametrize(
    ("reference", "count"), [(CALL, 1), (f"{CALL}\n\n{CALL}", 2), (json.dumps(json.loads(CALL), indent=1), 1)]
)
def test_an_answer_that_calls_functions_comes_as_calls(reference: str, count: int, teacher: ReferenceTeacher) -> None:
    completion = answer(teacher, reference, TOOLS)
    assert [(call.name, json.loads(call.arguments)) for call in completion.tool_calls] == [
        ("weather", {"place": "Rome"})
    ] * count
    assert (completion.text, completion.finish_reason) == ("", "tool_calls")
    assert len({call.id for call in completion.tool_calls}) == count


@pytest.mark.parametrize(
    ("reference", "tools"),
    [(CALL, ()), ("Yes, 31 °C.", TOOLS), (f"Let me see.\n{CALL}", TOOLS), (CALL.replace("weather", "rain"), TOOLS)],
    ids=["no functions", "words", "words and a call", "a function that is not there"],
)
def test_any_other_answer_stays_text(reference: str, tools: tuple, teacher: ReferenceTeacher) -> None:
    completion = answer(teacher, reference, tools)
    assert (completion.text, completion.tool_calls) == (reference, ())
