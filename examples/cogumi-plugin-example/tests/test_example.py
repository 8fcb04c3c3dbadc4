"""The example keeps the contracts of its kinds. Each suite is a class with a configuration."""

from collections.abc import Mapping
from typing import ClassVar

import pytest

from cogumi_core import CompletionRequest, Example, Message, Registry, RunContext, Verdict
from cogumi_core.testing import BenchmarkSuite, FilterSuite, SectionSuite, TeacherSuite, sample_examples

RIGHT = Example.of("right", "Write in ISO form: March 05, 2024", "2024-03-05")
WRONG = Example.of("wrong", "Write in ISO form: March 05, 2024", "the fifth of March")


class TestCalendar(TeacherSuite):
    component = "calendar"

    @pytest.fixture
    def question(self) -> CompletionRequest:
        return CompletionRequest((Message("user", "Write in ISO form: March 05, 2024"),))


class TestAgrees(FilterSuite):
    component = "agrees"
    settings: ClassVar[Mapping[str, object]] = {"judge": "calendar", "least": 0.8}

    @pytest.fixture
    def examples(self) -> list[Example]:
        return [RIGHT, WRONG, *sample_examples()]

    def test_keeps_what_the_judge_would_say(self, verdicts: list[Verdict]) -> None:
        right, wrong, unasked = verdicts[:3]
        assert (right.keep, right.scores["quality_score"]) == (True, 1.0)
        assert (wrong.keep, wrong.reason, wrong.evidence) == (False, "another answer", "2024-03-05")
        assert unasked.reason == "not judged"


class TestIsoDates(BenchmarkSuite):
    component = "iso-dates"


class TestReview(SectionSuite):
    section = "review"
    steps = "{use: spread, with: {rows: 3}}"


def test_the_domain_names_its_benchmark(cogumi_registry: Registry) -> None:
    settings = cogumi_registry.settings_model(cogumi_registry.get("modifier", "iso-dates"))()
    assert settings.benchmark.name == "iso-dates"


def test_the_same_question_is_paid_for_once(cogumi_registry: Registry, run_context: RunContext) -> None:
    judge = cogumi_registry.create("filter", "agrees")
    list(judge.verdicts([RIGHT], run_context))
    list(judge.verdicts([RIGHT, WRONG], run_context))
    assert [spent["asked"] for spent in run_context.calls.spend] == [1, 0]
