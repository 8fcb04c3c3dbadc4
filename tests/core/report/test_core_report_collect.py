"""What the report collects from a run: of any stage, whoever brought it, and the same from the store again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench import Bench
from section_support import COMPONENT, SECTION

from cogumi_core import Artifact, ModelFacts, ModelRef, ModelReport, ReportPart, RunContext, Stage
from cogumi_core.formats.rows import example_row, write_rows
from cogumi_core.report.document import ReportData
from cogumi_core.report.files import from_system
from cogumi_core.testing import IsolatedPlugins
from cogumi_core.testing.fakes import EchoTeacher, ListSource
from cogumi_core.testing.samples import sample_examples, sample_prompts

COUNT = "dataset: rows.jsonl\ncount: [{use: words}]\n"


def raises(stage: Stage, artifact: Artifact) -> ReportPart:
    message = "no such figure <b>"
    raise KeyError(message)


def is_no_part(stage: Stage, artifact: Artifact) -> Any:
    return "<b>words</b>"


def holds_an_object(stage: Stage, artifact: Artifact) -> ReportPart:
    return ReportPart("Counts", (), ("path",), ((artifact.path,),))


def is_ragged(stage: Stage, artifact: Artifact) -> ReportPart:
    return ReportPart("Counts", (), ("a", "b"), ((1,),))


class Halver:
    def compress(self, model: ModelRef, output: Path, run: RunContext) -> ModelReport:
        (output / "model.half").write_bytes(b"half")
        return ModelReport(ModelFacts(sparsity={"ffn": 0.5}, structure="2:4"))


@pytest.fixture
def bench(isolated_plugins: IsolatedPlugins, tmp_path: Path) -> Bench:
    write_rows(tmp_path / "rows.jsonl", map(example_row, sample_examples(6)))
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "config.json").write_text("{}")
    halves: Callable[..., Any] = lambda settings, services: Halver()  # noqa: E731
    isolated_plugins.offer("compressor", "halve", halves, accepts=frozenset({"hf"}), produces="half")
    return Bench(isolated_plugins, tmp_path)


def report_of(bench: Bench, recipe: str) -> ReportData:
    bench.run(recipe)
    return from_system(bench.folder / "out")


def test_a_third_partys_stage_is_in_the_chain_the_table_and_with_its_own_part(bench: Bench) -> None:
    bench.plugins.add(COMPONENT, sections=[SECTION], distribution="their-plugin")
    sections = report_of(bench, COUNT).sections
    assert [link.label for link in sections["overview"]] == ["dataset", "count"]
    row = sections["stages"][1]
    assert (row.name, row.artifact, row.component, row.distribution) == ("count", "counts", "words", "their-plugin")
    (part,) = sections["parts"]
    assert (part.header, part.rows[0][0]) == (("counter", "words"), "words")


@pytest.mark.parametrize(
    ("show", "why"),
    [
        (raises, "KeyError: 'no such figure <b>'"),
        (is_no_part, "it returned str; a ReportPart is expected"),
        (holds_an_object, "is no plain value"),
        (is_ragged, "a row has more or fewer cells than the header"),
    ],
)
def test_a_part_that_cannot_be_shown_is_said_and_loses_no_result(bench: Bench, show: Callable[..., Any], why: str) -> None:
    section = replace(SECTION, report=f"{__name__}:{show.__name__}")
    bench.plugins.add(COMPONENT, sections=[section], distribution="their-plugin")
    (part,) = report_of(bench, COUNT).sections["parts"]
    assert part.title == "count"
    assert why in part.paragraphs[0]
    assert "<b>" not in (bench.folder / "out" / "report.html").read_text(encoding="utf-8")


def test_the_table_of_rows_is_of_stages_that_give_rows(bench: Bench) -> None:
    class Counting:
        def train(self, base: ModelRef, dataset: Any, output: Path, run: RunContext) -> ModelReport:
            (output / "config.json").write_text("{}")
            return ModelReport(ModelFacts(), metrics={"rows": len(dataset)})

    hf = frozenset({"hf"})
    bench.plugins.offer("trainer", "counting", lambda settings, services: Counting(), accepts=hf, produces="hf")
    sections = report_of(bench, "student: student\ndataset: rows.jsonl\ntrain: {use: counting}\n").sections
    assert [row.stage for row in sections["data"]] == ["dataset"]


def test_prompts_are_rows_too(bench: Bench) -> None:
    bench.plugins.offer("source", "list", lambda settings, services: ListSource(sample_prompts(4)))
    bench.plugins.offer("teacher", "echo", lambda settings, services: EchoTeacher())
    rows = report_of(bench, "sources: [{use: list}]\ndistill: [{use: echo}]\n").sections["data"]
    assert [(row.stage, row.rows_in, row.kept) for row in rows] == [("sources", 4, 4), ("distill", 4, 4)]


def test_the_report_of_a_second_run_is_that_of_the_first(bench: Bench) -> None:
    bench.plugins.add(COMPONENT, sections=[SECTION], distribution="their-plugin")
    report_of(bench, COUNT)
    first = (bench.folder / "out" / "report.html").read_bytes()
    report_of(bench, COUNT)
    assert (bench.folder / "out" / "report.html").read_bytes() == first


def test_a_compression_has_its_facts_and_says_why_it_is_not_measured(bench: Bench) -> None:
    recipe = "student: student\ncompress: [{use: halve}]\n"
    (row,) = report_of(bench, recipe).sections["compression"].rows
    assert row.facts == ModelFacts(sparsity={"ffn": 0.5}, structure="2:4")
    assert row.note.startswith("not measured: no engine is installed (pip install ")
    (row,) = report_of(bench, "measure: off\n" + recipe).sections["compression"].rows
    assert row.note == "not measured: the recipe has measuring off"
    bench.plugins.offer("engine", "other", lambda settings, services: None, accepts=frozenset({"whole"}))
    (row,) = report_of(bench, recipe).sections["compression"].rows
    assert row.note == "not measured: the engine 'other' does not run this form"
