"""The report: complete, honest about what is missing, harmless, and the same again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import report_support
from report_support import EMPTY, FULL, HOSTILE, MODIFIER, ROUTER, stage

from cogumi_core.api.errors import InputError, MissingDependency
from cogumi_core.api.types import Interval, LossPoint, RouterReport
from cogumi_core.cli.main import main
from cogumi_core.report import wording
from cogumi_core.report.data import (
    Budget,
    CompressionRow,
    DataRow,
    NamedModifier,
    NamedRouter,
    Part,
    ReportData,
    from_json,
    to_json,
)
from cogumi_core.report.files import from_system, write_report
from cogumi_core.report.page import render
from cogumi_core.report.picture import picture

VOID = {"meta", "link", "img", "br", "hr", "input", "col"}


class Tags(HTMLParser):
    """Element names in order, and an error for a tag that closes another."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "action")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    return render(FULL)


@pytest.fixture(scope="module")
def tags(page: str) -> Tags:
    return Tags(page)


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_a_full_report_has_every_section(page: str) -> None:
    expected = ["The chain", "Rows", "Training", "Compression", "Modifiers", "Router", "Budget"]
    assert headings(page) == [*expected, "Time, tokens and dollars", "The recipe", "Provenance"]


def test_sections_without_content_do_not_appear() -> None:
    assert headings(render(EMPTY)) == ["The recipe"]


@pytest.mark.parametrize("name", [item.name for item in fields(ReportData) if item.name not in ("name", "seed", "recipe")])
def test_any_one_section_may_be_missing(name: str) -> None:
    Tags(render(replace(FULL, **{name: getattr(EMPTY, name)})))


def test_the_page_is_well_formed_and_loads_nothing(page: str, tags: Tags) -> None:
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(tags.names)
    assert all(link.startswith("#") for link in tags.links)
    assert "default-src 'none'" in page
    assert not re.search(r"url\((?!#)|@import", page)


def test_what_comes_from_data_is_escaped_everywhere(page: str) -> None:
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 10
    assert "{{ 7*7 }}" in page


def test_the_plots_are_valid_xml_in_the_pages_own_colours(page: str) -> None:
    svgs = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(svgs) == 6
    for svg in svgs:
        ElementTree.fromstring(svg)
        assert not re.search(r"#0[1-6]0[1-6]0[1-6]|DejaVu|<dc:date", svg)


def test_ids_on_the_page_are_unique(page: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_same_data_gives_the_same_bytes(page: str) -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1])\nfrom report_support import FULL\n"
    code += "from cogumi_core.report.page import render\nsys.stdout.buffer.write(render(FULL).encode())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(report_support.__file__).parent)], check=True, capture_output=True
    )
    assert done.stdout.decode() == page


def test_the_order_of_mappings_does_not_show(page: str) -> None:
    configurations = dict(reversed(MODIFIER.configurations.items()))
    fixed = tuple(dict(reversed(row.items())) for row in MODIFIER.fixed)
    other = NamedModifier("automation", replace(MODIFIER, configurations=configurations, fixed=fixed))
    assert render(replace(FULL, modifiers=(other,))) == page


@pytest.mark.parametrize(
    "words",
    [
        "61.0 % [54.1, 67.5]",
        "p &lt; 0.0001",
        "n = 200",
        "n = 2,032 tokens (8,744 bytes) in 16 windows",
        "[0.0187, 0.0239]",
        "bit-identical when unpacked",
        "[0.670, 0.810]",
        "Isotonic overfits.",
        "95.0 % of those fall below the threshold",
        "$0.0042",
        "GPU kernels",
        "94.1 MB of 140.0 MB",
    ],
)
def test_figures_stand_with_what_they_were_counted_over(page: str, words: str) -> None:
    assert words in page


def test_the_paired_table_adds_up_to_the_tasks(page: str) -> None:
    table = re.search(r'<table class="pairs">.*?</table>', page, re.DOTALL)
    assert table
    assert [int(value) for value in re.findall(r">(\d+)</td>", table[0])] == [70, 14, 52, 64]


def test_counts_that_do_not_fit_together_make_no_paired_table() -> None:
    odd = NamedModifier("odd", replace(MODIFIER, won=500))
    assert 'class="pairs"' not in render(replace(FULL, modifiers=(odd,)))


def test_a_refused_modifier_says_so() -> None:
    refused = NamedModifier("m", replace(MODIFIER, accepted=False, reason="No gain on held-out tasks."))
    page = render(replace(FULL, modifiers=(refused,)))
    assert "refused" in page
    assert "No gain on held-out tasks." in page


@pytest.mark.parametrize(
    "router",
    [
        RouterReport(3, 0, 0.8, None, None, None, None),
        replace(ROUTER, metrics={}),
        replace(ROUTER, metrics={"intervals": None, "gate": "x", "notes": "y", "deferral": {}, "at_threshold": []}),
        replace(ROUTER, metrics={"gate": {}, "at_threshold": {"kept": 1}, "cross_validated": {"n": 4}}),
    ],
)
def test_a_router_that_measured_little_still_has_a_section(router: RouterReport) -> None:
    Tags(render(replace(FULL, router=NamedRouter("other", router))))


@pytest.mark.parametrize(
    "data",
    [
        replace(FULL, data=(DataRow("filter[0]", 0, 0, 0),)),
        replace(FULL, budget=Budget()),
        replace(FULL, budget=Budget((Part("base", 0),), 0, 0.0, None)),
        replace(FULL, budget=Budget((Part("base", 200),), 100)),
        replace(FULL, compression=(CompressionRow("c", 0),)),
        replace(
            FULL, modifiers=(NamedModifier("m", replace(MODIFIER, result=Interval(0, 0, 0, 0), baseline=Interval(0, 0, 0, 0))),)
        ),
        replace(FULL, trainings=(replace(FULL.trainings[0], losses=(LossPoint(1, float("nan"), 0.0),)),)),
        replace(FULL, stages=(stage("one", "model", "x"),)),
    ],
)
def test_odd_but_possible_figures_are_drawn(data: ReportData) -> None:
    Tags(render(data))


def test_a_system_above_its_budget_is_shown_in_the_colour_of_trouble() -> None:
    assert 'class="figure bad">200 B' in render(replace(FULL, budget=Budget((Part("base", 200),), 100)))


@pytest.mark.parametrize("columns", [1, 2, 6])
def test_boxes_of_the_picture_do_not_overlap_and_stay_inside(columns: int) -> None:
    found = picture(replace(FULL, stages=tuple(stage(f"s{i}", "model", HOSTILE * 3) for i in range(11))), columns)
    assert found is not None
    places = {(box.x, box.y) for box in found.boxes}
    assert len(places) == len(found.boxes) == 12
    assert all(x + 148 <= found.width and y + 82 <= found.height for x, y in places)
    assert len(found.arrows) == 11


def test_measurements_are_not_in_the_picture(page: str) -> None:
    chain = re.search(r'<svg class="wide".*?</svg>', page, re.DOTALL)
    assert chain
    assert "measure:" not in chain[0]


def test_a_report_survives_json() -> None:
    assert from_json(to_json(FULL)) == FULL
    assert from_json(to_json(EMPTY)) == EMPTY


def test_a_loss_that_is_not_a_number_survives_json() -> None:
    data = replace(FULL, trainings=(replace(FULL.trainings[0], losses=(LossPoint(1, float("inf"), 0.0),)),))
    assert json.loads(to_json(data))
    assert from_json(to_json(data)).trainings[0].losses[0].loss == float("inf")


def damaged(**changes: object) -> str:
    document = json.loads(to_json(FULL))
    return json.dumps({**document, "report": {**document["report"], **changes}})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "cogumi-report", "version": 99, "report": {}}',
        damaged(seed="x"),
        damaged(stages=[{}]),
        damaged(stages="none"),
        damaged(unknown=1),
        damaged(router={"name": "x", "report": None}),
        "[" * 100_000,
    ],
)
def test_a_damaged_report_is_an_input_error_that_names_it(text: str) -> None:
    with pytest.raises(InputError, match=r"report\.json: not a report"):
        from_json(text)


@pytest.fixture
def system(tmp_path: Path) -> Path:
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "report.json").write_text(to_json(FULL), encoding="utf-8")
    return tmp_path / "system"


def test_the_command_draws_the_report_again(
    system: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], page: str
) -> None:
    out = tmp_path / "new" / "again.html"
    assert main(["report", str(system), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert out.read_text(encoding="utf-8") == page


def test_the_folder_of_a_run_is_understood_too(system: Path) -> None:
    assert from_system(system.parent) == from_system(system) == FULL


def test_a_folder_without_a_report_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "no report.json here" in capsys.readouterr().err


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_a_missing_library_names_the_extra_and_writes_nothing(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (library, f"{library}.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependency, match=re.escape("pip install 'cogumi-core[report]'")):
        write_report(FULL, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_reading_report_data_needs_no_drawing_library() -> None:
    code = "import sys, cogumi_core.report.files, cogumi_core.measure.fidelity\n"
    code += "assert not {'jinja2', 'matplotlib', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (wording.size(98_233_440), "98.2 MB"),
        (wording.size(612), "612 B"),
        (wording.size(None), "–"),
        (wording.duration(0.04), "0.0 s"),
        (wording.duration(59.7), "1 min 00 s"),
        (wording.duration(3725), "1 h 02 min"),
        (wording.usd(0.0), "$0.00"),
        (wording.usd(0.0042), "$0.0042"),
        (wording.usd(1234.5), "$1,234.50"),
        (wording.signed_percent(-0.031), "−3.1 %"),
        (wording.probability(0.0), "p < 0.0001"),
        (wording.probability(0.0312), "p = 0.0312"),
        (wording.shortened("a  b\nc", 3), "a …"),
        (wording.sample({"a": "é"}), '{"a": "é"}'),
    ],
)
def test_numbers_are_written_as_a_person_reads_them(text: str, expected: str) -> None:
    assert text == expected
