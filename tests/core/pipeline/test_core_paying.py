"""Whoever asks a teacher inside a stage pays through one engine: under the budget, once, in the ledger and the forecast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from bench import Bench, rows_of
from pydantic import Field

from cogumi_core import (
    BudgetExceeded,
    CompletionRequest,
    Example,
    Message,
    RunContext,
    Sampling,
    Services,
    Settings,
    StageError,
    Teacher,
    Use,
    Verdict,
    run,
)
from cogumi_core.calls import open_calls
from cogumi_core.pipeline.forecast import forecast
from cogumi_core.testing import IsolatedPlugins
from cogumi_core.testing.fakes import PricedTeacher


class JudgeSettings(Settings):
    judge: Use[Teacher] = Field(description="who judges")


class Judged:
    """Asks its judge about every row, and keeps those that it echoes."""

    row_wise = True

    def __init__(self, settings: JudgeSettings, services: Services) -> None:
        self.judge = services.make(settings.judge)

    def verdicts(self, examples: Iterable[Example], run: RunContext) -> Iterator[Verdict]:
        questions = (self.question(example) for example in examples)
        for answer in run.calls.ask(self.judge, questions):
            yield Verdict(True, scores={"quality_score": len(str(answer)) / 1000})

    def question(self, example: Example) -> CompletionRequest:
        return CompletionRequest((Message("user", f"Is this good? {example.response}"),), Sampling(max_tokens=4))


class Sneaking(Judged):
    """Goes to its judge by itself, past the paid-call engine."""

    def verdicts(self, examples: Iterable[Example], run: RunContext) -> Iterator[Verdict]:
        import asyncio

        for example in examples:
            asyncio.run(self.judge.complete(self.question(example)))
            yield Verdict(True)


ROWS = "".join(f'{{"instruction": "Question {i}?", "response": "Answer number {i}."}}\n' for i in range(6))


class Paying(Bench):
    """A recipe with a filter that judges, and what its teacher was asked."""

    def __init__(self, plugins: IsolatedPlugins, folder: Path) -> None:
        super().__init__(plugins, folder)
        self.teacher = PricedTeacher()
        plugins.offer("teacher", "dear", lambda settings, services: self.teacher)
        plugins.offer("filter", "judged", Judged, JudgeSettings)
        plugins.offer("filter", "sneaking", Sneaking, JudgeSettings)
        (folder / "rows.jsonl").write_text(ROWS)


def text(judge: str = "judged", head: str = "") -> str:
    return f"{head}name: same\ndataset: rows.jsonl\nfilter:\n  - {{use: {judge}, with: {{judge: dear}}}}\n"


@pytest.fixture
def bench(isolated_plugins: IsolatedPlugins, tmp_path: Path) -> Paying:
    return Paying(isolated_plugins, tmp_path)


def test_a_filter_that_pays_is_in_the_manifest_and_its_scores_are_in_the_rows(bench: Paying) -> None:
    done = bench.run(text())
    artifact = done.artifacts["filter[0]:judged"]
    spend = artifact.manifest.metrics["spend"]
    assert (spend["asked"], spend["cached"]) == (6, 0)
    assert spend["usd"] > 0
    rows = rows_of(artifact.path / "dataset.jsonl")
    assert all(row["metadata"]["quality_score"] > 0 for row in rows)


def test_the_budget_stops_a_filter_before_the_call_that_could_pass_it(bench: Paying) -> None:
    recipe = text(head="budget: {usd: 0.05}\n")
    with pytest.raises(BudgetExceeded):
        bench.run(recipe)
    asked = len(bench.teacher.requests)
    assert asked < 6
    with pytest.raises(BudgetExceeded):
        bench.run(recipe)
    assert len(bench.teacher.requests) == asked  # what was bought is bought once, and the limit holds over all runs


def test_two_recipes_of_one_name_have_a_budget_each(bench: Paying) -> None:
    head = "budget: {usd: 1.0}\n"
    for name in ("one.yaml", "two.yaml"):
        (bench.folder / "rows.jsonl").write_text(ROWS.replace("number", f"number {name}"))
        recipe = bench.recipe(text(head=head), name)
        run(recipe, out=bench.folder / name.removesuffix(".yaml"), store=bench.folder / "store", registry=bench.registry)
        with open_calls(bench.folder / "store" / "calls.sqlite", root=recipe.root, recipe=recipe.name, usd=1.0) as calls:
            assert 0 < calls.budget.spent < 1.0
    assert len(bench.teacher.requests) == 12


def test_a_teacher_that_is_called_past_the_engine_refuses(bench: Paying) -> None:
    with pytest.raises(StageError, match=r"called teacher 'dear' of .* by itself.*run\.calls\.ask"):
        bench.run(text("sneaking", "budget: {usd: 0.01}\n"))
    assert bench.teacher.requests == []


def test_a_plan_does_not_take_a_paying_filter_for_free(bench: Paying) -> None:
    assert forecast(bench.plan(text()))["usd"] is None  # how often it asks is known to it alone
