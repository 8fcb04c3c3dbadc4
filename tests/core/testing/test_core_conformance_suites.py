"""Each suite of what makes data passes a component that keeps its contract and fails one that does not."""

import asyncio
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conformance_support import Isolated, checks
from pydantic import BaseModel, ConfigDict, Field

from cogumi_core import (
    Completion,
    CompletionRequest,
    Component,
    Duplicate,
    DuplicateGroup,
    Example,
    Grade,
    Inline,
    Message,
    PluginError,
    Prompt,
    RowFilter,
    RunContext,
    Services,
    Settings,
    Task,
    Teacher,
    TransientTeacherError,
    Usage,
    Use,
    Verdict,
)
from cogumi_core.api.component import Provided
from cogumi_core.plugins.guard import stage_running
from cogumi_core.plugins.registry import Registry
from cogumi_core.testing import (
    BenchmarkSuite,
    DeduperSuite,
    EchoTeacher,
    FilterSuite,
    IsolatedPlugins,
    ListSource,
    MoodyTeacher,
    PickyExecutor,
    PricedTeacher,
    SourceSuite,
    TeacherSuite,
    near_copies,
    sample_conversations,
    sample_examples,
    sample_prompts,
    written_dataset,
)


class WordSettings(Settings):
    max_words: int = Field(30, ge=1, description="words at most")


class WordFilter(RowFilter):
    def __init__(self, settings: WordSettings, services: Any = None) -> None:
        self.settings = settings

    def judge(self, example: Example) -> Verdict:
        count = len(example.response.split())
        keep = count <= self.settings.max_words
        scores = {"words": float(count)} if keep else {}
        return Verdict(keep, "" if keep else "too many words", "" if keep else f"{count} words", scores)


class NoDigits(RowFilter):
    """Takes the digits out of answers."""

    def judge(self, example: Example) -> Verdict:
        cleaned = "".join("#" if letter.isdigit() else letter for letter in example.answer.content)
        if cleaned == example.answer.content:
            return Verdict(True)
        return Verdict(True, messages=(*example.prompt, replace(example.answer, content=cleaned)))


class JudgeSettings(Settings):
    judge: Use[Teacher] = Field(Use("teacher", "echo"), validate_default=False, description="who judges")


class Judge:
    """Asks a teacher about each row, through the paid-call engine."""

    row_wise = False

    def __init__(self, settings: JudgeSettings, services: Services) -> None:
        self.teacher = services.make(settings.judge)

    def verdicts(self, examples: Iterable[Example], run: RunContext) -> Iterator[Verdict]:
        requests = (CompletionRequest((Message("user", example.response),)) for example in examples)
        for answer in run.calls.ask(self.teacher, requests):
            assert isinstance(answer, Completion)
            yield Verdict(True, scores={"quality_score": len(answer.text) / 10_000})


class DirectJudge(Judge):
    """Calls its teacher by itself."""

    def verdicts(self, examples: Iterable[Example], run: RunContext) -> Iterator[Verdict]:
        for example in examples:
            asyncio.run(self.teacher.complete(CompletionRequest((Message("user", example.response),))))
            yield Verdict(True)


class ExactDeduper:
    """Groups texts that are equal but for what comes after their fortieth word."""

    def groups(self, dataset: Any, run: RunContext) -> Iterator[DuplicateGroup]:
        copies: dict[str, list[Example]] = {}
        for part in run.executor.map(listed, dataset.shards(run.executor.workers)):
            for example in part:
                copies.setdefault(" ".join(example.response.split(" ")[:40]), []).append(example)
        for found in copies.values():
            best, *others = sorted(found, key=self.rank)
            if others:
                gone = sorted(others, key=lambda item: item.id)
                yield DuplicateGroup(best.id, tuple(Duplicate(other.id, 0.98) for other in gone))

    def rank(self, example: Example) -> Any:
        return -example.metadata["quality_score"], example.id


def listed(shard: Iterable[Example]) -> list[Example]:
    return list(shard)


class SumBenchmark:
    """Additions, one group a sum."""

    domain = "math"

    def tasks(self, split: str, run: RunContext) -> Iterator[Task]:
        start = ("mine", "train", "validate").index(split) * 100
        for left in range(start, start + 5):
            asked = (Message("user", f"{left} + 1 = ?"),)
            yield Task(f"sum-{left}", asked, "math", f"sum-{left}", expected=left + 1, reference=str(left + 1))

    def grade(self, task: Task, answer: str, run: RunContext) -> Grade:
        correct = answer.strip() == str(task.expected)
        return Grade(correct, float(correct), "" if correct else "another number")


class TestFilter(Isolated, FilterSuite):
    factory = WordFilter
    config = WordSettings


class TestRedactingFilter(Isolated, FilterSuite):
    factory = staticmethod(lambda settings, services: NoDigits())


class TestJudge(Isolated, FilterSuite):
    factory = Judge
    config = JudgeSettings

    @pytest.fixture
    def registry(self, isolated_plugins: IsolatedPlugins) -> Registry:
        isolated_plugins.offer("teacher", "echo", lambda settings, services: EchoTeacher())
        isolated_plugins.offer("filter", "mine", Judge, JudgeSettings)
        return isolated_plugins.registry()


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

ROWS = [*sample_examples(), *sample_conversations()]


@dataclass
class Judged:
    """A filter made of a function from all rows to their verdicts."""

    judged: Callable[[Iterable[Example]], Iterable[Verdict]]
    row_wise: Any = True

    def verdicts(self, examples: Iterable[Example], run: RunContext) -> Iterator[Verdict]:
        return iter(self.judged(examples))


def counted(examples: Iterable[Example]) -> Iterator[Verdict]:
    """The verdict depends on the place of the row."""
    return (Verdict(True, scores={"place": float(place)}) for place, _ in enumerate(examples))


def drops_every_other(examples: Iterable[Example]) -> Iterator[Verdict]:
    return (Verdict(place % 2 == 0, "every other") for place, _ in enumerate(examples))


BAD_FILTERS: dict[str, Judged] = {
    "test_says_whether_it_is_row_wise": Judged(counted, row_wise=None),
    "test_any_split_of_the_rows_gives_the_same_verdicts": Judged(drops_every_other),
    "test_nothing_in_nothing_out": Judged(lambda examples: [Verdict(True) for _ in examples] or [Verdict(True)]),
}


@pytest.mark.parametrize(("check", "made"), BAD_FILTERS.items(), ids=BAD_FILTERS)
def test_filter_suite_notices(check: str, made: Judged, run_context: RunContext) -> None:
    with pytest.raises(AssertionError):
        checks(FilterSuite, check, made=made, make=lambda: made, examples=ROWS, run=run_context)


def test_filter_suite_notices_scores_that_depend_on_the_place_of_a_row(run_context: RunContext) -> None:
    with pytest.raises(AssertionError, match="not row-wise"):
        checks(
            FilterSuite,
            "test_any_split_of_the_rows_gives_the_same_verdicts",
            make=lambda: Judged(counted),
            examples=ROWS,
            run=run_context,
        )


def test_filter_suite_notices_one_that_does_not_stream(run_context: RunContext) -> None:
    made = Judged(lambda examples: [Verdict(True) for _ in list(examples)])
    with pytest.raises(AssertionError, match="does not stream"):
        checks(FilterSuite, "test_streams", made=made, run=run_context)


SCORES = "test_scores_are_numbers_under_names_of_their_own"
BAD_VERDICTS: dict[str, tuple[str, Verdict, type[Exception]]] = {
    "no reason": ("test_drops_have_a_short_reason", Verdict(False), AssertionError),
    "long reason": ("test_drops_have_a_short_reason", Verdict(False, "because " * 20), AssertionError),
    "evidence that cannot travel": ("test_verdicts_can_travel", Verdict(True, evidence=lambda: ""), pickle.PicklingError),  # type: ignore[arg-type]
    "infinite score": (SCORES, Verdict(True, scores={"share": float("inf")}), AssertionError),
    "score as text": (SCORES, Verdict(True, scores={"share": "1"}), AssertionError),  # type: ignore[dict-item]
    "score that overwrites": (SCORES, Verdict(True, scores={"licence": 1.0}), AssertionError),
    "turns gone": (
        "test_what_it_changes_is_a_conversation_still",
        Verdict(True, messages=(Message("user", "Hi"),)),
        AssertionError,
    ),
    "no answer": (
        "test_kept_rows_survive_a_file",
        Verdict(True, messages=(Message("user", "a"), Message("user", "b"))),
        AssertionError,
    ),
}


@pytest.mark.parametrize(("check", "verdict", "error"), BAD_VERDICTS.values(), ids=BAD_VERDICTS)
def test_filter_suite_notices_a_verdict(check: str, verdict: Verdict, error: type[Exception]) -> None:
    examples = sample_examples()[:2]
    with pytest.raises(error):
        checks(FilterSuite, check, verdicts=[verdict] * 2, examples=examples)


def test_filter_suite_notices_a_verdict_too_few() -> None:
    with pytest.raises(AssertionError, match="differ in number"):
        checks(FilterSuite, "test_one_verdict_for_each_example", verdicts=[Verdict(True)], examples=sample_examples()[:2])


def test_filter_suite_notices_a_teacher_called_past_the_engine(
    isolated_plugins: IsolatedPlugins, run_context: RunContext
) -> None:
    """The suite's checks run as in a stage, where the registry's teachers answer the paid-call engine alone."""
    isolated_plugins.offer("teacher", "echo", lambda settings, services: EchoTeacher())
    isolated_plugins.offer("filter", "mine", DirectJudge, JudgeSettings)
    made = isolated_plugins.registry().create("filter", "mine")
    with stage_running("conformance"), pytest.raises(PluginError, match=r"run\.calls\.ask"):
        checks(
            FilterSuite, "test_nothing_in_nothing_out", made=Judged(lambda _: made.verdicts(ROWS, run_context)), run=run_context
        )


def test_every_suite_runs_its_component_as_in_a_stage() -> None:
    assert "_as_in_a_stage" in vars(FilterSuite.__mro__[1])
    assert "_as_in_a_stage" in vars(TeacherSuite), "a teacher itself is called as the engine calls it"


def _edited(**changes: Any) -> list[Prompt]:
    return [replace(prompt, **changes) for prompt in sample_prompts()]


BAD_PROMPTS = {
    "test_ids_are_unique": _edited(id="same"),
    "test_gives_prompts": [],
    "test_every_prompt_asks_something": _edited(messages=(Message("user", " "),)),
    "test_every_prompt_waits_for_an_answer": _edited(messages=(Message("user", "2+2?"), Message("assistant", "4"))),
    "test_every_prompt_has_domain_source_and_licence": _edited(licence=""),
    "test_references_are_text_or_none": _edited(reference=""),
    "test_prompts_survive_a_file": _edited(metadata={"when": (1, 2)}),
}


@pytest.mark.parametrize(("check", "prompts"), BAD_PROMPTS.items(), ids=BAD_PROMPTS)
def test_source_suite_notices(check: str, prompts: list[Prompt]) -> None:
    with pytest.raises(AssertionError):
        checks(SourceSuite, check, prompts=prompts)


def test_source_suite_notices_one_that_changes(run_context: RunContext) -> None:
    changed = ListSource(sample_prompts()[::-1])
    with pytest.raises(AssertionError, match="another order"):
        checks(SourceSuite, "test_repeats_itself", make=lambda: changed, prompts=sample_prompts(), run=run_context)


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


class Unmeasured(EchoTeacher):
    async def complete(self, request: CompletionRequest) -> Completion:
        return replace(await super().complete(request), usage=Usage(1, 999))


class Odd(EchoTeacher):
    identity = {"provider": {"fake"}}  # noqa: RUF012


class Generous(EchoTeacher):
    needs_reference = True


BAD_TEACHERS = {
    "test_identity_is_json": (Odd(), TypeError),
    "test_counts_tokens": (Unmeasured(), AssertionError),
    "test_refuses_without_a_reference_where_it_needs_one": (Generous(), pytest.fail.Exception),
    "test_odd_request_gives_an_answer_or_a_teacher_error": (NoError(), KeyError),
    "test_functions_to_call_give_an_answer_or_a_teacher_error": (Silent(), AssertionError),
    "test_answers": (Silent(), AssertionError),
    "test_identity_holds_no_secret_host_or_path": (Talkative(), AssertionError),
    "test_price_sampling_and_concurrency_are_sensible": (EchoTeacher(concurrency=0), AssertionError),
}


@pytest.mark.parametrize(("check", "case"), BAD_TEACHERS.items(), ids=BAD_TEACHERS)
def test_teacher_suite_notices(check: str, case: tuple[Any, type[Exception]]) -> None:
    teacher, error = case
    with pytest.raises(error):
        checks(TeacherSuite, check, made=teacher, question=QUESTION)


def test_teacher_suite_notices_an_identity_that_changes() -> None:
    numbers = count()
    with pytest.raises(AssertionError, match="another identity"):
        checks(TeacherSuite, "test_identity_is_the_same_again", make=lambda: EchoTeacher(prefix=f"{next(numbers)}"))


def test_teacher_suite_notices_a_key_in_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "not-a-real-key-at-all")
    teacher = EchoTeacher(prefix="not-a-real-key-at-all")
    with pytest.raises(AssertionError, match="a key stands in the identity"):
        checks(TeacherSuite, "test_identity_holds_no_secret_host_or_path", made=teacher)


class OrderedDeduper(ExactDeduper):
    """Lets the copy survive whose text comes last."""

    def rank(self, example: Example) -> Any:
        return [-ord(letter) for letter in example.response[-1:]]


class FirstComeDeduper(ExactDeduper):
    """Lets the first copy survive: what it says depends on the order."""

    def rank(self, example: Example) -> Any:
        return 0


class LostShards(ExactDeduper):
    """Looks for copies within each shard only."""

    def groups(self, dataset: Any, run: RunContext) -> Iterator[DuplicateGroup]:
        for shard in dataset.shards(run.executor.workers):
            yield from super().groups(shard, replace(run, executor=Inline()))


class LocalFunction(ExactDeduper):
    """Hands its workers a function that no other process could find."""

    def groups(self, dataset: Any, run: RunContext) -> Iterator[DuplicateGroup]:
        list(run.executor.map(lambda shard: 1, dataset.shards(run.executor.workers)))
        return iter(())


@pytest.fixture
def copies(tmp_path: Path) -> dict[str, Any]:
    examples = near_copies(100)
    return {"examples": examples, "dataset": written_dataset(tmp_path / "given", examples), "tmp_path": tmp_path}


def groups(made: Any, copies: dict[str, Any], run: RunContext) -> list[DuplicateGroup]:
    return list(made.groups(copies["dataset"], run))


def test_deduper_suite_notices_a_worse_survivor(copies: dict[str, Any], run_context: RunContext) -> None:
    found = groups(OrderedDeduper(), copies, run_context)
    with pytest.raises(AssertionError, match="a worse copy survives"):
        checks(DeduperSuite, "test_best_scored_copy_survives", groups=found, examples=copies["examples"])


def test_deduper_suite_notices_one_that_follows_the_order(copies: dict[str, Any], run_context: RunContext) -> None:
    given = {"made": FirstComeDeduper(), "groups": groups(FirstComeDeduper(), copies, run_context), "run": run_context}
    with pytest.raises(AssertionError, match="another order"):
        checks(DeduperSuite, "test_order_does_not_matter", examples=copies["examples"], tmp_path=copies["tmp_path"], **given)


@pytest.mark.parametrize("made", [LostShards(), LocalFunction()], ids=["copies in other shards", "cannot be pickled"])
def test_deduper_suite_notices_what_several_workers_miss(made: Any, copies: dict[str, Any], run_context: RunContext) -> None:
    whole = groups(ExactDeduper(), copies, run_context)
    with pytest.raises((AssertionError, AttributeError)):
        checks(
            DeduperSuite,
            "test_several_workers_find_the_same",
            made=made,
            groups=whole,
            dataset=copies["dataset"],
            run=run_context,
        )


BAD_GROUPS: dict[str, list[DuplicateGroup]] = {
    "test_finds_the_copies": [],
    "test_no_id_is_in_two_groups": [DuplicateGroup("a", (Duplicate("b", 0.9),)), DuplicateGroup("a", (Duplicate("c", 0.9),))],
    "test_similarities_are_shares": [DuplicateGroup("a", (Duplicate("b", 90.0),))],
}


@pytest.mark.parametrize(("check", "found"), BAD_GROUPS.items(), ids=BAD_GROUPS)
def test_deduper_suite_notices_groups(check: str, found: list[DuplicateGroup]) -> None:
    with pytest.raises(AssertionError):
        checks(DeduperSuite, check, groups=found, examples=sample_examples())


class Careless:
    """Groups everything, and leaves a file beside the data."""

    def groups(self, dataset: Any, run: RunContext) -> Iterator[DuplicateGroup]:
        (dataset.path.parent / "index").touch()
        ids = [example.id for example in dataset]
        yield DuplicateGroup(ids[0] if ids else "-", tuple(Duplicate(other, 0.9) for other in ids[1:]))


@pytest.mark.parametrize("check", ["test_different_examples_stay", "test_nothing_in_nothing_out"])
def test_deduper_suite_notices_one_that_groups_everything(check: str, tmp_path: Path, run_context: RunContext) -> None:
    with pytest.raises(AssertionError):
        checks(DeduperSuite, check, made=Careless(), run=run_context, tmp_path=tmp_path)


def test_deduper_suite_notices_files_beside_the_data(copies: dict[str, Any], run_context: RunContext) -> None:
    found = groups(Careless(), copies, run_context)
    with pytest.raises(AssertionError, match="beside the data set"):
        checks(DeduperSuite, "test_keeps_its_files_in_scratch", groups=found, tmp_path=copies["tmp_path"])


def sums(run: RunContext, **changes: Any) -> dict[str, list[Task]]:
    """The splits of a good benchmark, with this changed in every task."""
    splits = ("mine", "train", "validate")
    return {split: [replace(task, **changes) for task in SumBenchmark().tasks(split, run)] for split in splits}


BAD_SPLITS: dict[str, Callable[[RunContext], dict[str, list[Task]]]] = {
    "test_every_split_has_tasks": lambda run: {**sums(run), "validate": []},
    "test_ids_are_unique": lambda run: sums(run, id="sum"),
    "test_tasks_are_complete": lambda run: sums(run, domain="history"),
    "test_references_are_correct": lambda run: sums(run, reference="many"),
    "test_the_same_settings_give_the_same_splits": lambda run: {**sums(run), "mine": sums(run)["mine"][::-1]},
}


@pytest.mark.parametrize(("check", "broken"), BAD_SPLITS.items(), ids=BAD_SPLITS)
def test_benchmark_suite_notices(check: str, broken: Any, run_context: RunContext) -> None:
    splits = broken(run_context)
    tasks = [task for found in splits.values() for task in found]
    with pytest.raises(AssertionError):
        checks(BenchmarkSuite, check, made=SumBenchmark(), make=SumBenchmark, splits=splits, tasks=tasks, run=run_context)


def test_benchmark_suite_notices_a_group_in_two_splits(run_context: RunContext) -> None:
    tasks = list(SumBenchmark().tasks("mine", run_context))
    with pytest.raises(AssertionError, match="groups in two splits"):
        checks(BenchmarkSuite, "test_no_group_is_in_two_splits", splits={"mine": tasks, "train": tasks, "validate": []})


def test_benchmark_suite_notices_a_grader_that_raises(run_context: RunContext) -> None:
    class Fragile(SumBenchmark):
        def grade(self, task: Task, answer: str, run: RunContext) -> Grade:
            return Grade(int(answer) == task.expected, 1.0)

    tasks = list(SumBenchmark().tasks("mine", run_context))
    with pytest.raises(ValueError):
        checks(BenchmarkSuite, "test_odd_answers_get_a_grade", made=Fragile(), tasks=tasks, answer="{", run=run_context)


def test_benchmark_suite_notices_one_without_a_domain() -> None:
    class Homeless(SumBenchmark):
        domain = ""

    with pytest.raises(AssertionError, match="domain"):
        checks(BenchmarkSuite, "test_names_its_domain", made=Homeless())


class Undescribed(Settings):
    words: int = Field(1, ge=1)


class Unbounded(Settings):
    words: int | None = Field(None, description="words")


class Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class NotJson(Settings):
    share: float = Field(float("inf"), gt=0, description="share")


BAD_SETTINGS = {
    "test_every_setting_is_described": Undescribed,
    "test_every_number_is_bounded": Unbounded,
    "test_unknown_setting_is_refused": Lenient,
    "test_settings_go_into_json": NotJson,
}


@pytest.mark.parametrize(("check", "model"), BAD_SETTINGS.items(), ids=BAD_SETTINGS)
def test_every_suite_notices_bad_settings(check: str, model: Any) -> None:
    with pytest.raises((AssertionError, ValueError)):
        checks(FilterSuite, check, model=model, component_settings={})


BAD_COMPONENTS: dict[str, dict[str, Any]] = {
    "test_plugin_and_settings_are_light": {"config": "numpy.random:Generator"},
    "test_extras_exist": {"requires": (("no-such-extra", "numpy"),)},
    "test_uses_inputs_that_there_are": {"uses": frozenset({"callibration"})},
    "test_estimate_loads": {"estimate": "cogumi_core.stages.base:Stage.no_such_name"},
    "test_says_why_it_is_not_deterministic": {"deterministic": False},
    "test_name_and_summary_fit_one_line": {"version": ""},
}


@pytest.mark.parametrize(("check", "fields"), BAD_COMPONENTS.items(), ids=BAD_COMPONENTS)
def test_every_suite_notices_a_bad_component(check: str, fields: dict[str, Any]) -> None:
    component = Component("filter", "mine", "summary", **{"config": WordSettings, "factory": WordFilter, **fields})
    with pytest.raises((AssertionError, AttributeError)):
        checks(FilterSuite, check, provided=Provided(component, "cogumi-core", ""))


def test_every_suite_notices_a_factory_that_makes_nothing() -> None:
    with pytest.raises(AssertionError, match="nothing"):
        checks(FilterSuite, "test_factory_makes_the_kind", made=None)


def test_moody_teacher_is_busy_as_often_as_it_says() -> None:
    teacher, request = MoodyTeacher(busy_times=2), CompletionRequest((Message("user", "[busy] hello"),))
    for _ in range(2):
        with pytest.raises(TransientTeacherError):
            asyncio.run(teacher.complete(request))
    assert asyncio.run(teacher.complete(request)).text == "You said: [busy] hello"


def test_picky_executor_refuses_what_could_not_travel() -> None:
    with pytest.raises(AttributeError):
        list(PickyExecutor().map(lambda item: item, [1]))
