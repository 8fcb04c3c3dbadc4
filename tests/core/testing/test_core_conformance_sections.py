"""The suite of sections: a section that keeps the contract runs in a recipe, and each broken promise is noticed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from conformance_support import NoSettings, checks

from cogumi_core import Built, Component, PluginError, ReportPart, Section, Stage, Work
from cogumi_core.formats.dataset import JsonlDataset
from cogumi_core.plugins.registry import Registry
from cogumi_core.testing import IsolatedPlugins, SectionSuite, sample_examples, written_dataset

HERE = __name__


class Longest:
    """Names the longest rows."""

    def __init__(self, settings: Any, services: Any) -> None:
        pass

    def chosen(self, dataset: JsonlDataset) -> list[str]:
        return [row.id for row in sorted(dataset, key=lambda row: (-len(row.response), row.id))[:3]]


class ReviewStage(Stage):
    """Rows for a person to look at."""

    id: ClassVar[str] = "test-review"
    artifact: ClassVar[str] = "review"

    def build(self, work: Work) -> Built:
        ids = work.make(self.steps[0], Longest).chosen(JsonlDataset.open(work.inputs["dataset"].path))
        (work.output / "ids.txt").write_text("\n".join(ids))
        return Built(f"{len(ids)} rows", {"ids": ids})


def shown(stage: Stage, artifact: Any) -> ReportPart:
    return ReportPart("Rows to look at", (), ("row",), [(row,) for row in artifact.manifest.metrics["ids"]])


REVIEW = Section(
    "review",
    ("picker",),
    "rows for a person to look at",
    f"{HERE}:ReviewStage",
    inputs=("dataset",),
    after="dedup",
    report=f"{HERE}:shown",
)
LONGEST = Component("picker", "longest", "the longest rows", config=NoSettings, factory=Longest)


class TestReview(SectionSuite):
    section = "review"
    steps = "{use: longest}"

    @pytest.fixture
    def registry(self, isolated_plugins: IsolatedPlugins) -> Registry:
        isolated_plugins.add(LONGEST, sections=[REVIEW])
        return isolated_plugins.registry()


# --- and what breaks one clause each ---------------------------------------------------------------------------------------


class BorrowedId(ReviewStage):
    id: ClassVar[str] = "filter"


@dataclass(frozen=True, kw_only=True)
class WantsMore(ReviewStage):
    id: ClassVar[str] = "test-wants-more"

    limit: int


class NoStage:
    id = "no-stage"


BAD_STAGES: dict[str, tuple[str, type[Any]]] = {
    "no stage": ("test_stage_is_a_stage", NoStage),
    "a field that nobody fills": ("test_stage_is_a_stage", WantsMore),
    "another's id": ("test_stage_has_an_id_of_its_own", BorrowedId),
}


@pytest.mark.parametrize(("check", "stage"), BAD_STAGES.values(), ids=BAD_STAGES)
def test_section_suite_notices_a_stage(check: str, stage: type[Any], isolated_plugins: IsolatedPlugins) -> None:
    with pytest.raises(AssertionError):
        checks(SectionSuite, check, stage=stage, registry=isolated_plugins.registry())


BAD_SECTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "a name of ours": ("test_its_name_is_free", {"name": "filter"}),
    "behind nothing": ("test_takes_its_place_behind_a_section_that_there_is", {"after": "deduplication"}),
    "no kind": ("test_kinds_have_components", {"kinds": ()}),
    "a kind without components": ("test_kinds_have_components", {"kinds": ("picker", "sorter")}),
}


@pytest.mark.parametrize(("check", "changes"), BAD_SECTIONS.values(), ids=BAD_SECTIONS)
def test_section_suite_notices(check: str, changes: dict[str, Any], isolated_plugins: IsolatedPlugins) -> None:
    section = replace(REVIEW, **changes)
    isolated_plugins.add(LONGEST, sections=[section])
    with pytest.raises(AssertionError):
        checks(SectionSuite, check, described=section, registry=isolated_plugins.registry())


class Restless(ReviewStage):
    """Its key is another each time, so nothing is ever found."""

    id: ClassVar[str] = "test-restless"
    times: ClassVar[list[int]] = []

    def extra_key(self) -> dict[str, Any]:
        self.times.append(1)
        return {"times": len(self.times)}


def titleless(stage: Stage, artifact: Any) -> ReportPart:
    return ReportPart(" ")


def ragged(stage: Stage, artifact: Any) -> ReportPart:
    return ReportPart("Rows", (), ("row", "length"), [("a",)])


def as_text(stage: Stage, artifact: Any) -> Any:
    return "Rows to look at"


BAD_RUNS: dict[str, tuple[str, type[Stage], dict[str, Any]]] = {
    "built again": ("test_runs_and_is_found_again", Restless, {"stage": f"{HERE}:Restless"}),
    "no heading": ("test_report_shows_it", ReviewStage, {"report": f"{HERE}:titleless"}),
    "ragged rows": ("test_report_shows_it", ReviewStage, {"report": f"{HERE}:ragged"}),
    "text": ("test_report_shows_it", ReviewStage, {"report": f"{HERE}:as_text"}),
}


@pytest.mark.parametrize(("check", "stage", "changes"), BAD_RUNS.values(), ids=BAD_RUNS)
def test_section_suite_notices_in_a_run(
    check: str, stage: type[Stage], changes: dict[str, Any], isolated_plugins: IsolatedPlugins, tmp_path: Path
) -> None:
    section = replace(REVIEW, **changes)
    isolated_plugins.add(LONGEST, sections=[section])
    written_dataset(tmp_path / "given", sample_examples())
    text = f"{SectionSuite.recipe}review: {{use: longest}}\n"
    given = {"text": text, "registry": isolated_plugins.registry(), "tmp_path": tmp_path, "described": section, "stage": stage}
    with pytest.raises(AssertionError):
        checks(SectionSuite, check, **given)


def test_a_section_with_a_wrong_stage_is_a_plugin_error(isolated_plugins: IsolatedPlugins, tmp_path: Path) -> None:
    isolated_plugins.add(LONGEST, sections=[replace(REVIEW, stage=f"{HERE}:NoStage")])
    written_dataset(tmp_path / "given", sample_examples())
    suite = TestReview()
    with pytest.raises(PluginError, match=r"no cogumi_core\.Stage"):
        suite.run(f"{SectionSuite.recipe}review: {{use: longest}}\n", isolated_plugins.registry(), tmp_path, [])
