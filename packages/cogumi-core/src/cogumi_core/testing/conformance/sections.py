"""The contract of sections: a stage of its own, which runs in a recipe and is found again in the store."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cogumi_core.api.component import load_object
from cogumi_core.api.events import Event, StageFinished
from cogumi_core.api.sections import Section
from cogumi_core.pipeline.running import Run, run
from cogumi_core.plugins.registry import Registry
from cogumi_core.recipe.parse import parse_recipe
from cogumi_core.recipe.sections import OWN, sections
from cogumi_core.report.part import ReportPart
from cogumi_core.stages.base import Stage
from cogumi_core.testing.samples import sample_examples, written_dataset

__all__ = ["SectionSuite", "stage_ids"]


class SectionSuite:
    """A section of a plugin's. `section` is its name, `steps` what stands below it in a recipe, in YAML on one line; `recipe`
    is what stands around it, by default the twelve rows of `sample_examples`, as `dataset: rows.jsonl`.

    >>> class TestMine(SectionSuite):
    ...     section = "review"
    ...     steps = "{use: picker}"
    """

    section: ClassVar[str] = ""
    steps: ClassVar[str] = ""
    recipe: ClassVar[str] = "version: 1\nname: section\nseed: 17\ndataset: given/dataset.jsonl\n"

    @pytest.fixture
    def registry(self, cogumi_registry: Registry) -> Registry:
        return cogumi_registry

    @pytest.fixture
    def described(self, registry: Registry) -> Section:
        found = [section for section in registry.host.sections if section.name == self.section]
        assert found, f"no plugin registers a section '{self.section}'; see cogumi_register_sections"
        return found[0]

    @pytest.fixture
    def stage(self, described: Section) -> Any:
        return load_object(described.stage)

    @pytest.fixture
    def text(self, tmp_path: Path) -> str:
        """The recipe; the files that it names are written beside it."""
        written_dataset(tmp_path / "given", sample_examples())
        return f"{self.recipe}{self.section}: {self.steps}\n"

    def run(self, text: str, registry: Registry, folder: Path, events: list[Event]) -> Run:
        """The recipe, built into `folder / "out"` with the store in `folder`."""
        parsed = parse_recipe(text, base_dir=folder, registry=registry)
        return run(parsed, out=folder / "out", store=folder / "store", registry=registry, listener=events.append)

    def test_its_name_is_free(self, described: Section, registry: Registry) -> None:
        assert described.name not in {section.name for section in OWN}, f"'{described.name}' is a section of Cogumi's own"
        assert [section.name for section in registry.host.sections].count(described.name) == 1, "two plugins have this section"

    def test_takes_its_place_behind_a_section_that_there_is(self, described: Section, registry: Registry) -> None:
        assert not described.after or described.after in sections(registry.host.sections), (
            f"`after` names '{described.after}', which is no section"
        )

    def test_kinds_have_components(self, described: Section, registry: Registry) -> None:
        assert described.kinds, "it takes no kind of component"
        bare = [kind for kind in described.kinds if not registry.names(kind)]
        assert not bare, f"there is no component of the kind {', '.join(bare)}; see cogumi_register_components"

    def test_stage_is_a_stage(self, stage: Any) -> None:
        assert isinstance(stage, type), "`stage` names no class"
        assert issubclass(stage, Stage), f"`stage` names {stage.__name__}, which is no cogumi_core.Stage"
        unknown = [item.name for item in fields(stage) if item.name not in {known.name for known in fields(Stage)}]
        assert not unknown, f"the chain makes it from a section alone, and has nothing for its fields {', '.join(unknown)}"

    def test_stage_has_an_id_of_its_own(self, stage: Any, registry: Registry) -> None:
        others = stage_ids(registry, leave_out=stage)
        assert stage.id, "the stage's `id` is empty"
        assert stage.id not in others, f"the id '{stage.id}' is that of {others.get(stage.id)}"

    def test_runs_and_is_found_again(
        self, text: str, registry: Registry, tmp_path: Path, described: Section, stage: Any
    ) -> None:
        first: list[Event] = []
        second: list[Event] = []
        built = self.run(text, registry, tmp_path, first)
        again = self.run(text, registry, tmp_path, second)
        own = {item.name for item in built.stages if type(item) is stage}
        assert own, "the recipe has no stage of this section"
        assert all(not event.hit for event in first if isinstance(event, StageFinished)), "built before it was built"
        missed = [event.stage for event in second if isinstance(event, StageFinished) and not event.hit]
        assert not missed, f"built again though nothing changed: {', '.join(missed)}"
        assert {built.artifacts[name].digest for name in own} == {again.artifacts[name].digest for name in own}

    def test_report_shows_it(self, text: str, registry: Registry, tmp_path: Path, described: Section, stage: Any) -> None:
        if not described.report:
            pytest.skip("it shows nothing in the report")
        built = self.run(text, registry, tmp_path, [])
        shows = load_object(described.report)
        for item in built.stages:
            if type(item) is stage:
                part = shows(item, built.artifacts[item.name])
                assert isinstance(part, ReportPart), f"'{described.report}' gave {type(part).__name__}, not a ReportPart"
                assert part.title.strip(), "its part of the report has no heading"
                assert all(len(row) == len(part.header) for row in part.rows), "a row has more or fewer cells than the header"


def stage_ids(registry: Registry, *, leave_out: type[Stage]) -> dict[str, str]:
    """Id -> class of every stage but one: those of all sections, and those that stand between sections."""
    for section in (*OWN, *registry.host.sections):
        load_object(section.stage)
    found: dict[str, str] = {}
    waiting: list[type[Stage]] = [Stage]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            if kind is not leave_out and isinstance(kind.__dict__.get("id"), str):
                found[kind.id] = f"{kind.__module__}.{kind.__name__}"
    return found
