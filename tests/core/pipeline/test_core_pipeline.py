"""Planning and running, with small components of the test's own: what is built, what is not, and what a person is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench import Bench

from cogumi_core.api.errors import (
    BudgetExceeded,
    InputError,
    Interrupted,
    MissingKey,
    PluginError,
    StageError,
    TransientTeacherError,
    UsageError,
)
from cogumi_core.api.settings import Settings, execution_only
from cogumi_core.api.types import Duplicate, DuplicateGroup, LossPoint, ModelFacts, ModelReport, Verdict
from cogumi_core.calls import RetryPolicy
from cogumi_core.formats.rows import read_rows
from cogumi_core.pipeline.forecast import forecast
from cogumi_core.testing.fakes import EchoTeacher, ListSource, PricedTeacher
from cogumi_core.testing.isolated import IsolatedPlugins
from cogumi_core.testing.samples import sample_prompts

RECIPE = """
version: 1
name: small
seed: 3
student: student
sources: [{use: list}]
distill: [{use: echo}]
filter: [{use: length, with: {longest: 86}}]
dedup: {use: pairs}
train: {use: copy}
compress: [{use: halve}]
"""


class FilterSettings(Settings):
    longest: int = 86
    threads: int = execution_only(1, description="speed only")


class LengthFilter:
    row_wise = False

    def __init__(self, settings: FilterSettings) -> None:
        self.longest = settings.longest

    def verdicts(self, examples: Any, run: Any) -> Iterator[Verdict]:
        for example in examples:
            long = len(example.response) > self.longest
            yield Verdict(not long, "too long" if long else "", f"{len(example.response)} characters" if long else "")


class PairDeduper:
    """Takes the last two examples for copies of each other."""

    def groups(self, dataset: Any, run: Any) -> Iterator[DuplicateGroup]:
        ids = sorted(example.id for example in dataset)
        yield DuplicateGroup(ids[-2], (Duplicate(ids[-1], 0.9),))


class CopyTrainer:
    def train(self, base: Any, dataset: Any, output: Path, run: Any) -> ModelReport:
        (output / "config.json").write_text("{}")
        (output / "weights").write_text("\n".join(example.response for example in dataset))
        return ModelReport(ModelFacts(), (LossPoint(1, 2.0, 1e-3), LossPoint(2, 1.0, 1e-3)))


class Halver:
    def compress(self, model: Any, output: Path, run: Any) -> ModelReport:
        data = (model.path / "weights").read_bytes()
        (output / "model.half").write_bytes(data[: len(data) // 2])
        return ModelReport(ModelFacts(other={"halved": True}))


@pytest.fixture
def plugins(tmp_path: Path, isolated_plugins: IsolatedPlugins) -> IsolatedPlugins:
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "config.json").write_text("{}")
    isolated_plugins.offer("source", "list", lambda settings, services: ListSource(sample_prompts(12)))
    isolated_plugins.offer("teacher", "echo", lambda settings, services: EchoTeacher(prefix=""))
    isolated_plugins.offer("filter", "length", lambda settings, services: LengthFilter(settings), FilterSettings)
    isolated_plugins.offer("deduper", "pairs", lambda settings, services: PairDeduper())
    hf = frozenset({"hf"})
    isolated_plugins.offer("trainer", "copy", lambda settings, services: CopyTrainer(), accepts=hf, produces="hf")
    isolated_plugins.offer("compressor", "halve", lambda settings, services: Halver(), accepts=hf, produces="half")
    return isolated_plugins


class Small(Bench):
    """The bench with the recipe above, unless a test gives another."""

    def run(self, text: str = RECIPE, **options: Any) -> Any:
        return super().run(text, **options)

    def states(self, text: str = RECIPE) -> dict[str, str]:
        return super().states(text)


@pytest.fixture
def bench(plugins: IsolatedPlugins, tmp_path: Path) -> Small:
    return Small(plugins, tmp_path)


def test_a_first_run_builds_every_stage_and_a_second_none(bench: Small) -> None:
    bench.run()
    first = bench.built()
    bench.run()
    assert first == ["sources", "distill", "filter[0]:length", "dedup:pairs", "train:copy", "compress[0]:halve"]
    assert bench.built() == []


def test_rows_that_came_in_are_kept_or_dropped_with_a_reason(bench: Small) -> None:
    bench.run()
    kept = [row["id"] for _, row in read_rows(bench.folder / "out" / "dataset" / "dataset.jsonl")]
    dropped = {row["id"]: row for _, row in read_rows(bench.folder / "out" / "dataset" / "dropped.jsonl")}
    assert sorted([*kept, *dropped]) == sorted(prompt.id for prompt in sample_prompts(12))
    assert {row["stage"] for row in dropped.values()} == {"filter[0]:length", "dedup:pairs"}
    assert all(row["reason"] and row["evidence"] and row["row"] for row in dropped.values())


def test_a_changed_setting_rebuilds_from_that_stage_on(bench: Small) -> None:
    bench.run()
    changed = RECIPE.replace("longest: 86", "longest: 84")
    assert bench.states(changed)["distill"] == "hit"
    bench.run(changed)
    assert bench.built()[0] == "filter[0]:length"


def test_a_stage_rebuilt_into_the_same_bytes_costs_nothing_further_down(bench: Small) -> None:
    bench.run(RECIPE.replace("longest: 86", "longest: 1000"))
    bench.run(RECIPE.replace("longest: 86", "longest: 1001"))
    assert bench.built() == ["filter[0]:length"]


def test_a_setting_that_changes_only_speed_rebuilds_nothing(bench: Small) -> None:
    bench.run()
    assert set(bench.states(RECIPE.replace("longest: 86", "longest: 86, threads: 4")).values()) == {"hit"}


def test_a_plan_says_which_input_changed(bench: Small) -> None:
    bench.run()
    planned = bench.plan(RECIPE.replace("longest: 86", "longest: 84"))
    rows = {row.stage.name: row for row in planned.stages}
    assert any("longest" in line for line in rows["filter[0]:length"].why)
    assert rows["train:copy"].state == "waits"


def test_a_plan_writes_nothing(bench: Small) -> None:
    bench.states()
    assert not list((bench.folder / "store").glob("artifacts/*"))


def test_facts_of_a_compressor_reach_the_delivered_manifest(bench: Small) -> None:
    bench.run()
    manifest = json.loads((bench.folder / "out" / "model" / "manifest.json").read_text())
    assert manifest["facts"]["other"] == {"halved": True}


def test_only_stops_after_a_section(bench: Small) -> None:
    done = bench.run(only="dedup")
    assert bench.built()[-1] == "dedup:pairs"
    assert done.delivered["dataset"] == bench.folder / "out"
    assert (bench.folder / "out" / "groups.jsonl").exists()


@pytest.mark.parametrize(("section", "word"), [("dedupe", "Did you mean 'dedup'"), ("router", "no section 'router'")])
def test_only_with_a_wrong_section_says_which_there_are(bench: Small, section: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        bench.run(only=section)


def test_a_filter_that_drops_everything_stops_the_run_with_the_reasons(bench: Small) -> None:
    with pytest.raises(StageError, match=r"all 12 rows were dropped by 'length' \(12 x too long\)"):
        bench.run(RECIPE.replace("longest: 86", "longest: 1"))


def test_a_failed_stage_keeps_what_is_finished(bench: Small) -> None:
    with pytest.raises(StageError):
        bench.run(RECIPE.replace("longest: 86", "longest: 1"))
    bench.run()
    assert "distill" not in bench.built()


def test_an_interruption_is_resumable_and_asks_nothing_twice(bench: Small) -> None:
    asked: list[EchoTeacher] = []

    def teacher(settings: Settings, services: Any) -> EchoTeacher:
        asked.append(EchoTeacher(prefix="", seconds=0.05))
        return asked[-1]

    bench.plugins.offer("teacher", "slow", teacher)
    text = RECIPE.replace("use: echo", "use: slow")
    with pytest.raises(Interrupted, match="the same command goes on"):
        bench.run(text, stop=lambda: bool(asked) and len(asked[0].requests) > 4)
    bench.run(text)
    contents = [request.messages[0].content for teacher in asked for request in teacher.requests]
    assert len(asked) == 2
    assert sorted(set(contents)) == sorted(contents)


def test_a_budget_stops_before_the_call_that_could_pass_it(bench: Small) -> None:
    bench.plugins.offer("teacher", "dear", lambda settings, services: PricedTeacher())
    text = RECIPE.replace("use: echo", "use: dear") + "budget: {usd: 1.0}\n"
    with pytest.raises(BudgetExceeded, match="go"):
        bench.run(text)


def test_max_cost_holds_for_one_run(bench: Small) -> None:
    bench.plugins.offer("teacher", "dear", lambda settings, services: PricedTeacher())
    with pytest.raises(BudgetExceeded):
        bench.run(RECIPE.replace("use: echo", "use: dear"), max_cost=0.5)


def test_a_component_that_raises_anything_becomes_one_clear_error(bench: Small) -> None:
    class Broken:
        def train(self, *args: Any) -> ModelReport:
            raise RuntimeError("no such device")

    hf = frozenset({"hf"})
    bench.plugins.offer("trainer", "broken", lambda settings, services: Broken(), accepts=hf, produces="hf")
    with pytest.raises(StageError, match=r"train:broken.*RuntimeError: no such device.*--debug"):
        bench.run(RECIPE.replace("use: copy", "use: broken"))


def test_a_filter_that_skips_rows_breaks_its_contract(bench: Small) -> None:
    class Skipping:
        row_wise = False

        def verdicts(self, examples: Any, run: Any) -> Iterator[Verdict]:
            list(examples)
            yield Verdict(True)

    bench.plugins.offer("filter", "skipping", lambda settings, services: Skipping())
    with pytest.raises(StageError, match="gave no verdict for row") as caught:
        bench.run(RECIPE.replace("use: length, with: {longest: 86}", "use: skipping"))
    assert isinstance(caught.value.__cause__, PluginError)


def test_a_missing_student_is_told_before_anything_is_built(bench: Small) -> None:
    with pytest.raises(InputError, match="student"):
        bench.run(RECIPE.replace("student: student", "student: nowhere"))
    assert bench.built() == []


def test_a_folder_that_no_run_delivered_is_never_replaced(bench: Small) -> None:
    precious = bench.folder / "out" / "model" / "thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("years of work")
    with pytest.raises(InputError, match="not the result of a run"):
        bench.run()
    assert precious.read_text() == "years of work"


def test_a_file_added_to_a_delivered_folder_is_not_lost(bench: Small) -> None:
    bench.run()
    (bench.folder / "out" / "model" / "note.txt").write_text("mine")
    with pytest.raises(InputError, match=r"note\.txt"):
        bench.run(RECIPE.replace("longest: 86", "longest: 84"))


def test_a_dataset_stands_for_sources_and_teachers(bench: Small) -> None:
    rows = [{"instruction": f"Question {i}?", "response": f"Answer {i}."} for i in range(4)]
    (bench.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = RECIPE.replace("sources: [{use: list}]\ndistill: [{use: echo}]", "dataset: rows.jsonl")
    bench.run(text)
    assert bench.built()[0] == "dataset"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "empty"),
        ('{"instruction": "a", "response": ""}\n', "line 1: no answer; 'response'"),
        ('{"instruction": "a"}\n', "line 1: no answer; 'response'"),
        ("[1]\n", "JSON object"),
        ("{\n", "not valid JSON"),
    ],
)
def test_a_bad_dataset_names_file_and_line(bench: Small, content: str, word: str) -> None:
    (bench.folder / "rows.jsonl").write_text(content)
    with pytest.raises(StageError, match=word):
        bench.run(RECIPE.replace("sources: [{use: list}]\ndistill: [{use: echo}]", "dataset: rows.jsonl"))


def test_a_damaged_artifact_is_noticed_named_and_rebuilt(bench: Small, caplog: pytest.LogCaptureFixture) -> None:
    done = bench.run()
    path = done.artifacts["train:copy"].path / "weights"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"?")
    bench.run()
    assert bench.built() == ["train:copy"]
    assert "weights" in caplog.text


def test_a_teacher_that_is_busy_too_long_stops_the_stage_and_drops_no_row(
    bench: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(EchoTeacher):
        async def complete(self, request: Any) -> Any:
            raise TransientTeacherError("over capacity", retry_after=0.0)

    # The waits between attempts are the retry policy's and tested there.
    monkeypatch.setattr(RetryPolicy, "wait", lambda *_: 0.0)
    bench.plugins.offer("teacher", "busy", lambda settings, services: Busy())
    with pytest.raises(StageError, match="over capacity"):
        bench.run(RECIPE.replace("use: echo", "use: busy"))
    assert bench.states(RECIPE.replace("use: echo", "use: busy"))["distill"] == "miss"


def test_a_key_that_is_not_set_is_told_before_anything_is_built(bench: Small) -> None:
    class KeySettings(Settings):
        api_key_env: str = "NO_SUCH_KEY"

    bench.plugins.offer("teacher", "cloud", lambda settings, services: EchoTeacher(), KeySettings)
    with pytest.raises(MissingKey, match=r"distill\[0\]:cloud needs NO_SUCH_KEY.*export"):
        bench.run(RECIPE.replace("use: echo", "use: cloud"))
    assert bench.built() == []


def test_an_empty_answer_is_dropped_with_its_reason(bench: Small) -> None:
    class Silent(EchoTeacher):
        async def complete(self, request: Any) -> Any:
            answer = await super().complete(request)
            return replace(answer, text=" \n") if "bread" in answer.text else answer

    bench.plugins.offer("teacher", "silent", lambda settings, services: Silent(prefix=""))
    bench.run(RECIPE.replace("use: echo", "use: silent"), only="distill")
    reasons = [row["reason"] for _, row in read_rows(bench.folder / "out" / "dropped.jsonl")]
    assert reasons == ["empty answer", "empty answer"]


@pytest.mark.parametrize(("teacher", "least", "most"), [(EchoTeacher, 0.0, 0.0), (PricedTeacher, 0.01, 100.0)])
def test_a_plan_forecasts_the_most_that_teachers_can_cost(bench: Small, teacher: Any, least: float, most: float) -> None:
    bench.plugins.offer("teacher", "some", lambda settings, services: teacher())
    usd = forecast(bench.plan(RECIPE.replace("use: echo", "use: some")))["usd"]
    assert usd is not None
    assert least <= usd <= most


def test_a_teacher_without_a_price_makes_the_forecast_unknown_and_not_free(bench: Small) -> None:
    bench.plugins.offer("teacher", "some", lambda settings, services: EchoTeacher(price=None))
    assert forecast(bench.plan(RECIPE.replace("use: echo", "use: some")))["usd"] is None
