"""The report as data: a run fills it in, `report.json` keeps it beside the result, the page is drawn from it.

A section that has nothing to say is absent. Figures that were not measured are None with a reason next to them, never zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from cogumi_core.api.errors import InputError
from cogumi_core.report.context import ReportContext
from cogumi_core.report.plain import plain, typed
from cogumi_core.report.section import PageSection
from cogumi_core.report.sections import SECTIONS

FORMAT: Final = "cogumi-report"
VERSION: Final = 2
"""2: the data of each section stands under its name."""

Data = TypeVar("Data")


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything on the page: the data of each section under the section's name."""

    name: str
    seed: int
    recipe: str
    sections: Mapping[str, Any] = field(default_factory=dict)

    def of(self, section: PageSection[Data]) -> Data | None:
        """The data of one section, None where it has nothing to say."""
        found: Data | None = self.sections.get(section.name)
        return found


def collect(context: ReportContext) -> ReportData:
    """The report of what lies in the store. Nothing is measured here and nothing is remembered from this run, so that the
    report of a second run, all hits, equals that of the first, byte for byte."""
    found = {section.name: data for section in SECTIONS if (data := section.collect(context))}
    return ReportData(context.recipe.name, context.recipe.seed, context.recipe.text, found)


def to_json(data: ReportData) -> str:
    """`from_json` reads it back; the same data always gives the same text."""
    document = {"format": FORMAT, "version": VERSION, "report": plain(data)}
    return json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False) + "\n"


def from_json(text: str, where: str = "report.json") -> ReportData:
    """What `to_json` wrote. Raises InputError: damaged, or of another version; `where` goes into the message."""
    try:
        document = json.loads(text)
        if (document["format"], document["version"]) != (FORMAT, VERSION):
            message = f"{document['format']!r} version {document['version']!r} instead of {FORMAT!r} version {VERSION}"
            raise ValueError(message)
        report: ReportData = typed(ReportData, document["report"])
        kinds = {section.name: section.data for section in SECTIONS}
        sections = {name: typed(kinds[name], data) for name, data in report.sections.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        message = f"{where}: not a report this version of cogumi-core can read ({exc}); run the recipe again to write it anew"
        raise InputError(message) from exc
    return ReportData(report.name, report.seed, report.recipe, sections)
