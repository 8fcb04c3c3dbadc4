"""Filters in a stage: order kept whatever runs them, what a verdict adds is merged, what breaks the contract is told."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, rows_of
from filter_support import CapitalsSettings

from cogumi_core import Example, RowFilter, RunContext, Settings, StageError, Verdict, run
from cogumi_core.formats.rows import example_from_row, example_row, write_rows
from cogumi_core.stages.data import filter as filter_stage
from cogumi_core.testing import IsolatedPlugins
from cogumi_core.testing.samples import sample_conversations, sample_examples

TEXT = "dataset: rows.jsonl\nfilter:\n  - {use: capitals}\n"
TWO = "executor: {use: local, with: {workers: 2}}\n"


@pytest.fixture
def bench(isolated_plugins: IsolatedPlugins, tmp_path: Path) -> Bench:
    isolated_plugins.offer("filter", "capitals", "filter_support:Capitals", CapitalsSettings)
    write_rows(tmp_path / "rows.jsonl", map(example_row, [*sample_examples(40), *sample_conversations()]))
    return Bench(isolated_plugins, tmp_path)


def built(bench: Bench, text: str, store: str) -> dict[str, bytes]:
    """The files of the filter's artifact, built in a store of its own."""
    recipe = bench.recipe(text)
    done = run(recipe, out=bench.folder / f"out-{store}", store=bench.folder / store, registry=bench.registry)
    folder = done.artifacts[recipe.of("filter")[0].label].path
    return {name: (folder / name).read_bytes() for name in ("dataset.jsonl", "dropped.jsonl")}


def test_row_wise_filters_give_the_same_bytes_in_two_processes_as_in_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = built(bench, TEXT, "one")
    monkeypatch.setattr(filter_stage, "ROWS_AT_ONCE", 7)
    assert built(bench, TWO + TEXT, "two") == alone
    assert alone["dropped.jsonl"]
    assert b"capitals" in alone["dataset.jsonl"]


def test_rows_really_travel_to_other_processes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.plugins.offer("filter", "where", "filter_support:Where")
    monkeypatch.setattr(filter_stage, "ROWS_AT_ONCE", 7)
    text = TEXT.replace("capitals", "where")
    pids = {row["metadata"]["pid"] for row in rows_of_text(built(bench, TWO + text, "two")["dataset.jsonl"])}
    assert pids
    assert float(os.getpid()) not in pids


def rows_of_text(data: bytes) -> list[dict[str, Any]]:
    import json

    return [json.loads(line) for line in data.splitlines()]


def test_a_filter_that_is_not_row_wise_sees_all_rows_whatever_runs_them(bench: Bench) -> None:
    class Position:
        row_wise = False

        def verdicts(self, examples: Iterable[Example], run: RunContext) -> Iterator[Verdict]:
            for index, _ in enumerate(examples):
                yield Verdict(True, scores={"place": index})

    bench.plugins.offer("filter", "position", lambda settings, services: Position())
    rows = rows_of_text(built(bench, TWO + TEXT.replace("capitals", "position"), "two")["dataset.jsonl"])
    assert [row["metadata"]["place"] for row in rows] == list(range(len(rows)))


def test_what_was_taken_out_of_a_row_is_gone_and_said(bench: Bench) -> None:
    class Redacting(RowFilter):
        def judge(self, example: Example) -> Verdict:
            messages = tuple(replace(message, content=message.content.replace("a", "*")) for message in example.messages)
            return Verdict(True, messages=messages, scores={"quality_score": 0.75})

    bench.plugins.offer("filter", "redacting", lambda settings, services: Redacting())
    rows = rows_of_text(built(bench, TEXT.replace("capitals", "redacting"), "one")["dataset.jsonl"])
    assert all(row["metadata"]["redacted_by"] == ["redacting"] for row in rows)
    assert all(row["metadata"]["quality_score"] == 0.75 for row in rows)
    left = [message.content for row in rows for message in example_from_row(row, "here").messages]
    assert any("*" in content for content in left)
    assert not any("a" in content for content in left)


def test_what_one_filter_wrote_the_next_one_reads(bench: Bench) -> None:
    class Choosy(RowFilter):
        def judge(self, example: Example) -> Verdict:
            good = example.metadata["capitals"] > 0.005
            return Verdict(good, "" if good else "whispers", "" if good else f"{example.metadata['capitals']}")

    bench.plugins.offer("filter", "choosy", lambda settings, services: Choosy())
    done = bench.run(TEXT + "  - {use: choosy}\n")
    artifact = done.artifacts["filter[1]:choosy"]
    kept = rows_of(artifact.path / "dataset.jsonl")
    dropped = [row for row in rows_of(artifact.path / "dropped.jsonl") if row["stage"] == "filter[1]:choosy"]
    assert kept
    assert dropped
    assert all(row["metadata"]["capitals"] > 0.005 for row in kept)
    assert all(row["row"]["metadata"]["capitals"] <= 0.005 for row in dropped)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda count: [Verdict(True)] * (count - 1), "gave no verdict for row"),
        (lambda count: [Verdict(True)] * (count + 1), "gave more verdicts than there are rows"),
        (lambda count: [Verdict(False)] * count, "dropped a row without a reason"),
    ],
)
def test_a_filter_that_breaks_its_contract_is_told(bench: Bench, given: Any, told: str) -> None:
    class Odd:
        row_wise = False

        def verdicts(self, examples: Iterable[Example], run: RunContext) -> Iterator[Verdict]:
            yield from given(len(list(examples)))

    bench.plugins.offer("filter", "odd", lambda settings, services: Odd(), Settings)
    with pytest.raises(StageError, match=told):
        bench.run(TEXT.replace("capitals", "odd"))
