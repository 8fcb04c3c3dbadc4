"""The report: complete, honest about what is missing, harmless, and the same again."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html import escape as html_escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import report_support
from processes import python
from report_support import EMPTY, FULL, HOSTILE, MODIFIER, OFFERS, ROUTER, having, stage

from cogumi_core.api.errors import InputError, MissingDependency
from cogumi_core.api.types import Interval, LossPoint, RouterReport
from cogumi_core.cli.main import main
from cogumi_core.report import page as page_module
from cogumi_core.report import wording
from cogumi_core.report.budget import Budget, Paid, Part
from cogumi_core.report.compression import Compression, CompressionRow
from cogumi_core.report.data import DataRow
from cogumi_core.report.document import ReportData, from_json, to_json
from cogumi_core.report.files import from_system, write_report
from cogumi_core.report.modifiers import NamedModifier
from cogumi_core.report.overview.picture import picture
from cogumi_core.report.page import render
from cogumi_core.report.part import ReportPart
from cogumi_core.report.router import NamedRouter
from cogumi_core.report.sections import SECTIONS
from cogumi_core.report.spend import Spend

NOBODY = Interval(0, 0, 0, 0)
VOID = {"meta", "link", "img", "br", "hr", "input", "col"}


def escape(text: str) -> str:
    """As the page writes it."""
    return html_escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")


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
    own = ["The chain", "Rows", "Training", "Compression", "Modifiers", "Router"]
    theirs = escape(HOSTILE)
    assert headings(page) == [*own, theirs, "Budget", "Time, tokens and dollars", "Provenance", "The recipe"]
    assert set(FULL.sections) == {section.name for section in SECTIONS}


def test_sections_without_content_do_not_appear() -> None:
    assert headings(render(EMPTY)) == ["The recipe"]


@pytest.mark.parametrize("name", [section.name for section in SECTIONS])
def test_any_one_section_may_be_missing_or_stand_alone(name: str) -> None:
    Tags(render(having(FULL, **{name: None})))
    Tags(render(having(EMPTY, **{name: FULL.sections[name]})))


def test_every_section_is_one_folder_with_its_template() -> None:
    room = Path(page_module.__file__).parent
    folders = {path.parent.name for path in room.glob("*/template.html")}
    assert folders == {section.name for section in SECTIONS}
    assert all((room / name / "__init__.py").is_file() for name in folders)


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
    done = python(code, Path(report_support.__file__).parent)
    assert done.stdout == page, done.stderr


def test_the_order_of_mappings_does_not_show(page: str) -> None:
    configurations = dict(reversed(MODIFIER.configurations.items()))
    fixed = tuple(dict(reversed(row.items())) for row in MODIFIER.fixed)
    other = NamedModifier("automation", replace(MODIFIER, configurations=configurations, fixed=fixed), "rank-32")
    assert render(having(FULL, modifiers=(other,))) == page


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
        "Q5_0; zeros: attention 50 %, ffn 50 % (2:4); vocabulary of 32,000 of 49,152 tokens, kept for English",
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
    odd = NamedModifier("odd", replace(MODIFIER, offers=(replace(OFFERS[0], won=500),)), "rank-32")
    assert 'class="pairs"' not in render(having(FULL, modifiers=(odd,)))


def verdicts(page: str) -> dict[str, str]:
    """Folder of each adapter in the table of offers, and what became of it."""
    return dict(re.findall(r"<tr><th>(rank-\d+)</th>.*?<td>([^<]*)</td></tr>", page))


def test_a_refused_modifier_says_so() -> None:
    offer = replace(OFFERS[0], accepted=False, reason="No gain on held-out tasks.")
    page = render(having(FULL, modifiers=(NamedModifier("m", replace(MODIFIER, offers=(offer,))),)))
    assert '<span class="bad">refused</span>' in page
    assert verdicts(page) == {"rank-32": "refused: No gain on held-out tasks."}


def test_every_offer_says_what_became_of_it(page: str) -> None:
    assert verdicts(page) == {
        "rank-32": "carried in the system",
        "rank-8": "left out: another one is carried",
        "rank-2": f"refused: {escape(HOSTILE)}",
    }


def test_the_figures_are_those_of_the_adapter_that_is_carried() -> None:
    page = render(having(FULL, modifiers=(NamedModifier("m", MODIFIER, "rank-8"),)))
    assert "the system solves 55.0 % [48.1, 61.7]" in page
    assert "9.7 MB" in page
    assert "2.4 MB" in page


def test_a_modifier_without_room_says_so() -> None:
    page = render(having(FULL, modifiers=(NamedModifier("m", MODIFIER, None),)))
    assert '<span class="bad">left out for want of bytes</span>' in page
    assert verdicts(page)["rank-8"] == "left out for want of bytes"


def test_what_any_stage_spent_is_in_both_tables(page: str) -> None:
    for heading in ("Budget", "Time, tokens and dollars"):
        section = re.search(rf"<h2>{heading}</h2>.*?</section>", page, re.DOTALL)
        assert section
        row = re.search(r"<tr><th[^>]*>filter\[0\]:judged.*?</tr>", section[0], re.DOTALL)
        assert row
        assert "$0.01" in row[0]


def test_calls_of_an_unknown_price_are_not_taken_for_free() -> None:
    paid = (Paid("filter[0]:judged", Spend(None, 12)), Paid("distill", Spend(0.5, 3)))
    page = render(having(FULL, budget=Budget(paid=paid)))
    assert "not known" in page
    assert "what filter[0]:judged cost is not known" in page
    assert "$0.50" in page


def test_a_plugins_part_is_a_table_of_plain_values(page: str) -> None:
    section = re.search(rf"<h2>{re.escape(escape(HOSTILE))}</h2>.*?</section>", page, re.DOTALL)
    assert section
    cells = re.findall(r"<td>(.*?)</td>", section[0])
    assert cells == [escape(HOSTILE), "0.25", "yes", "b", "1,200", "–"]


def test_a_part_without_a_table_is_only_words() -> None:
    assert "<table" not in render(having(EMPTY, parts=(ReportPart("Only words", ("One.", "Two.")),)))


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
    Tags(render(having(FULL, router=NamedRouter("other", router))))


@pytest.mark.parametrize(
    "data",
    [
        having(FULL, data=(DataRow("filter[0]", 0, 0, 0),)),
        having(FULL, budget=Budget()),
        having(FULL, budget=Budget((Part("base", 0),), 0, (), None)),
        having(FULL, budget=Budget((Part("base", 200),), 100)),
        having(FULL, compression=Compression((CompressionRow("c", 0),))),
        having(
            FULL,
            modifiers=(NamedModifier("m", replace(MODIFIER, baseline=NOBODY, offers=(replace(OFFERS[0], result=NOBODY),))),),
        ),
        having(FULL, training=(replace(FULL.sections["training"][0], losses=(LossPoint(1, float("nan"), 0.0),)),)),
        having(FULL, stages=(stage("one", "model", "x"),)),
    ],
)
def test_odd_but_possible_figures_are_drawn(data: ReportData) -> None:
    Tags(render(data))


def test_a_system_above_its_budget_is_shown_in_the_colour_of_trouble() -> None:
    assert 'class="figure bad">200 B' in render(having(FULL, budget=Budget((Part("base", 200),), 100)))


@pytest.mark.parametrize("columns", [1, 2, 6])
def test_boxes_of_the_picture_do_not_overlap_and_stay_inside(columns: int) -> None:
    found = picture([(f"s{i}", HOSTILE * 3, "98.2 MB", "ab12ab12") for i in range(12)], columns)
    places = {(box.x, box.y) for box in found.boxes}
    assert len(places) == len(found.boxes) == 12
    assert all(x + 148 <= found.width and y + 82 <= found.height for x, y in places)
    assert len(found.arrows) == 11


def test_a_report_survives_json() -> None:
    assert from_json(to_json(FULL)) == FULL
    assert from_json(to_json(EMPTY)) == EMPTY


def test_a_loss_that_is_not_a_number_survives_json() -> None:
    data = having(FULL, training=(replace(FULL.sections["training"][0], losses=(LossPoint(1, float("inf"), 0.0),)),))
    assert json.loads(to_json(data))
    assert from_json(to_json(data)).sections["training"][0].losses[0].loss == float("inf")


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
        damaged(unknown=1),
        damaged(sections={"stages": [{}]}),
        damaged(sections={"stages": "none"}),
        damaged(sections={"unknown": 1}),
        damaged(sections={"router": {"name": "x", "report": None}}),
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
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_a_plugins_part_costs_nothing_to_import() -> None:
    done = python(
        "import sys; from cogumi_core import ReportPart; print(len({'pydantic', 'click', 'jinja2'} & set(sys.modules)))"
    )
    assert done.stdout == "0\n", done.stderr


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
