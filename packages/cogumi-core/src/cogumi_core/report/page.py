"""The page: one HTML file that loads nothing, reads in light and dark, on paper and on a telephone.

Each section works out what it shows (its `view`) and fills its own template; templates escape everything that comes from data.
The page forbids itself any connection and any script.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING

from cogumi_core.api.errors import MissingDependency
from cogumi_core.report.document import ReportData, from_json, to_json
from cogumi_core.report.section import Highlight
from cogumi_core.report.sections import SECTIONS
from cogumi_core.report.wording import FILTERS, NONE

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def render(data: ReportData) -> str:
    """The whole page; the same data gives the same text. Raises MissingDependency without jinja2 or matplotlib."""
    environment = _environment()
    # Mappings come in the order of a dictionary or, from a store, of the alphabet; the page must not show which.
    data = from_json(to_json(data))
    page: str = environment.get_template("page.html").render(
        data=data,
        style=(files("cogumi_core.report") / "style.css").read_text(encoding="utf-8"),
        highlights=list(_highlights(data)),
        sections=list(_sections(data, environment)),
    )
    return page


def _highlights(data: ReportData) -> Iterator[Highlight]:
    """The answers to what a person asks first."""
    for section in sorted(SECTIONS, key=lambda section: not section.leads):
        if (found := data.of(section)) is not None:
            yield from section.highlights(found)


def _sections(data: ReportData, environment: Environment) -> Iterator[Markup]:
    from markupsafe import Markup

    for section in SECTIONS:
        found = data.of(section)
        view = None if found is None else section.view(found)
        if view is not None:
            template = environment.get_template(f"{section.name}/template.html")
            yield Markup(template.render(data=found, view=view, nothing=NONE))


def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as exc:
        message = "writing the report needs jinja2; try: pip install 'cogumi-core[report]'"
        raise MissingDependency(message) from exc
    environment = Environment(
        loader=PackageLoader("cogumi_core.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment
