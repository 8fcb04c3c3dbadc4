"""Each conformance suite passes a component that keeps its contract and fails one that does not."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, Field

from cogumi_core import (
    Completion,
    CompletionRequest,
    Duplicate,
    DuplicateGroup,
    Example,
    Grade,
    Message,
    Prompt,
    RowFilter,
    Settings,
    Task,
    TransientTeacherError,
    Verdict,
)
from cogumi_core.plugins.registry import Registry
from cogumi_core.testing import (
    BenchmarkSuite,
    DeduperSuite,
    EchoTeacher,
    FilterSuite,
    IsolatedPlugins,
    ListSource,
    MoodyTeacher,
    PricedTeacher,
    SourceSuite,
    TeacherSuite,
    sample_examples,
    sample_prompts,
)

Good = type("Good", (Settings,), {"__doc__": "No settings."})


class WordSettings(Settings):
    max_words: int = Field(30, ge=1, description="words at most")


class WordFilter(RowFilter):
    def __init__(self, settings: WordSettings, services: Any = None) -> None:
        self.settings = settings

    def judge(self, example: Example) -> Verdict:
        count = len(example.response.split())
        keep = count <= self.settings.max_words
        return Verdict(keep, "" if keep else "too many words", "" if keep else f"{count} words")


class ExactDeduper:
    """Groups texts that are equal but for digits."""

    def groups(self, examples: Iterable[Example]) -> Iterator[DuplicateGroup]:
        copies: dict[str, list[Example]] = {}
        for example in examples:
            copies.setdefault("".join(example.response.split(" ")[:40]), []).append(example)
        for found in copies.values():
            best, *others = sorted(found, key=lambda item: (-item.metadata["quality_score"], item.id))
            if others:
                yield DuplicateGroup(
                    best.id, tuple(Duplicate(other.id, 0.98) for other in sorted(others, key=lambda item: item.id))
                )


class SumBenchmark:
    """Additions, one group a sum."""

    domain = "math"

    def tasks(self, split: str) -> Iterator[Task]:
        start = ("mine", "train", "validate").index(split) * 100
        for left in range(start, start + 5):
            asked = (Message("user", f"{left} + 1 = ?"),)
            yield Task(f"sum-{left}", asked, "math", f"sum-{left}", expected=left + 1, reference=str(left + 1))

    def grade(self, task: Task, answer: str) -> Grade:
        correct = answer.strip() == str(task.expected)
        return Grade(correct, float(correct), "" if correct else "another number")


class Isolated:
    """A suite's component is the one under test, on a host of its own."""

    component = "mine"
    factory: ClassVar[Any]
    config: ClassVar[type[Settings]] = Good

    @pytest.fixture
    def registry(self, isolated_plugins: IsolatedPlugins) -> Registry:
        isolated_plugins.offer(self.kind, "mine", type(self).factory, self.config)  # type: ignore[attr-defined]
        return isolated_plugins.registry()


class TestFilter(Isolated, FilterSuite):
    factory = WordFilter
    config = WordSettings


class TestSource(Isolated, SourceSuite):
    factory = staticmethod(lambda settings, services: ListSource(sample_prompts()))


class TestEcho(Isolated, TeacherSuite):
    factory = staticmethod(lambda settings, services: EchoTeacher())


class TestPriced(Isolated, TeacherSuite):
    factory = staticmethod(lambda settings, services: PricedTeacher())


class TestMoody(Isolated, TeacherSuite):
    factory = staticmethod(lambda settings, services: MoodyTeacher())


class TestDeduper(Isolated, DeduperSuite):
    factory = staticmethod(lambda settings, services: ExactDeduper())


class TestBenchmark(Isolated, BenchmarkSuite):
    factory = staticmethod(lambda settings, services: SumBenchmark())


# --- and components that break one clause each ---------------------------------------------------------------------------


class Filter:
    def __init__(self, verdicts: Any) -> None:
        self.verdicts_of = verdicts

    def verdicts(self, examples: Iterable[Example]) -> Iterator[Verdict]:
        return iter(self.verdicts_of(examples))


BAD_FILTERS = {
    "test_one_verdict_for_each_example": lambda examples: [Verdict(True) for example in examples if len(example.response) > 20],
    "test_verdicts_follow_the_order": lambda examples: [Verdict(len(e.response) > 99, "x") for e in examples][::-1],
    "test_drops_have_a_short_reason": lambda examples: [Verdict(False) for _ in examples],
    "test_nothing_in_nothing_out": lambda examples: [Verdict(True) for _ in examples] or [Verdict(True)],
}


def checks(suite: Any, name: str, **given: Any) -> None:
    """Runs one check of a suite, with these fixtures."""
    getattr(suite(), name)(**given)


@pytest.mark.parametrize(("check", "verdicts"), BAD_FILTERS.items(), ids=BAD_FILTERS)
def test_filter_suite_notices(check: str, verdicts: Any) -> None:
    given = {"made": Filter(verdicts)} | ({} if "nothing" in check else {"examples": sample_examples()})
    with pytest.raises(AssertionError):
        checks(FilterSuite, check, **given)


def test_filter_suite_notices_one_that_does_not_stream() -> None:
    with pytest.raises(AssertionError, match="does not stream"):
        checks(FilterSuite, "test_streams", made=Filter(lambda examples: [Verdict(True) for _ in list(examples)]))


def _edited(**changes: Any) -> list[Prompt]:
    return [replace(prompt, **changes) for prompt in sample_prompts()]


BAD_PROMPTS = {
    "test_ids_are_unique": _edited(id="same"),
    "test_gives_prompts": [],
    "test_every_prompt_asks_something": _edited(messages=(Message("user", " "),)),
    "test_every_prompt_has_domain_source_and_licence": _edited(licence=""),
    "test_references_are_text_or_none": _edited(reference=""),
    "test_prompts_survive_a_file": _edited(metadata={"when": (1, 2)}),
}


@pytest.mark.parametrize(("check", "prompts"), BAD_PROMPTS.items(), ids=BAD_PROMPTS)
def test_source_suite_notices(check: str, prompts: list[Prompt]) -> None:
    with pytest.raises(AssertionError):
        checks(SourceSuite, check, prompts=prompts)


def test_source_suite_notices_one_that_changes() -> None:
    with pytest.raises(AssertionError, match="another order"):
        checks(SourceSuite, "test_repeats_itself", make=lambda: ListSource(sample_prompts()[::-1]), prompts=sample_prompts())


QUESTION = CompletionRequest((Message("user", "Name one colour."),))


class NoError(EchoTeacher):
    async def complete(self, request: CompletionRequest) -> Completion:
        message = "the SDK's own"
        raise KeyError(message)


class Silent(EchoTeacher):
    async def complete(self, request: CompletionRequest) -> Completion:
        return replace(await super().complete(request), text="")


class Talkative(EchoTeacher):
    identity = {"provider": "x", "path": str(Path.cwd())}  # noqa: RUF012


BAD_TEACHERS = {
    "test_odd_request_gives_an_answer_or_a_teacher_error": (NoError(), KeyError),
    "test_answers": (Silent(), AssertionError),
    "test_identity_holds_no_secret_host_or_path": (Talkative(), AssertionError),
    "test_price_sampling_and_concurrency_are_sensible": (EchoTeacher(concurrency=0), AssertionError),
}


@pytest.mark.parametrize(("check", "case"), BAD_TEACHERS.items(), ids=BAD_TEACHERS)
def test_teacher_suite_notices(check: str, case: tuple[Any, type[Exception]]) -> None:
    teacher, error = case
    given = {"question": QUESTION} if check == "test_answers" else {}
    with pytest.raises(error):
        checks(TeacherSuite, check, made=teacher, **given)


def test_teacher_suite_notices_a_key_in_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "not-a-real-key-at-all")
    teacher = EchoTeacher(prefix="not-a-real-key-at-all")
    with pytest.raises(AssertionError, match="a key stands in the identity"):
        checks(TeacherSuite, "test_identity_holds_no_secret_host_or_path", made=teacher)


class OrderedDeduper(ExactDeduper):
    """Lets the first copy survive."""

    def groups(self, examples: Iterable[Example]) -> Iterator[DuplicateGroup]:
        flat = [replace(example, metadata={"quality_score": -place}) for place, example in enumerate(examples)]
        return super().groups(flat)


@pytest.mark.parametrize("check", ["test_best_scored_copy_survives", "test_order_does_not_matter"])
def test_deduper_suite_notices(check: str) -> None:
    from cogumi_core.testing.samples import near_copies

    with pytest.raises(AssertionError):
        checks(DeduperSuite, check, made=OrderedDeduper(), examples=near_copies(100))


def test_benchmark_suite_notices_a_group_in_two_splits() -> None:
    tasks = list(SumBenchmark().tasks("mine"))
    with pytest.raises(AssertionError, match="groups in two splits"):
        checks(BenchmarkSuite, "test_no_group_is_in_two_splits", splits={"mine": tasks, "train": tasks, "validate": []})


def test_benchmark_suite_notices_a_grader_that_raises() -> None:
    class Fragile(SumBenchmark):
        def grade(self, task: Task, answer: str) -> Grade:
            return Grade(int(answer) == task.expected, 1.0)

    with pytest.raises(ValueError):
        checks(
            BenchmarkSuite, "test_odd_answers_get_a_grade", made=Fragile(), tasks=list(SumBenchmark().tasks("mine")), answer="{"
        )


class Undescribed(Settings):
    words: int = Field(1, ge=1)


class Unbounded(Settings):
    words: int | None = Field(None, description="words")


class Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class NotJson(Settings):
    share: float = Field(float("inf"), gt=0, description="share")


BAD_SETTINGS: dict[str, tuple[Any, Sequence[str]]] = {
    "test_every_setting_is_described": (Undescribed, ["model"]),
    "test_every_number_is_bounded": (Unbounded, ["model"]),
    "test_unknown_setting_is_refused": (Lenient, ["model", "component_settings"]),
    "test_settings_go_into_json": (NotJson, ["model", "component_settings"]),
}


@pytest.mark.parametrize(("check", "case"), BAD_SETTINGS.items(), ids=BAD_SETTINGS)
def test_every_suite_notices_bad_settings(check: str, case: tuple[Any, Sequence[str]]) -> None:
    model, fixtures = case
    given = {"model": model, "component_settings": {}}
    with pytest.raises((AssertionError, ValueError)):
        checks(FilterSuite, check, **{name: given[name] for name in fixtures})


def test_moody_teacher_is_busy_as_often_as_it_says() -> None:
    import asyncio

    teacher, request = MoodyTeacher(busy_times=2), CompletionRequest((Message("user", "[busy] hello"),))
    for _ in range(2):
        with pytest.raises(TransientTeacherError):
            asyncio.run(teacher.complete(request))
    assert asyncio.run(teacher.complete(request)).text == "You said: [busy] hello"
