"""Components inside components belong to the key of a stage, to its keys for providers, its extras and its forecast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench import Bench
from pydantic import Field

from cogumi_core import (
    Component,
    Engine,
    MissingDependency,
    MissingKey,
    Settings,
    Teacher,
    Use,
    engine_of_recipe,
    execution_only,
    input_file,
)
from cogumi_core.testing import IsolatedPlugins
from cogumi_core.testing.fakes import EchoTeacher, ListSource
from cogumi_core.testing.samples import sample_prompts

RECIPE = "sources: [{use: list}]\ndistill:\n  - {use: local, with: {inner: {use: inner, with: {words: words.txt}}}}\n"


class EngineSettings(Settings):
    precision: str = Field("full", description="of sums")
    threads: int = execution_only(1, description="speed only")


class InnerSettings(Settings):
    words: str | None = input_file(None, description="a file")
    key_env: str = Field("", description="variable with the key")


class LocalSettings(Settings):
    engine: Use[Engine] | None = engine_of_recipe("what runs it")
    inner: Use[Teacher] = Field(description="asked as well")


def bench(folder: Path, *, version: str = "1", requires: tuple[tuple[str, str], ...] = ()) -> Bench:
    plugins = IsolatedPlugins()
    plugins.add(
        Component("source", "list", "s", Settings, lambda settings, services: ListSource(sample_prompts(3))),
        Component("teacher", "local", "s", LocalSettings, lambda settings, services: EchoTeacher()),
        Component("teacher", "inner", "s", InnerSettings, lambda settings, services: EchoTeacher(), requires=requires),
        Component("engine", "fast", "s", EngineSettings, object, version=version, accepts=frozenset({"gguf"})),
        Component("engine", "other", "s", EngineSettings, object, accepts=frozenset({"gguf"})),
    )
    (folder / "words.txt").write_text("one")
    return Bench(plugins, folder)


def row(made: Bench, text: str) -> Any:
    return {row.stage.name: row for row in made.plan(text).stages}["distill"]


def test_raising_the_version_of_the_engine_inside_a_teacher_makes_its_answers_anew(tmp_path: Path) -> None:
    bench(tmp_path).run(RECIPE)
    assert row(bench(tmp_path), RECIPE).state == "hit"
    raised = row(bench(tmp_path, version="2"), RECIPE)
    assert raised.state == "miss"
    assert raised.why == ("local.settings.engine component version 1 -> 2",)


@pytest.mark.parametrize(
    ("head", "state"),
    [
        ("engine: fast\n", "hit"),
        ("engine: {use: fast, with: {threads: 8}}\n", "hit"),
        ("engine: {use: fast, with: {precision: half}}\n", "miss"),
        ("engine: other\n", "miss"),
    ],
)
def test_the_recipes_engine_is_in_the_key_of_those_that_leave_it_to_the_recipe(tmp_path: Path, head: str, state: str) -> None:
    made = bench(tmp_path)
    made.run(RECIPE)
    assert row(made, head + RECIPE).state == state


def test_the_content_of_a_file_that_an_inner_component_reads_is_in_the_key(tmp_path: Path) -> None:
    made = bench(tmp_path)
    made.run(RECIPE)
    (tmp_path / "elsewhere.txt").write_text("one")
    assert row(made, RECIPE.replace("words.txt", "elsewhere.txt")).state == "hit"
    (tmp_path / "words.txt").write_text("two")
    assert row(made, RECIPE).why == ("input local[0].inner.with.words changed",)


def test_the_key_variable_of_an_inner_component_is_asked_for_before_anything_is_built(tmp_path: Path) -> None:
    made = bench(tmp_path)
    with pytest.raises(MissingKey, match=r"distill\[0\]:local needs INNER_KEY"):
        made.run(RECIPE.replace("words: words.txt", "key_env: INNER_KEY"))
    assert made.built() == []


def test_the_extra_of_an_inner_component_is_asked_for_before_anything_is_built(tmp_path: Path) -> None:
    made = bench(tmp_path, requires=(("big", "no_such_module_a"),))
    with pytest.raises(MissingDependency, match="teacher 'inner' needs 'no_such_module_a'"):
        made.run(RECIPE)
    assert made.built() == []
