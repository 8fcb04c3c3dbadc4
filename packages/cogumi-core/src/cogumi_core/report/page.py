"""The page: one HTML file that loads nothing, reads in light and dark, on paper and on a telephone.

`render` turns the data into what each section needs (`views`, `charts`, `picture`) and fills the templates, which escape
everything that comes from data. The page forbids itself any connection and any script.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from cogumi_core.api.errors import MissingDependency
from cogumi_core.report.data import ReportData, from_json, to_json
from cogumi_core.report.picture import picture
from cogumi_core.report.views import highlights, modifier_views, ordered, router_view, size_view, totals, training_view
from cogumi_core.report.wording import FILTERS, NONE

if TYPE_CHECKING:
    from jinja2 import Environment

COLUMNS = {"wide": 6, "narrow": 2}
"""Boxes in a row of the picture, at most."""


def render(data: ReportData) -> str:
    """The whole page; the same data gives the same text. Raises MissingDependency without jinja2 or matplotlib."""
    environment = _environment()
    # Mappings come in the order of a dictionary or, from a store, of the alphabet; the page must not show which.
    data = from_json(to_json(data))
    page: str = environment.get_template("page.html").render(
        data=data,
        style=(files("cogumi_core.report") / "templates" / "style.css").read_text(encoding="utf-8"),
        nothing=NONE,
        highlights=highlights(data),
        pictures={name: picture(data, columns) for name, columns in COLUMNS.items()},
        training=training_view(data),
        modifiers=modifier_views(data),
        router=router_view(data.router) if data.router else None,
        sizes=size_view(data.budget) if data.budget else None,
        totals=totals(data.stages),
    )
    return page


def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as exc:
        message = "writing the report needs jinja2; try: pip install 'cogumi-core[report]'"
        raise MissingDependency(message) from exc
    environment = Environment(
        loader=PackageLoader("cogumi_core.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS, ordered=ordered)
    return environment
