"""The page. The pipeline calls `render(data) -> str` (the whole HTML) and catches MissingDependency where jinja2 or matplotlib is absent."""

from __future__ import annotations

from cogumi_core.errors import MissingDependency
from cogumi_core.report.data import ReportData


def render(data: ReportData) -> str:
    message = "the page is not drawn yet"
    raise MissingDependency(message)
