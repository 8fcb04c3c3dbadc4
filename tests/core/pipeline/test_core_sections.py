"""A third party's section, with a stage and a kind of component of its own, is a section like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import Bench
from section_support import COMPONENT, SECTION

from cogumi_core import PluginError, Section, StageError, UsageError
from cogumi_core.formats.rows import example_row, write_rows
from cogumi_core.testing import IsolatedPlugins
from cogumi_core.testing.samples import sample_examples

TEXT = "dataset: rows.jsonl\ncount:\n  - {use: words, with: {least: 3}}\n"


@pytest.fixture
def bench(isolated_plugins: IsolatedPlugins, tmp_path: Path) -> Bench:
    isolated_plugins.add(COMPONENT, sections=[SECTION], distribution="their-plugin")
    write_rows(tmp_path / "rows.jsonl", map(example_row, sample_examples(8)))
    return Bench(isolated_plugins, tmp_path)


def test_its_stage_is_planned_built_and_found_again(bench: Bench) -> None:
    assert bench.states(TEXT) == {"dataset": "miss", "count": "waits"}
    done = bench.run(TEXT)
    artifact = done.artifacts["count"]
    assert (artifact.manifest.artifact, artifact.manifest.stage_id) == ("counts", "support.count")
    assert artifact.manifest.distribution == "their-plugin"
    bench.run(TEXT)
    assert bench.built() == []


def test_its_settings_and_version_are_in_the_key(bench: Bench) -> None:
    bench.run(TEXT)
    changed = {row.stage.name: row for row in bench.plan(TEXT.replace("least: 3", "least: 4")).stages}["count"]
    assert (changed.state, changed.why) == ("miss", ("words.settings.least: 3 -> 4",))


def test_only_may_name_it(bench: Bench) -> None:
    bench.run(TEXT, only="count")
    assert bench.built() == ["dataset", "count"]
    with pytest.raises(UsageError, match="Did you mean 'count'"):
        bench.run(TEXT, only="cuont")


def test_its_part_stands_in_the_report(bench: Bench) -> None:
    done = bench.run(TEXT)
    text = Path(done.delivered["report"]).read_text(encoding="utf-8")
    assert "Words &lt;b&gt;counted&lt;/b&gt;" in text
    assert "How many there are." in text


def test_a_stage_that_is_none_is_told(isolated_plugins: IsolatedPlugins, tmp_path: Path) -> None:
    isolated_plugins.add(
        COMPONENT, sections=[Section("count", ("counter",), "s", "json:JSONDecoder", many=True, inputs=("dataset",))]
    )
    write_rows(tmp_path / "rows.jsonl", map(example_row, sample_examples(2)))
    with pytest.raises(PluginError, match=r"names the stage 'json:JSONDecoder', which is no cogumi_core\.Stage"):
        Bench(isolated_plugins, tmp_path).run(TEXT)


def test_a_component_that_lacks_the_method_is_told(bench: Bench) -> None:
    bench.plugins.offer("counter", "broken", lambda settings, services: object())
    with pytest.raises(StageError, match=r"counter 'broken' of .* is no Counter: a method is missing"):
        bench.run(TEXT.replace("{use: words, with: {least: 3}}", "{use: broken}"))
